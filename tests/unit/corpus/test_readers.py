"""Readers: every kind of file gives its records, and whatever is wrong in one is an entry of its own."""

from __future__ import annotations

import gzip
import io
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from glossd.corpus.entries import Entry, Fields, ReadSettings
from glossd.corpus.readers import read_corpus
from glossd.corpus.records import Failure
from glossd.corpus.sources import FileKind, ReadCount, find_corpus
from glossd.errors import InvalidInputError
from glossd.types import DocumentInput, MimeType

ROWS = [{"id": "a", "text": "The ship is free."}, {"id": "b", "text": 'Tugs, "cranes"\nand a crew.'}]


def read(path: Path | str, settings: ReadSettings | None = None, kind: FileKind | None = None) -> list[Entry]:
    return list(read_corpus(find_corpus(str(path), kind=kind), settings or ReadSettings(), ReadCount()))


def texts(entries: list[Entry]) -> list[tuple[str, str]]:
    return [(entry.id, entry.content.text) for entry in entries if isinstance(entry.content, DocumentInput)]


def failures(entries: list[Entry]) -> list[tuple[int, str]]:
    return [(entry.place.line, entry.content.reason) for entry in entries if isinstance(entry.content, Failure)]


def jsonl(rows: Sequence[Mapping[str, object]], *, end: str = "\n") -> bytes:
    return "".join(json.dumps(row) + end for row in rows).encode()


def table(separator: str, *, end: str = "\r\n") -> bytes:
    quoted = '"Tugs, ""cranes""\nand a crew."'
    return f"id{separator}text{end}a{separator}The ship is free.{end}b{separator}{quoted}{end}".encode()


def zstd(content: bytes) -> bytes:
    return bytes(pyarrow.compress(content, codec="zstd", asbytes=True))


def parquet(rows: Sequence[Mapping[str, object]]) -> bytes:
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), sink, row_group_size=1)
    return bytes(sink.getvalue())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", jsonl(ROWS)),
        ("a.ndjson", jsonl(ROWS, end="\r\n")),
        ("a.jsonl", b"\xef\xbb\xbf" + jsonl(ROWS, end="\n\n")),
        ("a.jsonl.gz", gzip.compress(jsonl(ROWS))),
        ("a.jsonl.gz", gzip.compress(jsonl(ROWS[:1])) + gzip.compress(jsonl(ROWS[1:]))),
        ("a.jsonl.zst", zstd(jsonl(ROWS))),
        ("a.csv", table(",")),
        ("a.csv", b"\xef\xbb\xbf" + table(",", end="\n")),
        ("a.csv.gz", gzip.compress(table(","))),
        ("a.tsv", table("\t")),
        ("a.tsv.zst", zstd(table("\t"))),
        ("a.parquet", parquet(ROWS)),
    ],
)
def test_the_same_records_come_out_of_every_kind_of_file(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    entries = read(tmp_path / name)
    assert texts(entries) == [(row["id"], row["text"]) for row in ROWS]
    assert failures(entries) == []


def test_a_directory_is_read_in_the_order_of_names_with_each_file_of_its_own_kind(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / ".hidden").mkdir()
    for name, content in {
        "deep/page.html": b"<p>Hello there.</p>",
        "b.md": b"# Title\n\nHello.",
        "a.txt": b"\xef\xbb\xbfHello.",
        "c.txt.gz": gzip.compress(b"Hello again."),
        "d.jsonl": jsonl(ROWS),
        "e.pdf": b"%PDF",
        ".hidden/x.txt": b"no",
        "out.jsonl": b"no",
    }.items():
        (tmp_path / name).write_bytes(content)
    corpus = find_corpus(str(tmp_path), exclude=[tmp_path / "out.jsonl"])
    entries = list(read_corpus(corpus, ReadSettings(), ReadCount()))
    assert [entry.id for entry in entries] == ["a.txt", "b.md", "c.txt.gz", "a", "b", "deep/page.html"]
    kinds = [entry.content.mime_type for entry in entries if isinstance(entry.content, DocumentInput)]
    assert kinds[:3] == [MimeType.PLAIN, MimeType.MARKDOWN, MimeType.PLAIN]
    assert kinds[5] is MimeType.HTML
    assert corpus.left_out == ((".pdf", 1),)


def test_standard_input_is_jsonl_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(jsonl(ROWS))))
    assert len(texts(read("-"))) == 2
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(table(","))))
    assert len(texts(read("-", kind=FileKind.CSV))) == 2
    assert not sys.stdin.buffer.closed
    with pytest.raises(InvalidInputError, match="Parquet is not read from standard input"):
        find_corpus("-", kind=FileKind.PARQUET)


def test_fields_are_taken_by_the_names_that_are_given(tmp_path: Path) -> None:
    row = {"key": 7, "body": "The ship.", "head": "Free", "lang": "en", "type": "text/markdown"}
    (tmp_path / "a.jsonl").write_bytes(jsonl([row]))
    fields = Fields("body", "key", "head", "lang", "type")
    entry = read(tmp_path / "a.jsonl", ReadSettings(fields=fields))[0]
    assert entry.id == "7"
    assert isinstance(entry.content, DocumentInput)
    assert entry.content.text == "Free\n\nThe ship."
    assert (entry.content.language_code, entry.content.mime_type) == ("en", MimeType.MARKDOWN)


def test_a_record_without_an_id_has_the_place_where_it_stands(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(jsonl([{"text": "One."}, {"text": "Two."}]))
    assert [entry.id for entry in read(tmp_path / "a.jsonl")] == ["a.jsonl:1", "a.jsonl:2"]


GOOD = b'{"id": "z", "text": "Fine."}\n'


@pytest.mark.parametrize(
    ("line", "reason", "said"),
    [
        (b'{"id": "a", "text": "Ha', "BAD_RECORD", "not JSON"),
        (b"[1, 2]", "BAD_RECORD", "not a JSON object"),
        (b"[" * 100_000, "BAD_RECORD", "not JSON that can be read"),
        (b'{"id": 1' + b"0" * 5000 + b', "text": "x"}', "BAD_RECORD", "not JSON that can be read"),
        (b'{"id": "a", "words": "Ha"}', "BAD_RECORD", "no field 'text'"),
        (b'{"id": "a", "text": null}', "BAD_RECORD", "field 'text' is null"),
        (b'{"id": "a", "text": ["Ha"]}', "BAD_RECORD", "field 'text' is a list, not text"),
        (b'{"id": 1.5, "text": "Ha"}', "BAD_RECORD", "field 'id' is a number, not text or a whole number"),
        (b'{"id": "a", "text": " \\n "}', "EMPTY", "the text is empty"),
        (b'{"id": "a", "text": "\xff\xfe"}', "BAD_UTF8", "byte 21 of"),
        (b'{"id": "a", "text": "\\ud800 ha"}', "BAD_UTF8", "half of a surrogate pair"),
        (b'{"id": "a", "text": "' + b"x" * 3000 + b'"}', "TOO_LONG", "bytes; the limit for a record is 2,000"),
    ],
)
def test_a_bad_line_is_an_entry_with_its_reason_and_the_next_is_read(
    tmp_path: Path, line: bytes, reason: str, said: str
) -> None:
    (tmp_path / "a.jsonl").write_bytes(GOOD + line + b"\n" + GOOD)
    limit = 2000 if reason == "TOO_LONG" else 1 << 20
    entries = read(tmp_path / "a.jsonl", ReadSettings(largest_bytes=limit))
    assert failures(entries) == [(2, reason)]
    assert isinstance(entries[1].content, Failure)
    assert said in entries[1].content.message
    assert len(texts(entries)) == 2


def test_a_line_at_the_limit_is_read_and_one_byte_more_is_not(tmp_path: Path) -> None:
    line = b'{"text": "' + b"x" * 88 + b'"}'
    (tmp_path / "a.jsonl").write_bytes(line + b"\r\n" + line.replace(b"x", b"xx", 1) + b"\n" + line)
    entries = read(tmp_path / "a.jsonl", ReadSettings(largest_bytes=len(line)))
    assert failures(entries) == [(2, "TOO_LONG")]
    assert [entry.place.line for entry in entries] == [1, 2, 3]


class Endless(io.RawIOBase):
    """A line of a gigabyte that nobody has to hold, then a good one."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._end = b'"}\n' + GOOD
        self.largest_read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        self.largest_read = max(self.largest_read, len(buffer))
        size = min(len(buffer), self._left)
        if size:
            buffer[:size] = b"x" * size
            self._left -= size
            return size
        size = min(len(buffer), len(self._end))
        buffer[:size], self._end = self._end[:size], self._end[size:]
        return size


def test_a_line_of_a_gigabyte_is_passed_over_without_being_held(monkeypatch: pytest.MonkeyPatch) -> None:
    gigabyte = Endless(1 << 30)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(gigabyte)))  # type: ignore[type-var]
    entries = read("-")
    assert failures(entries) == [(1, "TOO_LONG")]
    assert texts(entries) == [("z", "Fine.")]
    assert gigabyte.largest_read <= 1 << 20


@pytest.mark.parametrize("cut", [0.3, 0.9])
@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_compressed_file_that_was_cut_off_ends_with_an_entry_that_says_so(
    tmp_path: Path, cut: float, suffix: str
) -> None:
    rows = [{"id": str(number), "text": f"{number * 7919 % 104729} ships. " * 3} for number in range(2000)]
    whole = gzip.compress(jsonl(rows)) if suffix == ".gz" else zstd(jsonl(rows))
    path = tmp_path / f"a.jsonl{suffix}"
    path.write_bytes(whole[: int(len(whole) * cut)])
    entries = read(path)
    found = failures(entries)
    assert [reason for _, reason in found] == ["UNREADABLE"]
    assert texts(entries) == [(row["id"], row["text"]) for row in rows[: len(entries) - 1]]
    if suffix == ".gz":
        assert len(entries) > 100


@pytest.mark.parametrize(
    ("name", "content"), [("a.jsonl.gz", b"no gzip"), ("a.jsonl.zst", b"no zstd!"), ("a.parquet", b"no")]
)
def test_a_file_that_is_not_what_it_says_is_one_entry(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    (tmp_path / "b.jsonl").write_bytes(GOOD)
    entries = read(tmp_path)
    assert [reason for _, reason in failures(entries)] == ["UNREADABLE"]
    assert texts(entries) == [("z", "Fine.")]


def test_a_file_that_vanishes_is_one_entry(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.txt", "c.jsonl"):
        (tmp_path / name).write_bytes(GOOD)
    corpus = find_corpus(str(tmp_path))

    def reading() -> Iterator[Entry]:
        yield from read_corpus(corpus, ReadSettings(), ReadCount())

    entries = reading()
    found = [next(entries)]
    (tmp_path / "b.txt").unlink()
    found += entries
    assert [entry.place.file for entry in found if isinstance(entry.content, Failure)] == ["b.txt"]
    assert len(texts(found)) == 2


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"id,text\na,One\nb\nc,Three\n", [(3, "BAD_RECORD")]),
        (b"id,text\na,One,1\nc,Three\nd,Four\n", [(2, "BAD_RECORD")]),
        (b'id,text\na,One\nb,"Two\nc,Three\n', [(3, "BAD_RECORD")]),
        (b"id,text\na,One\nb,\xff\nc,Three\n", [(3, "BAD_UTF8")]),
        (b"id,text\na,One\nb," + b"x" * 900 + b"\nc,Three\n", [(3, "TOO_LONG")]),
        (b'id,text\na,One\nb,"Tw"o\nc,Three\n', [(3, "BAD_RECORD")]),
    ],
)
def test_a_bad_row_of_a_table_is_an_entry(tmp_path: Path, content: bytes, expected: list[tuple[int, str]]) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    entries = read(tmp_path / "a.csv", ReadSettings(largest_bytes=500))
    assert failures(entries) == expected
    assert texts(entries)


def test_a_field_longer_than_the_csv_module_takes_by_itself_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"id,text\na," + b"word " * 100_000 + b"\n")
    assert len(texts(read(tmp_path / "a.csv"))[0][1]) == 500_000


@pytest.mark.parametrize(
    ("name", "content"), [("a.csv", b"id,body\na,One\n"), ("a.parquet", parquet([{"id": "a", "body": "One"}]))]
)
def test_a_table_without_the_column_of_the_text_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInputError, match="no column 'text'; its columns are id, body"):
        read(tmp_path / name)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: folder / "nothing", "no such file or directory"),
        (lambda folder: folder, "no file of a known kind in it"),
        (lambda folder: (folder / "a.doc", (folder / "a.doc").write_text("x"))[0], "its kind is not known"),
    ],
)
def test_an_input_with_nothing_to_read_is_refused(tmp_path: Path, make: object, said: str) -> None:
    assert callable(make)
    with pytest.raises(InvalidInputError, match=said):
        find_corpus(str(make(tmp_path)))


def test_a_fingerprint_differs_where_a_name_or_a_byte_does(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("One.")
    first = find_corpus(str(tmp_path)).fingerprint()
    (tmp_path / "a.txt").write_text("Two.")
    second = find_corpus(str(tmp_path)).fingerprint()
    (tmp_path / "a.txt").rename(tmp_path / "b.txt")
    third = find_corpus(str(tmp_path)).fingerprint()
    assert len({first, second, third}) == 3
    assert first is not None
    assert (first.files, first.bytes) == (1, 4)
