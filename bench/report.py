"""Draws what the bench measured: the tables in ``docs/performance.md`` and ``docs/performance.png``, ratios only.

``python -m bench.report`` reads ``docs/data``: offline, steps, load, quality, queueing and crowd. A file that is absent
leaves its table as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bench.steps import PARTS

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE, PICTURE = DOCS / "performance.md", DOCS / "performance.png"
PEER = "ctranslate2-int8"
_COLORS = {
    "transformers": "#9a9a9a",
    "ctranslate2-float32": "#9ec5e8",
    "ctranslate2-int8": "#2f77b4",
    "glossd-float32": "#f6c28b",
    "glossd-int8": "#d9720b",
}

Row = dict[str, Any]


def offline_rows(results: Sequence[Row]) -> list[tuple[str, dict[str, Row]]]:
    """The systems by name for each checkpoint and number of beams."""
    keys = dict.fromkeys((entry["checkpoint"], entry["beams"]) for entry in results)
    return [
        (
            f"{checkpoint}, {'greedy' if beams == 1 else f'{beams} beams'}",
            {row["system"]: row for row in results if (row["checkpoint"], row["beams"]) == (checkpoint, beams)},
        )
        for checkpoint, beams in keys
    ]


def offline_table(results: Sequence[Row]) -> str:
    """Ratios of output tokens per second, and of peak memory."""
    lines = []
    for label, systems in offline_rows(results):
        lines.append(
            (
                label,
                _ratio(systems, "glossd-float32", "transformers"),
                _ratio(systems, "glossd-int8", "transformers"),
                _ratio(systems, "glossd-float32", "ctranslate2-float32"),
                _ratio(systems, "glossd-int8", PEER),
                _ratio(systems, "glossd-int8", PEER, of="peak_memory_bytes"),
            )
        )
    head = (
        "checkpoint",
        "float32 / `generate`",
        "int8 / `generate`",
        "float32 / CTranslate2 float32",
        "int8 / CTranslate2 int8",
        "peak memory, int8 / CTranslate2 int8",
    )
    return _table(head, lines)


def steps_table(results: Sequence[Row]) -> str:
    """Shares of a decode step, and the share of the arithmetic limit."""
    lines = [
        (
            f"{row['checkpoint']} {row['format']}",
            *(f"{row['share'][part]:.0%}" for part in PARTS),
            f"{row['share_of_arithmetic_limit']:.0%}",
            f"{row['batch_occupancy']:.0%}",
            f"{row['padding_share']:.1%}",
        )
        for row in results
    ]
    return _table(("", *PARTS, "of the arithmetic limit", "rows in use", "padding"), lines)


def load_table(report: Row) -> str:
    """What is left of the offline rate behind gRPC, and how much longer a lone client waits."""
    lines = [
        (f"{row['clients']} client{'s' if row['clients'] > 1 else ''}", f"{row['share_of_offline']:.2f}")
        for row in report["clients"]
    ]
    alone = report["lone_client"]
    lines += [
        ("a lone client's median wait / offline alone", f"{alone['p50_ratio']:.2f}"),
        ("its 99th percentile / offline alone", f"{alone['p99_ratio']:.2f}"),
    ]
    return _table((f"embedded, {report['dtype']}, {report['cores']} cores", "ratio to offline"), lines)


def quality_table(report: Row) -> str:
    """BLEU of both formats on the same sentences."""
    lines = [
        (
            row["sentences_of"],
            str(row["sentences"]),
            f"{row['bleu_float32']:.2f}",
            f"{row['bleu_int8']:.2f}",
            f"{row['bleu_int8'] - row['bleu_float32']:+.2f}",
            f"{row['equal_outputs']:.0%}",
        )
        for row in report["results"]
    ]
    return _table(("embedded model, greedy", "sentences", "float32", "int8", "difference", "equal outputs"), lines)


def agreement_table(report: Row) -> str:
    """How often both formats choose the same token."""
    lines = [
        (
            row["checkpoint"],
            f"{row['segments']:,}",
            str(row["different_first_tokens"]),
            f"{row['first_tokens_alike']:.1%}",
            f"{row['compared_after_the_same']:,}",
            f"{row['tokens_alike_after_the_same']:.1%}",
        )
        for row in report["random_weights"]
    ]
    head = ("random weights, greedy", "segments", "different first tokens", "first tokens alike")
    return _table((*head, "tokens after the same ones", "of those alike"), lines)


def queueing_table(report: Row) -> str:
    """How the cost of a segment in the queue grows with its length."""
    lines = [(f"{row['queued']:,}", f"{row['cost_ratio']:.2f}") for row in report["results"]]
    return _table(("segments queued", "queue's cost a segment / that at 1,000"), lines)


def crowd_table(report: Row) -> str:
    """How many outputs change in company."""
    line = (
        f"{report['checkpoint']}, {report['dtype']}",
        *(f"{report[name]:,}" for name in ("segments", "output_tokens", "differing")),
    )
    return _table(("", "segments", "output tokens", "segments that differ in any bit"), [line])


def _ratio(systems: dict[str, Row], one: str, other: str, *, of: str = "output_tokens_per_second") -> str:
    if one not in systems or other not in systems:
        return "–"
    return f"{systems[one][of] / systems[other][of]:.2f}"


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [head, ["---", *["---:"] * (len(head) - 1)], *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def replace_block(page: str, name: str, content: str) -> str:
    """Put ``content`` between the marks of that name."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(page):
        raise SystemExit(f"{PAGE.name}: no place marked {begin}")
    return pattern.sub(lambda _: f"{begin}\n{content}\n{end}", page)


def draw(offline: Sequence[Row], steps: Sequence[Row], file: Path) -> None:
    """Two panels: speed against CTranslate2 int8, and the parts of a step."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_speed(left, offline_rows(offline))
    _draw_steps(right, steps)
    figure.savefig(file, dpi=110, metadata={"Software": None})


def _draw_speed(axes: Any, groups: Sequence[tuple[str, dict[str, Row]]]) -> None:
    groups = [(label, systems) for label, systems in groups if PEER in systems]
    height = 0.8 / len(_COLORS)
    for order, (system, color) in enumerate(_COLORS.items()):
        present = [(at, systems) for at, (_, systems) in enumerate(groups) if system in systems]
        rates = [row[system]["output_tokens_per_second"] / row[PEER]["output_tokens_per_second"] for _, row in present]
        places = [at + (order - 2) * height for at, _ in present]
        bars = axes.barh(places, rates, height, color=color, label=system)
        axes.bar_label(bars, [f"{rate:.2f}" for rate in rates], padding=2, fontsize=7)
    axes.set_yticks(range(len(groups)), [label for label, _ in groups])
    axes.invert_yaxis()
    axes.set_xlabel("output tokens per second, CTranslate2 int8 = 1")
    axes.set_title("one thread, side by side")
    axes.legend(fontsize=8, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)


def _draw_steps(axes: Any, steps: Sequence[Row]) -> None:
    labels = [f"{row['checkpoint']}\n{row['format']}" for row in steps]
    left = [0.0] * len(steps)
    for part in PARTS:
        shares = [row["share"][part] for row in steps]
        axes.barh(labels, shares, 0.6, left=left, label=part)
        left = [before + share for before, share in zip(left, shares, strict=True)]
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of a decode step")
    axes.set_title("where a step's time goes")
    axes.legend(fontsize=8, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.12))
    axes.spines[["top", "right"]].set_visible(False)


def _read(name: str) -> Any:
    file = DOCS / "data" / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def main() -> None:
    """Rewrite the tables and the picture."""
    offline, steps, load = _read("offline"), _read("steps"), _read("load")
    page = PAGE.read_text(encoding="utf-8")
    if offline:
        page = replace_block(page, "offline", offline_table(offline["results"]))
    if steps:
        page = replace_block(page, "steps", steps_table(steps["results"]))
    if quality := _read("quality"):
        page = replace_block(page, "quality", quality_table(quality))
        page = replace_block(page, "agreement", agreement_table(quality))
    if load:
        page = replace_block(page, "load", load_table(load))
    if queueing := _read("queueing"):
        page = replace_block(page, "queueing", queueing_table(queueing))
    if crowd := _read("crowd"):
        page = replace_block(page, "crowd", crowd_table(crowd))
    PAGE.write_text(page, encoding="utf-8")
    if offline and steps:
        draw(offline["results"], steps["results"], PICTURE)


if __name__ == "__main__":
    main()
