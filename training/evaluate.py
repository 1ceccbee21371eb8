"""`python -m training.evaluate`: BLEU, chrF and faults of a Marian directory on test or development sets."""

from __future__ import annotations

import argparse
import json
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import sacrebleu
import torch
from transformers import MarianMTModel, MarianTokenizer

from training.normalize import normalize_source

_HAN = re.compile(r"[\u3400-\u9fff]")
_FOREIGN = re.compile(r"[\u0400-\u052f\u0590-\u06ff\u0900-\u0dff\u3040-\u30ff\uac00-\ud7af]")
_LOOP = re.compile(r"(.{1,12}?)\1{4,}")


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """Sentences with one reference each."""

    name: str
    sources: list[str]
    references: list[str]

    def first(self, count: int | None) -> EvaluationSet:
        """An evenly spread subset of `count` sentences, or all."""
        if count is None or count >= len(self.sources):
            return self
        step = len(self.sources) / count
        rows = [int(i * step) for i in range(count)]
        return EvaluationSet(self.name, [self.sources[i] for i in rows], [self.references[i] for i in rows])


@dataclass(frozen=True, slots=True)
class Row:
    """Scores of one set with one search. Shares are of all sentences; `length_ratio` is characters per reference's."""

    set: str
    search: str
    sentences: int
    bleu: float
    chrf: float
    length_ratio: float
    empty: float
    looping: float
    wrong_script: float
    seconds: float


def read_set(path: Path) -> EvaluationSet:
    """Read doc_id TAB english TAB chinese lines, or JSON lines with source and target."""
    sources, references = [], []
    for line in path.read_text(encoding="utf-8").splitlines():
        if path.suffix == ".jsonl":
            record = json.loads(line)
            source, reference = record["source"], record["target"]
        else:
            _, source, reference = line.split("\t")[:3]
        sources.append(source)
        references.append(reference)
    return EvaluationSet(path.name.removesuffix(path.suffix), sources, references)


def is_looping(text: str) -> bool:
    """Whether one to twelve characters are repeated five times in a row, digits and dots excepted."""
    found = _LOOP.search(text)
    return found is not None and not re.fullmatch(r"[\d.\-_=* ]+", found.group(1))


def is_wrong_script(source: str, output: str) -> bool:
    """Whether a source with words came out without any Chinese character, or with a script neither side uses."""
    words = re.findall(r"[A-Za-z]{3,}", source)
    return bool(_FOREIGN.search(output)) or (len(words) >= 3 and not _HAN.search(output))


class Translator:
    """A Marian directory loaded for evaluation."""

    def __init__(self, directory: Path) -> None:
        self.tokenizer = MarianTokenizer.from_pretrained(directory)
        self.model = MarianMTModel.from_pretrained(directory, dtype=torch.float32).eval()

    def translate(
        self, texts: list[str], *, beams: int, batch: int = 32, length_penalty: float | None = None
    ) -> list[str]:
        """Translate sentences, in batches of similar length."""
        normalized = [normalize_source(text) for text in texts]
        order = sorted(range(len(texts)), key=lambda i: len(normalized[i]))
        outputs = [""] * len(texts)
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            inputs = self.tokenizer([normalized[i] for i in rows], return_tensors="pt", padding=True, truncation=True)
            longest = int(inputs["input_ids"].shape[1]) * 2 + 10
            extra = {} if length_penalty is None else {"length_penalty": length_penalty}
            with torch.inference_mode():
                ids = self.model.generate(**inputs, num_beams=beams, max_length=min(longest, 400), **extra)
            for row, text in zip(rows, self.tokenizer.batch_decode(ids, skip_special_tokens=True), strict=True):
                outputs[row] = text
        return outputs


def score(data: EvaluationSet, outputs: list[str], search: str, seconds: float) -> tuple[Row, dict[str, str]]:
    """Scores and the signatures of the metrics."""
    bleu, chrf = sacrebleu.BLEU(tokenize="zh"), sacrebleu.CHRF()
    bleu_score = bleu.corpus_score(outputs, [data.references]).score
    chrf_score = chrf.corpus_score(outputs, [data.references]).score
    count = len(outputs)
    row = Row(
        set=data.name,
        search=search,
        sentences=count,
        bleu=round(bleu_score, 2),
        chrf=round(chrf_score, 2),
        length_ratio=round(sum(map(len, outputs)) / max(1, sum(map(len, data.references))), 3),
        empty=sum(not text.strip() for text in outputs) / count,
        looping=sum(map(is_looping, outputs)) / count,
        wrong_script=sum(map(is_wrong_script, data.sources, outputs)) / count,
        seconds=round(seconds, 1),
    )
    return row, {"BLEU": str(bleu.get_signature()), "chrF": str(chrf.get_signature())}


def evaluate(
    translator: Translator,
    sets: list[EvaluationSet],
    searches: list[int],
    *,
    samples: int = 0,
    length_penalty: float | None = None,
) -> dict[str, Any]:
    """Score every set with every number of beams (1 is greedy); prints a line per result and some samples."""
    rows: list[Row] = []
    signatures: dict[str, str] = {}
    known: dict[tuple[int, tuple[str, ...]], tuple[list[str], float]] = {}  # sets may share sources (two references)
    for data in sets:
        for beams in searches:
            key = (beams, tuple(data.sources))
            if key not in known:
                started = time.monotonic()
                outputs = translator.translate(data.sources, beams=beams, length_penalty=length_penalty)
                known[key] = outputs, time.monotonic() - started
            outputs, seconds = known[key]
            search = "greedy" if beams == 1 else f"beam {beams}"
            row, signatures = score(data, outputs, search, seconds)
            rows.append(row)
            print(" ".join(f"{name}={value}" for name, value in asdict(row).items()), flush=True)
            step = max(1, len(outputs) // samples) if samples else len(outputs) + 1
            for i in range(0, len(outputs) if samples else 0, step):
                print(f"  {data.sources[i]}\n  = {data.references[i]}\n  > {outputs[i]}")
    return {"rows": [asdict(row) for row in rows], "signatures": signatures}


def main(arguments: list[str] | None = None) -> None:
    """Read flags and evaluate."""
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    embedded = Path("service/glossd/models/embedded/glossd-en-zh")
    parser.add_argument("--model", type=Path, default=embedded, help="Marian directory")
    parser.add_argument("--eval", type=Path, default=Path("../shared/eval"), help="folder of .tsv or .jsonl sets")
    parser.add_argument("--beams", type=int, nargs="+", default=[1, 4], help="1 is greedy")
    parser.add_argument("--limit", type=int, help="sentences per set, evenly spread")
    parser.add_argument("--length-penalty", type=float)
    parser.add_argument("--samples", type=int, default=0, help="sample translations to print per set")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--metrics", type=Path, help="append one line here, for training.plot")
    parser.add_argument("--hours", type=float, default=0.0, help="training time, for --metrics")
    flags = parser.parse_args(arguments)
    torch.set_num_threads(flags.threads)
    paths = sorted([*flags.eval.glob("*.tsv"), *flags.eval.glob("*.jsonl")])
    sets = [read_set(path).first(flags.limit) for path in paths]
    translator = Translator(flags.model)
    result = evaluate(translator, sets, flags.beams, samples=flags.samples, length_penalty=flags.length_penalty)
    if flags.json:
        flags.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if flags.metrics:
        with open(flags.metrics, "a", encoding="utf-8") as file:
            file.writelines(json.dumps({"hours": flags.hours, **row}) + "\n" for row in result["rows"])


if __name__ == "__main__":
    main()
