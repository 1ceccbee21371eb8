"""``glossd top``: what a running server does now, read from its metrics and shown on the terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from glossd.telemetry.catalogue import MetricSpec
    from glossd.telemetry.scrape import Between, Snapshot

BAR_CELLS = 10
PLAIN_COLUMNS = 140


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("top")(top)


def top(
    endpoint: Annotated[
        str, typer.Option("--endpoint", metavar="HOST:PORT", help="The server's metrics endpoint.")
    ] = "127.0.0.1:9464",
    interval: Annotated[
        float, typer.Option("--interval", min=0.1, max=3600, metavar="SECONDS", help="Time between two looks.")
    ] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Look twice, print once, and end.")] = False,
) -> None:
    """Show queue, batch, tokens a second and latency of a server with metrics.enabled, until Ctrl-C.

    Rates and times are those of the last interval.

    Example: glossd top --endpoint 127.0.0.1:9464 --interval 1
    """
    from rich.console import Console
    from rich.live import Live

    from glossd.telemetry.scrape import Between, scrape

    console = Console()
    if not console.is_terminal:
        console = Console(width=PLAIN_COLUMNS)
    before = scrape(endpoint)
    if once:
        time.sleep(interval)
        console.print(view(Between(before, scrape(endpoint)), endpoint))
        return
    with Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
        while True:
            time.sleep(interval)
            after = scrape(endpoint)
            live.update(view(Between(before, after), endpoint), refresh=True)
            before = after


def view(between: Between, endpoint: str) -> RenderableType:
    """Everything as tables."""
    from rich.console import Group

    return Group(_head(between.after, endpoint), _models(between), _calls(between), _stages(between))


def _head(now: Snapshot, endpoint: str) -> RenderableType:
    from rich.text import Text

    from glossd.telemetry import catalogue

    serving = now.total(catalogue.SERVING) > 0
    version = ", ".join(now.values("version"))
    memory, cpu = (now.total(spec) for spec in catalogue.PROCESS_METRICS if spec.name in _HEAD)
    line = Text(f"glossd {version} at {endpoint}  ")
    line.append("SERVING" if serving else "NOT_SERVING", style="bold green" if serving else "bold red")
    line.append(f"  memory {memory / (1 << 20):,.0f} MiB  processor {cpu:,.0f} s")
    return line


_HEAD = ("process_resident_memory_bytes", "process_cpu_seconds")


def _table(title: str, *columns: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    return table


def _models(between: Between) -> Table:
    """One line for each model: queue, rows, rates."""
    from glossd.telemetry.catalogue import ENGINE_METRICS, MODEL_READY

    now = between.after
    table = _table(
        "Models",
        "model",
        "state",
        "queue",
        "tokens",
        "rows",
        "rows/step",
        "padding",
        "in/s",
        "out/s",
        "steps/s",
        "beat",
    )
    for model in now.values("model"):

        def level(field: str, of: str = model) -> float:
            return now.total(ENGINE_METRICS[field], model=of)

        def rate(field: str, of: str = model) -> float:
            return between.rate(ENGINE_METRICS[field], model=of)

        steps, padded = rate("decode_steps"), rate("padded_source_tokens")
        table.add_row(
            model,
            "ready" if now.total(MODEL_READY, model=model) else "not ready",
            f"{level('queued_segments'):,.0f}",
            f"{level('queued_tokens'):,.0f}",
            f"{_bar(level('rows_in_use'), level('rows'))} {level('rows_in_use'):,.0f}/{level('rows'):,.0f}",
            f"{rate('row_steps') / steps:,.1f}" if steps else "-",
            f"{1 - rate('source_tokens') / padded:.0%}" if padded else "-",
            f"{rate('source_tokens'):,.0f}",
            f"{rate('target_tokens'):,.0f}",
            f"{steps:,.0f}",
            f"{level('beat_age_seconds'):.1f} s",
        )
    return table


def _calls(between: Between) -> Table:
    """One line for each method that was called, and the errors by reason."""
    from glossd.telemetry.catalogue import ERRORS, IN_FLIGHT, REQUEST_SECONDS

    reasons = {reason: between.rate(ERRORS, reason=reason) for reason in between.after.values("reason")}
    errors = ", ".join(f"{reason} {rate:,.1f}/s" for reason, rate in reasons.items() if rate)
    table = _table(f"Calls{': ' if errors else ''}{errors}", "method", "now", "calls/s", "p50", "p95", "p99")
    for method in between.after.values("method"):
        table.add_row(
            method.strip("/").rpartition(".")[2],
            f"{between.after.total(IN_FLIGHT, method=method):,.0f}",
            f"{between.rate(REQUEST_SECONDS, method=method):,.1f}",
            *_times(between, REQUEST_SECONDS, method=method),
        )
    return table


def _stages(between: Between) -> Table:
    """One line for each stage, and the time to the first segment."""
    from glossd.telemetry.catalogue import FIRST_SEGMENT, STAGE_SECONDS
    from glossd.telemetry.metrics import Stage

    table = _table("Stages", "stage", "a second", "p50", "p95", "p99")
    for stage in Stage:
        rate = between.rate(STAGE_SECONDS, stage=stage.value)
        table.add_row(stage.value, f"{rate:,.1f}", *_times(between, STAGE_SECONDS, stage=stage.value))
    table.add_row("first segment", f"{between.rate(FIRST_SEGMENT):,.1f}", *_times(between, FIRST_SEGMENT))
    return table


def _times(between: Between, spec: MetricSpec, **labels: str) -> list[str]:
    return [_time(between.quantile(spec, share, **labels)) for share in (0.5, 0.95, 0.99)]


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{1000 * seconds:,.0f} ms" if seconds < 1 else f"{seconds:,.1f} s"


def _bar(used: float, whole: float) -> str:
    filled = round(BAR_CELLS * min(1.0, used / whole)) if whole else 0
    return "█" * filled + "░" * (BAR_CELLS - filled)
