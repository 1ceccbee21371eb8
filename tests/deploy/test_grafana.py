"""The dashboard and the alert rules ask for metrics and labels that exist, in queries that hang together."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from glossd.telemetry.catalogue import (
    ENGINE_METRICS,
    ERRORS,
    FIRST_SEGMENT,
    REQUEST_SECONDS,
    REQUESTS,
    STAGE_SECONDS,
    STATE_METRICS,
    MetricSpec,
    all_metrics,
)

from tests.deploy.manifests import ROOT, read

DASHBOARD = ROOT / "deploy" / "grafana" / "dashboard.json"
ALERTS = ROOT / "deploy" / "grafana" / "alerts.yaml"
SERIES: dict[str, MetricSpec | None] = {name: spec for spec in all_metrics() for name in spec.series} | {"up": None}
FUNCTIONS = {"rate", "increase", "sum", "max", "histogram_quantile"}
WORDS = {"by", "le", "instance", "job"}
SCRAPED = {"instance", "job"}
COLUMNS = 24


def dashboard() -> dict[str, Any]:
    return dict(json.loads(DASHBOARD.read_text(encoding="utf-8")))


def rules() -> list[dict[str, Any]]:
    (file,) = read(ALERTS)
    return [rule for group in file["groups"] for rule in group["rules"]]


def queries() -> list[str]:
    shown = [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", ())]
    return shown + [rule["expr"] for rule in rules()]


def selectors(query: str) -> Iterator[tuple[str, str]]:
    """Every series of a query with its label matchers."""
    for match in re.finditer(r"([a-zA-Z_:][\w:]*)\s*(?:\{([^}]*)\})?", re.sub(r"by \([^)]*\)", "", query)):
        if match[1] in SERIES:
            yield match[1], match[2] or ""


@pytest.mark.parametrize("query", queries())
def test_every_metric_and_label_of_a_query_exists(query: str) -> None:
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\"[^\"]*\"", "", query)
    names = set(re.findall(r"[a-zA-Z_:][\w:]*", bare))
    grouped = {label.strip() for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(",")}
    assert names - FUNCTIONS - WORDS - grouped - set(SERIES) == set()
    found = list(selectors(query))
    assert found
    for series, matchers in found:
        spec = SERIES[series]
        own = set(spec.labels) if spec else set()
        allowed = own | SCRAPED | ({"le"} if series.endswith("_bucket") else set())
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)) <= allowed
        assert grouped <= allowed or series == "up"


@pytest.mark.parametrize("query", queries())
def test_every_bracket_of_a_query_is_closed_and_counters_are_asked_for_their_growth(query: str) -> None:
    for opening, closing in ("()", "[]", "{}"):
        assert query.count(opening) == query.count(closing)
    for series, _ in selectors(query):
        spec = SERIES[series]
        if spec is not None and spec.kind.value != "gauge":
            assert re.search(rf"(rate|increase)\({series}\b", query)


def test_panels_have_ids_of_their_own_titles_and_places_beside_each_other() -> None:
    panels = dashboard()["panels"]
    ids = [panel["id"] for panel in panels]
    assert len(set(ids)) == len(ids)
    assert all(panel["title"] for panel in panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        taken |= cells


def test_every_panel_takes_the_data_source_that_is_chosen() -> None:
    variables = {variable["name"] for variable in dashboard()["templating"]["list"]}
    assert variables == {"datasource", "instance"}
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            assert target["datasource"]["uid"] == "${datasource}"
            assert set(re.findall(r"\$(\w+)", target["expr"])) <= variables | {"__rate_interval"}


def test_what_operators_need_is_on_the_dashboard() -> None:
    targets = [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", ())]
    shown = {series for query in targets for series, _ in selectors(query)}
    asked = {spec.name for spec in all_metrics() if set(spec.series) & shown}
    engine = {"queued_segments", "queued_tokens", "rows_in_use", "rows", "decode_steps", "row_steps", "restarts"}
    engine |= {"beat_age_seconds", "source_tokens", "padded_source_tokens", "target_tokens", "row_limit", "cache_bytes"}
    engine |= {"cancelled_segments", "expired_segments", "failed_model_calls", "memory_failures"}
    needed = {ENGINE_METRICS[field].name for field in engine} | {spec.name for spec in STATE_METRICS}
    needed |= {REQUESTS.name, REQUEST_SECONDS.name, ERRORS.name, FIRST_SEGMENT.name, STAGE_SECONDS.name}
    assert needed | {"process_resident_memory_bytes"} <= asked


def test_alerts_have_names_of_their_own_a_severity_and_words() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description"}
    page = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
    assert [name for name in names if f"`{name}`" not in page] == []
