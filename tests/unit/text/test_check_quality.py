"""Precision and recall of the checks on a labelled set: authored pairs as they are, and the same pairs damaged.

``python -m tests.unit.text.test_check_quality`` prints the table that stands in ``docs/translation.md``.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from glossd.text.checks import check_translation
from glossd.text.numbers import digit_numbers

ARTICLES = Path(__file__).resolve().parents[2] / "data" / "text" / "articles.jsonl"
PER_KIND = 30
Pair = tuple[str, str]


def empty(pair: Pair, others: Sequence[Pair], rng: random.Random) -> str:
    return rng.choice(["", "。", "……", " "])


def third(pair: Pair, others: Sequence[Pair], rng: random.Random) -> str:
    return pair[1][: len(pair[1]) // 3]


def first_clause(pair: Pair, others: Sequence[Pair], rng: random.Random) -> str:
    return re.split("[，；：]", pair[1])[0] + "。"


def number_lost(pair: Pair, others: Sequence[Pair], rng: random.Random) -> str:
    return re.sub(r"\d[\d.,]*[万亿]?", "", pair[1])


def number_changed(pair: Pair, others: Sequence[Pair], rng: random.Random) -> str:
    return re.sub(r"\d+", lambda match: str(int(match.group()) * 3 + 17), pair[1])


def phrase_loop(pair: Pair, others: Sequence[Pair], rng: random.Random) -> str:
    start = rng.randrange(max(1, len(pair[1]) - 8))
    return pair[1][:start] + pair[1][start : start + 8] * 6


def word_loop(pair: Pair, others: Sequence[Pair], rng: random.Random) -> str:
    start = rng.randrange(max(1, len(pair[1]) - 2))
    return pair[1][:start] + pair[1][start : start + 2] * 20


def run_on(pair: Pair, others: Sequence[Pair], rng: random.Random) -> str:
    return pair[1] + "".join(other for _, other in rng.sample(others, 5))


def untranslated(pair: Pair, others: Sequence[Pair], rng: random.Random) -> str:
    return pair[0]


def half_untranslated(pair: Pair, others: Sequence[Pair], rng: random.Random) -> str:
    return pair[1][: len(pair[1]) // 8] + pair[0][len(pair[0]) // 8 :]


def other_script(pair: Pair, others: Sequence[Pair], rng: random.Random) -> str:
    return "Совет собрался в понедельник и говорил о мосте через реку."


def other_sentence(pair: Pair, others: Sequence[Pair], rng: random.Random) -> str:
    return rng.choice(others)[1]


@dataclass(frozen=True, slots=True)
class Damage:
    """A way to break a translation, and the least share of it that must be noticed."""

    name: str
    break_it: Callable[[Pair, Sequence[Pair], random.Random], str]
    floor: float


DAMAGES = (
    Damage("nothing came out", empty, 1.0),
    Damage("cut to a third", third, 0.9),
    Damage("only the first clause", first_clause, 0.6),
    Damage("a number is lost", number_lost, 0.9),
    Damage("a number is changed", number_changed, 0.85),
    Damage("a phrase six times", phrase_loop, 1.0),
    Damage("a word twenty times", word_loop, 1.0),
    Damage("runs on for five more sentences", run_on, 0.9),
    Damage("left untranslated", untranslated, 0.95),
    Damage("mostly left untranslated", half_untranslated, 0.9),
    Damage("in another script", other_script, 0.95),
    Damage("another sentence's translation", other_sentence, 0.0),
)


def read_pairs() -> list[Pair]:
    """Sentences of at least eight words, so that there is something to break."""
    pairs = []
    for line in ARTICLES.read_text(encoding="utf-8").splitlines():
        for paragraph in json.loads(line)["body"]:
            pairs += [(one, other) for one, other in paragraph if len(one.split()) >= 8]
    return pairs


def is_named(source: str, target: str) -> bool:
    return bool(check_translation(source, target, source_language="en", target_language="zh"))


def broken_outputs(damage: Damage, pairs: Sequence[Pair]) -> list[Pair]:
    """The same draw each time; numbers are broken where the source has one that counts."""
    rng = random.Random(3)
    fitting = [
        pair for pair in pairs if "number" not in damage.name or any(value >= 13 for _, value in digit_numbers(pair[0]))
    ]
    fitting = [
        pair for pair in fitting if damage.break_it is not first_clause or len(re.split("[，；：]", pair[1])) > 2
    ]
    drawn = rng.sample(fitting, min(PER_KIND, len(fitting)))
    return [(pair[0], damage.break_it(pair, pairs, rng)) for pair in drawn]


def recall(outputs: Sequence[Pair]) -> float:
    return sum(is_named(*pair) for pair in outputs) / len(outputs)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_the_checks_notice(damage: Damage) -> None:
    outputs = broken_outputs(damage, read_pairs())
    assert len(outputs) >= 20
    assert recall(outputs) >= damage.floor


def test_what_the_checks_name_is_broken() -> None:
    pairs = read_pairs()
    broken = [output for damage in DAMAGES for output in broken_outputs(damage, pairs)]
    assert len(broken) >= 120
    false_alarms = sum(is_named(*pair) for pair in pairs) / len(pairs)
    named = sum(is_named(*pair) for pair in broken)
    assert false_alarms <= 0.02
    # as many good outputs as broken ones
    assert named / (named + false_alarms * len(broken)) >= 0.97


def main() -> None:
    """The table."""
    pairs = read_pairs()
    print("| broken output | outputs | noticed |\n|---|---:|---:|")
    named = total = 0
    for damage in DAMAGES:
        outputs = broken_outputs(damage, pairs)
        share = recall(outputs)
        named, total = named + round(share * len(outputs)), total + len(outputs)
        print(f"| {damage.name} | {len(outputs)} | {share:.0%} |")
    false_alarms = sum(is_named(*pair) for pair in pairs)
    precision = named / (named + false_alarms * total / len(pairs))
    print(f"| all | {total} | {named / total:.0%} |")
    print(f"\n{false_alarms} of {len(pairs)} good translations are named; precision at equal numbers {precision:.1%}")


if __name__ == "__main__":
    main()
