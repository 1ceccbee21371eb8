"""Metrics: what is counted, what is read from the engines when asked, and the endpoint."""

from __future__ import annotations

from urllib.request import urlopen

from glossd.config import MetricsSettings
from glossd.tasks.reading import Reader
from glossd.tasks.translate import Translator
from glossd.telemetry.metrics import EngineReading, Metrics, Stage, serve_metrics
from glossd.types import DocumentInput, TranslateTask
from prometheus_client import generate_latest

from tests.toys import ToyDetector, toy_hub


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_calls_are_counted_by_method_and_code_and_timed() -> None:
    metrics = Metrics()
    with metrics.call_in_flight("/a/B"):
        assert sample(metrics, "glossd_requests_in_flight", method="/a/B") == 1
    metrics.call_answered("/a/B", "OK", 0.2)
    metrics.call_answered("/a/B", "CANCELLED", 0.1)
    assert sample(metrics, "glossd_requests_in_flight", method="/a/B") == 0
    assert sample(metrics, "glossd_requests_total", method="/a/B", code="OK") == 1
    assert sample(metrics, "glossd_request_seconds_count", method="/a/B") == 2


def test_engines_are_read_when_they_are_asked_for() -> None:
    metrics, readings = Metrics(), [EngineReading("toy", alive=True, queued_tokens=5, rows=8, target_tokens=7)]
    metrics.watch_engines(lambda: readings)
    assert sample(metrics, "glossd_queue_tokens", model="toy") == 5
    assert sample(metrics, "glossd_target_tokens_total", model="toy") == 7
    readings[0] = EngineReading("toy", alive=False)
    assert sample(metrics, "glossd_engine_alive", model="toy") == 0
    assert sample(metrics, "glossd_queue_tokens", model="toy") == 0


def test_two_sets_of_metrics_do_not_mix() -> None:
    first, second = Metrics(), Metrics()
    first.call_answered("/a/B", "OK", 0.1)
    assert sample(second, "glossd_requests_total", method="/a/B", code="OK") is None


async def test_a_translation_leaves_the_time_of_each_stage() -> None:
    metrics = Metrics()
    translator = Translator(toy_hub(), Reader(ToyDetector(), metrics), metrics)
    await translator.translate(TranslateTask(DocumentInput("The one. The two."), "zh"))
    counts = {stage: sample(metrics, "glossd_stage_seconds_count", stage=stage.value) for stage in Stage}
    assert counts == {Stage.PARSE: 1, Stage.QUEUE: 2, Stage.COMPUTE: 2, Stage.REBUILD: 1}


def test_every_metric_is_explained_and_belongs_to_glossd() -> None:
    metrics = Metrics()
    metrics.watch_engines(lambda: [EngineReading("toy", alive=True)])
    text = generate_latest(metrics.registry).decode()
    explained = [line.split(" ", 3) for line in text.splitlines() if line.startswith("# HELP")]
    assert len(explained) > 12
    assert all(name.startswith("glossd_") and said for _, _, name, said in explained)


def test_the_endpoint_serves_only_when_asked_for() -> None:
    assert serve_metrics(Metrics(), MetricsSettings()) is None
    endpoint = serve_metrics(Metrics(), MetricsSettings(enabled=True, port=0))
    assert endpoint is not None
    with urlopen(f"http://127.0.0.1:{endpoint.port}/metrics") as answer:
        assert answer.status == 200
    endpoint.close()
    assert not endpoint.thread.is_alive()
