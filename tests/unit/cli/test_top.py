"""``glossd top`` and ``glossd metrics``: what a server does, from its metrics; and what the metrics mean."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count

import pytest
from glossd.config import MetricsSettings
from glossd.telemetry.catalogue import all_metrics, markdown_table
from glossd.telemetry.metrics import EngineReading, Metrics, Stage, serve_metrics

from tests.unit.cli.conftest import Run


@pytest.fixture
def endpoint() -> Iterator[str]:
    """The metrics of a busy server: between two looks an engine does the same work again."""
    metrics, looks = Metrics(), count(1)

    def read() -> Iterator[EngineReading]:
        look = next(looks)
        metrics.call_answered("/glossd.v1.ArticleService/Digest", "OK", 0.3)
        metrics.call_answered("/glossd.v1.ArticleService/Digest", "RESOURCE_EXHAUSTED", 0.01, reasons={"OVERLOADED": 1})
        metrics.stage_done(Stage.QUEUE, 0.02)
        yield EngineReading(
            "toy-en-zh",
            alive=True,
            queued_segments=12,
            queued_tokens=345,
            rows_in_use=16,
            rows=64,
            decode_steps=100 * look,
            row_steps=1600 * look,
            source_tokens=900 * look,
            padded_source_tokens=1000 * look,
            target_tokens=800 * look,
        )

    metrics.watch_engines(read)
    metrics.watch_process("1.2.3", lambda: True, lambda: [("toy-en-zh", True), ("late", False)])
    served = serve_metrics(metrics, MetricsSettings(enabled=True, port=0))
    assert served is not None
    yield f"127.0.0.1:{served.port}"
    served.close()


def row(text: str, first: str) -> list[str]:
    """The cells of the line that begins with a word."""
    (line,) = [line for line in text.splitlines() if line.strip().startswith(first)]
    return re.split(r"\s{2,}", line.strip())


def test_one_plain_print_shows_queue_occupancy_rates_and_latency(run: Run, endpoint: str) -> None:
    ran = run("top", "--endpoint", endpoint, "--once", "--interval", "0.1")
    assert ran.code == 0
    assert "\x1b" not in ran.out
    head = ran.out.splitlines()[0]
    assert "glossd 1.2.3" in head
    assert "SERVING" in head
    model = row(ran.out, "toy-en-zh")
    assert model[1:4] == ["ready", "12", "345"]
    assert model[4].endswith("16/64")
    assert model[5:7] == ["16.0", "10%"]
    rates = [float(cell.replace(",", "")) for cell in model[7:10]]
    assert rates[0] > rates[1] > rates[2] > 0  # 900, 800 and 100 between two looks
    assert row(ran.out, "late")[1] == "not ready"
    digest = row(ran.out, "ArticleService/Digest")
    assert digest[-3:] == ["10 ms", "475 ms", "495 ms"]
    assert "OVERLOADED" in ran.out
    assert row(ran.out, "queue")[-3] == "18 ms"


def test_where_nothing_listens_it_says_so_and_what_to_do(run: Run) -> None:
    ran = run("top", "--endpoint", "127.0.0.1:9", "--once")
    assert ran.code == 1
    assert ran.err.startswith("glossd: no metrics at http://127.0.0.1:9/metrics")
    assert "--set metrics.enabled=true" in ran.err


def test_it_ends_with_an_error_when_the_server_leaves(run: Run) -> None:
    metrics, looks = Metrics(), count()
    metrics.watch_process("1.2.3", lambda: True, lambda: [])
    served = serve_metrics(metrics, MetricsSettings(enabled=True, port=0))
    assert served is not None

    def leave() -> Iterator[EngineReading]:
        if next(looks) == 3:
            raise RuntimeError("the toy has left")
        yield EngineReading("toy", alive=True)

    metrics.watch_engines(leave)
    ran = run("top", "--endpoint", f"127.0.0.1:{served.port}", "--interval", "0.1")
    assert ran.code == 1
    assert "no metrics at" in ran.err
    served.close()


def test_the_metrics_are_listed_to_read_and_for_the_docs(run: Run) -> None:
    plain = run("metrics").out
    assert [spec.name for spec in all_metrics() if spec.name not in plain] == []
    assert run("metrics", "--format", "markdown").out == markdown_table()
