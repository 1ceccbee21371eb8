"""Metrics read back: sums, rates and quantiles between two looks, and what is said of an endpoint that is none."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from glossd.errors import GlossdError
from glossd.telemetry.catalogue import REQUEST_SECONDS, REQUESTS
from glossd.telemetry.metrics import Metrics
from glossd.telemetry.scrape import Between, Snapshot, parse, scrape
from prometheus_client import generate_latest


def look(metrics: Metrics, seconds: float) -> Snapshot:
    return replace(parse(generate_latest(metrics.registry).decode()), seconds=seconds)


@pytest.fixture
def metrics() -> Metrics:
    made = Metrics()
    made.watch_process("1.2.3", lambda: True, lambda: [])
    return made


def test_counters_are_read_as_rates_of_the_interval(metrics: Metrics) -> None:
    metrics.call_answered("/a/B", "OK", 0.1)
    before = look(metrics, 10.0)
    for _ in range(6):
        metrics.call_answered("/a/B", "OK", 0.1)
    metrics.call_answered("/a/C", "INTERNAL", 0.1)
    between = Between(before, look(metrics, 12.0))
    assert between.rate(REQUESTS, method="/a/B") == 3.0
    assert between.rate(REQUESTS) == 3.5
    assert between.rate(REQUESTS, code="CANCELLED") == 0.0
    assert between.after.values("method") == ["/a/B", "/a/C"]


def test_a_server_that_began_again_has_no_negative_rate(metrics: Metrics) -> None:
    for _ in range(5):
        metrics.call_answered("/a/B", "OK", 0.1)
    before = look(metrics, 0.0)
    again = Metrics()
    again.watch_process("1.2.3", lambda: True, lambda: [])
    again.call_answered("/a/B", "OK", 0.1)
    assert Between(before, look(again, 1.0)).rate(REQUESTS) == 1.0


def test_quantiles_are_those_of_the_interval(metrics: Metrics) -> None:
    metrics.call_answered("/a/B", "OK", 50.0)
    before = look(metrics, 0.0)
    assert Between(before, before).quantile(REQUEST_SECONDS, 0.5) is None
    for seconds in [0.3] * 90 + [3.0] * 10:
        metrics.call_answered("/a/B", "OK", seconds)
    between = Between(before, look(metrics, 1.0))
    median, tail = (between.quantile(REQUEST_SECONDS, share, method="/a/B") for share in (0.5, 0.95))
    assert median is not None
    assert tail is not None
    assert math.isclose(median, 0.25 + 0.25 * 50 / 90)
    assert math.isclose(tail, 2.5 + 2.5 * 5 / 10)


def test_what_lies_beyond_the_last_bound_is_told_as_that_bound(metrics: Metrics) -> None:
    before = look(metrics, 0.0)
    metrics.call_answered("/a/B", "OK", 1000.0)
    assert Between(before, look(metrics, 1.0)).quantile(REQUEST_SECONDS, 0.5) == 120.0


@pytest.mark.parametrize("page", ["<html>hello</html>", "other_metric 1.0\n"])
def test_a_page_of_something_else_is_refused(page: str) -> None:
    with pytest.raises(GlossdError, match="metrics"):
        parse(page, address="http://nowhere/metrics")


def test_an_endpoint_where_nothing_listens_is_named_with_what_to_do() -> None:
    with pytest.raises(GlossdError, match=r"no metrics at http://127\.0\.0\.1:9/metrics .*metrics\.enabled=true"):
        scrape("127.0.0.1:9", timeout_seconds=2.0)
