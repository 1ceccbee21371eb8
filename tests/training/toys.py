"""A toy corpus in the layout that `training.prepare` reads, and settings small enough for a test."""

from __future__ import annotations

import json
import lzma
import random
from pathlib import Path

from training.batches import PlanSettings
from training.prepare import PrepareSettings
from training.sources import Term
from training.synthetic import synthetic_pair
from training.workers import TrainSettings

PEOPLE = [
    Term("John Kerry", "约翰·克里", "person"),
    Term("Vladimir Putin", "弗拉基米尔·普京", "person"),
    Term("Merkel", "默克尔", "surname"),
]
PLACES = [
    Term("Moscow", "莫斯科", "city"),
    Term("Damascus", "大马士革", "city"),
    Term("Syria", "叙利亚", "country"),
    Term("France", "法国", "country"),
]


def write_corpus(directory: Path, pairs: int = 200) -> None:
    """Write `tatoeba.tsv.xz`, `news_commentary_10k.tsv.xz`, `articles.jsonl` and `lexicon.tsv`."""
    rng = random.Random(5)
    made = [synthetic_pair(rng, PEOPLE, PLACES) for _ in range(pairs)]
    for name, part in (("tatoeba", made[: pairs // 2]), ("news_commentary_10k", made[pairs // 2 :])):
        with lzma.open(directory / f"{name}.tsv.xz", "wt", encoding="utf-8") as file:
            file.writelines(f"{pair.source}\t{pair.target}\n" for pair in part)
    records = []
    for number in range(12):
        sentences = [synthetic_pair(rng, PEOPLE, PLACES) for _ in range(4)]
        body = [[[pair.source, pair.target] for pair in sentences]]
        records.append(
            {"id": f"toy-{number}", "title": [f"Talks in Moscow {number}", f"莫斯科会谈{number}"], "body": body}
        )
    lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    (directory / "articles.jsonl").write_text(lines, encoding="utf-8")
    rows = "".join(f"{term.source}\t{term.target}\t{term.kind}\n" for term in PEOPLE + PLACES)
    (directory / "lexicon.tsv").write_text(rows, encoding="utf-8")


def prepare_settings(corpus: Path, work: Path) -> PrepareSettings:
    """Tiny piece models, one epoch of each kind."""
    return PrepareSettings(corpus, corpus, work, source_size=540, target_size=640, general_epochs=1, news_epochs=1)


def train_settings(work: Path, last_step: int, *, save_seconds: float = 1e9) -> TrainSettings:
    """One worker, small steps, a log line every second step."""
    return TrainSettings(
        work=work,
        workers=1,
        warmup_steps=10,
        last_step=last_step,
        save_seconds=save_seconds,
        log_steps=2,
        average_every=2,
        plan=PlanSettings(batch_pieces=300, step_pieces=250, curriculum=True),
    )
