"""What int8 costs in quality: ``python -m bench.quality --json FILE``. Greedy decoding in both formats.

BLEU of the embedded model, on sentences that it was not trained on where those lie beside the checkout, else on the
tests' own. For checkpoints with random weights, whose best tokens are nearly ties, how often both choose the same token
first, and how often they do after the same tokens.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from bench.shapes import EMBEDDED, SHAPES, draw_segments, prepare
from bench.systems import open_engine, requests

ROOT = Path(__file__).resolve().parents[1]
HELD_OUT = (ROOT.parent / "shared/eval/newstest2021.refA.tsv", ROOT.parent / "shared/eval/lctt-heldout.tsv")
OWN = ROOT / "tests/data/parallel.tsv"


def read_pairs(file: Path, limit: int) -> list[tuple[str, str]]:
    """English and Chinese sentences, the last two fields of each line."""
    with file.open(encoding="utf-8") as lines:
        fields = (line.rstrip("\n").split("\t") for line in lines)
        return [(entry[-2], entry[-1]) for entry in islice((each for each in fields if len(each) >= 2), limit)]


def translate(kind: str, sentences: Sequence[str]) -> list[str]:
    """Greedy outputs of our engine."""
    import warnings

    from transformers import AutoTokenizer

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Recommended: pip install sacremoses")
        tokenizer: Any = AutoTokenizer.from_pretrained(EMBEDDED, local_files_only=True)
    engine, model = open_engine(EMBEDDED, kind)
    segments = [tokenizer(sentence)["input_ids"] for sentence in sentences]
    futures = [engine.submit(request) for request in requests(SHAPES["embedded"], model.info, segments, 1)]
    texts = [tokenizer.decode(future.result().token_ids, skip_special_tokens=True) for future in futures]
    engine.close()
    return texts


def compare(file: Path, limit: int) -> dict[str, Any]:
    """One row of the result file."""
    import sacrebleu

    pairs = read_pairs(file, limit)
    outputs = {kind: translate(kind, [english for english, _ in pairs]) for kind in ("float32", "int8")}
    references = [[chinese for _, chinese in pairs]]
    scores = {kind: sacrebleu.corpus_bleu(texts, references, tokenize="zh").score for kind, texts in outputs.items()}
    equal = sum(one == other for one, other in zip(outputs["float32"], outputs["int8"], strict=True))
    return {
        "sentences_of": file.stem,
        "sentences": len(pairs),
        "bleu_float32": round(scores["float32"], 2),
        "bleu_int8": round(scores["int8"], 2),
        "equal_outputs": round(equal / len(pairs), 3),
    }


def choices(name: str, kind: str, work: Path) -> list[tuple[int, ...]]:
    """The tokens that a checkpoint with random weights chooses for each segment."""
    shape = SHAPES[name]
    checkpoint = prepare(shape, work)
    engine, model = open_engine(checkpoint, kind)
    segments = draw_segments(shape, checkpoint)
    futures = [engine.submit(request) for request in requests(shape, model.info, segments, 1)]
    tokens = [future.result().token_ids for future in futures]
    engine.close()
    return tokens


def agree(name: str, work: Path) -> dict[str, Any]:
    """One row of the result file's ``random_weights``."""
    exact, rounded = (choices(name, kind, work) for kind in ("float32", "int8"))
    pairs = list(zip(exact, rounded, strict=True))
    alike = [next((n for n, (a, b) in enumerate(zip(*pair, strict=True)) if a != b), len(pair[0])) for pair in pairs]
    compared = sum(min(count + 1, len(one)) for count, (one, _) in zip(alike, pairs, strict=True))
    return {
        "checkpoint": name,
        "segments": len(pairs),
        "different_first_tokens": len({one[0] for one in exact}),
        "first_tokens_alike": round(sum(count > 0 for count in alike) / len(alike), 4),
        "compared_after_the_same": compared,
        "tokens_alike_after_the_same": round(sum(alike) / compared, 4),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--sentences", type=int, default=2000, help="most of each set")
    parser.add_argument("--work", type=Path, default=Path("build/bench"), help="where checkpoints are made and kept")
    chosen = parser.parse_args()
    files = [file for file in HELD_OUT if file.exists()] or [OWN]
    random_weights = [agree(name, chosen.work) for name in ("opus-mt", "mt5-small")]
    found = {"results": [compare(file, chosen.sentences) for file in files], "random_weights": random_weights}
    print(json.dumps(found, indent=1))
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
