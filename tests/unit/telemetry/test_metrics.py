"""Metrics: what is counted, what is read from the engines when asked, and the endpoint."""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path
from urllib.request import urlopen

from glossd.config import MetricsSettings
from glossd.tasks.reading import Reader
from glossd.tasks.translate import Translator
from glossd.telemetry.catalogue import ENGINE_METRICS, Kind, all_metrics, markdown_table
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
    assert counts == {Stage.PARSE: 1, Stage.QUEUE: 2, Stage.ENCODE: 2, Stage.DECODE: 2, Stage.REBUILD: 1}
    assert sample(metrics, "glossd_first_segment_seconds_count") == 1


def shown() -> dict[str, tuple[str, str]]:
    """Every metric that a full endpoint shows: its kind and its help."""
    metrics = Metrics()
    metrics.watch_engines(lambda: [EngineReading("toy", alive=True)])
    metrics.watch_process("1.2.3", lambda: True, lambda: [("toy", True), ("other", False)])
    kinds, helps = {}, {}
    for line in generate_latest(metrics.registry).decode().splitlines():
        if line.startswith("# TYPE"):
            _, _, name, kind = line.split(" ")
            kinds[name] = kind
        elif line.startswith("# HELP"):
            _, _, name, text = line.split(" ", 3)
            helps[name] = text
    return {name: (kind, helps[name]) for name, kind in kinds.items() if not name.endswith("_created")}


def test_the_endpoint_shows_what_the_catalogue_lists_and_nothing_else() -> None:
    listed = {spec.series[0] if spec.kind is Kind.COUNTER else spec.name: spec for spec in all_metrics()}
    seen = shown()
    system = {name for name in listed if name.startswith("process_")}
    assert set(seen) - system == set(listed) - system
    assert set(seen) & system <= system
    for name, (kind, text) in seen.items():
        assert kind == listed[name].kind.value
        assert text == listed[name].explanation or name in system


def test_every_engine_metric_is_a_field_of_the_reading() -> None:
    fields = {field.name for field in dataclasses.fields(EngineReading)} - {"model"}
    assert set(ENGINE_METRICS) == fields


def test_names_follow_the_rules_of_prometheus() -> None:
    names = [spec.name for spec in all_metrics()]
    assert len(set(names)) == len(names)
    for spec in all_metrics():
        assert re.fullmatch(r"(glossd|process)_[a-z_]+", spec.name)
        assert not spec.name.endswith("_total")
        assert spec.explanation.endswith(".")
        if spec.unit in ("seconds", "bytes"):
            assert spec.unit in spec.name
        assert {"text", "document", "request_id", "fairness_key"}.isdisjoint(spec.labels)


def test_the_docs_show_the_catalogue() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert markdown_table() in page, "run `glossd metrics --format markdown` and put its table in docs/metrics.md"


def test_the_state_of_server_and_models_is_read_when_it_is_asked_for() -> None:
    metrics, serving, ready = Metrics(), [True], {"toy": True}
    metrics.watch_process("1.2.3", lambda: serving[0], ready.items)
    assert sample(metrics, "glossd_serving") == 1
    assert sample(metrics, "glossd_model_ready", model="toy") == 1
    assert sample(metrics, "glossd_build_info", version="1.2.3") == 1
    serving[0], ready["toy"] = False, False
    assert sample(metrics, "glossd_serving") == 0
    assert sample(metrics, "glossd_model_ready", model="toy") == 0
    if sys.platform == "linux":
        assert (sample(metrics, "process_resident_memory_bytes") or 0) > 1 << 20


def test_the_endpoint_serves_only_when_asked_for() -> None:
    assert serve_metrics(Metrics(), MetricsSettings()) is None
    endpoint = serve_metrics(Metrics(), MetricsSettings(enabled=True, port=0))
    assert endpoint is not None
    with urlopen(f"http://127.0.0.1:{endpoint.port}/metrics") as answer:
        assert answer.status == 200
    endpoint.close()
    assert not endpoint.thread.is_alive()
