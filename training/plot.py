"""`python -m training.plot`: draw a run's curves (loss, BLEU and chrF over hours) and write the figures behind them."""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

Record = dict[str, Any]


def read_records(path: Path) -> list[Record]:
    """Read JSON lines; a missing file is an empty list."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def monotonic(records: list[Record]) -> list[Record]:
    """Drop lines that a resumed run wrote again: of two with one step the later one counts."""
    by_step = {record["step"]: record for record in records}
    return [by_step[step] for step in sorted(by_step)]


def curves(scores: list[Record], metric: str) -> dict[str, tuple[list[float], list[float]]]:
    """Hours and values of a metric by development set."""
    found: dict[str, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    for record in scores:
        hours, values = found[record["set"]]
        hours.append(record["hours"])
        values.append(record[metric])
    return dict(found)


def draw(losses: list[Record], scores: list[Record], path: Path) -> None:
    """Write the picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, middle, right) = pyplot.subplots(1, 3, figsize=(13, 3.6), layout="constrained")
    for data in dict.fromkeys(record["data"] for record in losses):
        part = [record for record in losses if record["data"] == data]
        left.plot([r["hours"] for r in part], [r["loss"] for r in part], label=f"{data} mix", linewidth=1)
    left.set(title="training loss (nats per piece)", xlabel="hours")
    for axis, metric, title in ((middle, "bleu", "BLEU (zh)"), (right, "chrf", "chrF")):
        for name, (hours, values) in curves(scores, metric).items():
            axis.plot(hours, values, marker="o", markersize=3, label=name)
        axis.set(title=f"{title} on development sentences, greedy", xlabel="hours")
    for axis in (left, middle, right):
        axis.grid(alpha=0.3)
        axis.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main(arguments: list[str] | None = None) -> None:
    """Read flags and draw."""
    parser = argparse.ArgumentParser(prog="python -m training.plot", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(".train"), help="holds metrics.jsonl and dev.jsonl")
    parser.add_argument("--picture", type=Path, default=Path("docs/embedded-training.png"))
    parser.add_argument("--data", type=Path, default=Path("docs/data/embedded-training.jsonl"))
    parser.add_argument("--every", type=int, default=1, help="keep every n-th loss line in --data")
    flags = parser.parse_args(arguments)
    losses = monotonic(read_records(flags.work / "metrics.jsonl"))
    scores = read_records(flags.work / "dev.jsonl")
    draw(losses, scores, flags.picture)
    flags.data.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(record) + "\n" for record in losses[:: flags.every] + scores]
    flags.data.write_text("".join(lines), encoding="utf-8")
    print(f"{len(losses)} loss lines and {len(scores)} scores drawn to {flags.picture}")


if __name__ == "__main__":
    main()
