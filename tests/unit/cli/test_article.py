"""`glossd digest`, `summarize` and `translate`, sent to a server and done here."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from glossd.v1 import article_service_pb2 as articles
from google.protobuf import json_format

from tests.conftest import Checkpoints
from tests.unit.cli.conftest import ARTICLE, Run


def test_a_digest_reads_as_text(run: Run, article: str, endpoint: str) -> None:
    ran = run("digest", article, "--endpoint", endpoint, "--sentences", "2")
    assert ran.code == 0
    assert ran.err == ""
    lines = ran.out.splitlines()
    assert lines[0].startswith("Language: English [en]")
    assert lines[1] == "Title: The ship of the canal is free at last"
    assert lines[2].startswith("Date: March 29, 2021")
    for heading in ("Summary (extractive):", "Summary in Chinese [zh-Hans] (toy-en-zh):", "Article in Chinese"):
        assert any(line.startswith(heading) for line in lines), heading
    assert " tokens in" in lines[-1]


def test_a_digest_as_json_is_the_response_message(run: Run, article: str, endpoint: str) -> None:
    ran = run("digest", article, "--endpoint", endpoint, "--format", "json")
    answer = json_format.Parse(ran.out, articles.DigestResponse())
    assert answer.translated_body.language_code == "zh-Hans"
    assert "translated_body" in json.loads(ran.out)
    assert answer.translated_summary.text in ran.out


@pytest.mark.parametrize(
    ("command", "response"),
    [("summarize", articles.SummarizeResponse), ("translate", articles.TranslateResponse)],
)
def test_a_text_as_json_is_the_response_message(
    run: Run,
    article: str,
    endpoint: str,
    command: str,
    response: type[articles.SummarizeResponse | articles.TranslateResponse],
) -> None:
    ran = run(command, article, "--endpoint", endpoint, "--format", "json")
    answer = json_format.Parse(ran.out, response())
    assert len(answer.results) == 1
    assert answer.results[0].text.text


def test_a_translation_is_alone_on_standard_output(run: Run, article: str, endpoint: str) -> None:
    ran = run("translate", article, "--endpoint", endpoint)
    assert ran.out.count("\n\n") == ARTICLE.strip().count("\n\n")
    assert ran.err.splitlines()[-1].startswith("Chinese [zh-Hans] by toy-en-zh; ")


def test_an_article_can_come_from_standard_input(run: Run, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(ARTICLE.encode())))
    ran = run("summarize", "-", "--endpoint", endpoint, "--sentences", "1")
    assert ran.code == 0
    assert ran.out.strip() in ARTICLE


def test_a_page_is_told_by_its_suffix(run: Run, tmp_path: Path, endpoint: str) -> None:
    page = tmp_path / "page.html"
    page.write_text("<html><body><p>The ship is free.</p><p>The port is full of joy.</p></body></html>")
    ran = run("translate", str(page), "--endpoint", endpoint)
    assert ran.code == 0
    assert ran.out.startswith("<html><body><p>")
    assert "ship" not in ran.out
    assert run("translate", str(page), "--endpoint", endpoint, "--mime", "text/plain").out.count("<") > 1


def test_a_digest_can_be_made_here(run: Run, article: str, checkpoints: Checkpoints) -> None:
    model = str(checkpoints("marian"))
    ran = run("digest", article, "--model", model, "--set", "models.canary=false", "--beams", "2")
    assert ran.code == 0, ran.err
    assert "Summary (extractive):" in ran.out


def test_a_summary_can_be_written_here_by_a_model(run: Run, article: str, checkpoints: Checkpoints) -> None:
    model = str(checkpoints("bart"))
    ran = run("summarize", article, "--model", model, "--set", "models.canary=false", "--format", "json")
    assert ran.code == 0, ran.err
    answer = json_format.Parse(ran.out, articles.SummarizeResponse())
    assert answer.results[0].text.model == Path(model).name


def test_a_summary_without_a_model_loads_none(run: Run, article: str) -> None:
    ran = run("summarize", article, "--set", "models.translation=/nowhere/at/all")
    assert ran.code == 0, ran.err
    assert "by extractive" in ran.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["translate", "/nowhere.txt"], 1, "cannot read /nowhere.txt: No such file or directory"),
        (["translate", "{article}", "--to", "xx"], 2, "--to: unknown language 'xx'; known are en"),
        (["translate", "{article}", "--language", "xx"], 2, "--language: unknown language 'xx'"),
        (["translate", "{article}", "--to", "de", "--endpoint", "{endpoint}"], 1, "de is not a target language"),
        (["translate", "{article}", "--to", "en", "--endpoint", "{endpoint}"], 1, "target_language_code"),
        (["translate", "{article}", "--model", "nobody", "--endpoint", "{endpoint}"], 1, "NOT_FOUND"),
        (["translate", "{article}", "--endpoint", "127.0.0.1:1"], 1, "no server at 127.0.0.1:1 (Connection refused)"),
        (["translate", "{article}", "--model", "some/model"], 1, "glossd models fetch some/model"),
        (["digest", "{article}", "--set", "engine.rows=0"], 2, "engine.rows: "),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(
    run: Run, article: str, endpoint: str, arguments: list[str], code: int, said: str
) -> None:
    ran = run(*(each.format(article=article, endpoint=endpoint) for each in arguments))
    assert ran.code == code
    assert ran.out == ""
    assert ran.err.startswith("glossd: ")
    assert said in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["digest"],
        ["digest", "{article}", "--sentences", "0"],
        ["digest", "{article}", "--sentences", "1", "--words", "9"],
        ["digest", "{article}", "--beams", "99"],
        ["digest", "{article}", "--format", "xml"],
        ["translate", "{article}", "--mime", "text/rtf"],
        ["summarize", "{article}", "--method", "magic"],
    ],
)
def test_a_wrong_call_is_a_usage_error(run: Run, article: str, arguments: list[str]) -> None:
    ran = run(*(each.format(article=article) for each in arguments))
    assert ran.code == 2
    assert "Usage: glossd" in ran.err


@pytest.mark.parametrize(("content", "said"), [(b"", "is empty"), (b" \n ", "white space"), (b"\xff", "not UTF-8")])
def test_a_file_that_holds_no_text_is_refused_before_anything_is_loaded(
    run: Run, tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    ran = run("translate", str(path))
    assert ran.code == 1
    assert said in ran.err
