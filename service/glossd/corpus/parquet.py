"""Parquet in and out, through pyarrow, which is an extra: rows of a file, rows as a file, files put together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from glossd.corpus.sources import ReadCount
from glossd.errors import InvalidInputError

ROWS_AT_A_TIME = 64
MERGED_BYTES = 32 << 20
"""Row groups of a merged file grow to this size, uncompressed."""


def load_pyarrow() -> ModuleType:
    """The library with its Parquet part. Raises ``InvalidInputError`` that says how to install it."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        problem = "Parquet needs pyarrow: pip install 'glossd[parquet]'"
        raise InvalidInputError("document", problem) from error
    return pyarrow  # type: ignore[no-any-return]


class ParquetSource:
    """A Parquet file that is read from its first row to its last. Raises ``OSError`` for a damaged one."""

    def __init__(self, path: Path) -> None:
        self._arrow = load_pyarrow()
        self._path = path
        try:
            self._file: Any = self._arrow.parquet.ParquetFile(path)
        except self._arrow.ArrowException as error:
            raise _damaged() from error

    def __enter__(self) -> ParquetSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def names(self) -> list[str]:
        """The names of its columns."""
        return list(self._file.schema_arrow.names)

    def rows(self, wanted: Sequence[str], count: ReadCount) -> Iterator[Mapping[str, object]]:
        """Its rows with those of the ``wanted`` columns that it has; a few are in memory at a time."""
        columns = [name for name in wanted if name in self.names]
        metadata = self._file.metadata
        share = self._path.stat().st_size // max(1, metadata.num_rows)
        batches = self._file.iter_batches(batch_size=ROWS_AT_A_TIME, columns=columns, use_threads=False)
        while True:
            try:
                batch = next(batches, None)
                rows = batch.to_pylist() if batch is not None else []
            except (self._arrow.ArrowException, UnicodeDecodeError) as error:
                raise _damaged() from error
            if batch is None:
                return
            count.bytes += share * len(rows)
            yield from rows


def _damaged() -> OSError:
    return OSError("the Parquet file is damaged, or is none")


def table_bytes(rows: Sequence[Mapping[str, object]], schema: Any) -> bytes:
    """Rows as a Parquet file."""
    arrow = load_pyarrow()
    sink = arrow.BufferOutputStream()
    table = arrow.Table.from_pylist(list(rows), schema=schema)
    arrow.parquet.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())


def merge_tables(parts: Iterator[bytes], path: Path, schema: Any) -> None:
    """The rows of Parquet files, in order, as one file at ``path``."""
    arrow = load_pyarrow()
    with arrow.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        waiting: list[Any] = []
        size = 0
        for part in parts:
            table = arrow.parquet.read_table(arrow.BufferReader(part), use_threads=False)
            waiting.append(table)
            size += table.nbytes
            if size >= MERGED_BYTES:
                writer.write_table(arrow.concat_tables(waiting))
                waiting, size = [], 0
        if waiting:
            writer.write_table(arrow.concat_tables(waiting))


def row_schema(*, texts: Sequence[str], segments: bool) -> Any:
    """The columns of the output. ``texts`` are the names of those that are made, in order."""
    arrow = load_pyarrow()
    string = arrow.string()
    segment = arrow.struct(
        [
            ("text", string),
            ("source_start", arrow.int64()),
            ("source_end", arrow.int64()),
            ("target_start", arrow.int64()),
            ("target_end", arrow.int64()),
            ("score", arrow.float64()),
            ("finish_reason", string),
        ]
    )
    warning = arrow.struct([("about", string), ("code", string), ("message", string)])
    columns = [("id", string), ("language", string), ("language_confidence", arrow.float64())]
    columns += [("title", string), ("date", string)]
    columns += [(name, string) for name in texts]
    columns += [(f"{name}_segments", arrow.list_(segment)) for name in texts] if segments else []
    columns += [("warnings", arrow.list_(warning))]
    columns += [(name, arrow.int64()) for name in ("input_characters", "input_tokens", "output_tokens")]
    return arrow.schema(columns)
