"""Text of the model card and of the licence list beside the embedded model. Figures come in as arguments."""

from __future__ import annotations

from typing import Any

from training.checkpoint import Position
from training.parameters import Layout, Shape
from training.sources import SOURCES

_CARD = """# glossd-en-zh {version}

A small English to Simplified Chinese translation model in the shape of Marian, trained from scratch for glossd, so that
the service translates out of the box without network. It loads wherever `Helsinki-NLP/opus-mt-en-zh` loads:

```python
from transformers import MarianMTModel, MarianTokenizer
model = MarianMTModel.from_pretrained(directory)
tokenizer = MarianTokenizer.from_pretrained(directory)
```

## Size
{parameters:,} parameters: width {shape.width}, {shape.encoder_layers} encoder and {shape.decoder_layers} decoder \
layers, feed-forward {shape.feed_forward}, {shape.heads} heads, joint vocabulary {shape.vocabulary:,} of which the \
first {shape.target_vocabulary:,} (target pieces) can be outputs. Weights in half precision.

## Use
- One sentence, or two to three short ones, per call; trained on at most 110 pieces a side.
- Source text: straight quotes, "-" for short dashes, "..." for an ellipsis, single plain spaces
  (`training/normalize.py`).
- `⟦0⟧` ... `⟦9⟧` are single pieces on both sides and are meant to be copied: they hold the place of protected terms.
- A name the model does not know is meant to be copied in Latin letters.

## Training
{position.step:,} updates, {position.pairs:,} sentence pairs and {position.target_pieces:,} target pieces read, \
{hours:.1f} hours on two CPU cores shared with other work. Muon on matrices, Adam on the rest, bfloat16, label
smoothing 0.1, cross-attention guided by word alignments at first, embeddings started from the same alignments; in the
second half a tenth of the decoder's inputs read as <unk>; closing phases on news-like sources with the rate falling to
zero. The weights are running averages of the last steps. Recipe: `training/` in glossd's repository.
The checkpoint was chosen on held-out authored articles and News Commentary, never on the sets below.

## Scores
{scores}
The news sets are the measure. `lctt-heldout` does not show general quality: it holds whole articles kept out of a
source that also trains the model (`lctt_cc`), so it is in-domain. Checked against all training pairs before
augmentation: no nine-word run of any test set occurs in training, and no whole sentence of the news sets does. Of
`lctt-heldout` 0.9 % of the sentences do, and 19 % share a run of ten Chinese characters. Measured on version 1.0:
without the sentences that share ten characters or seven words, greedy BLEU was 37.0 there (38.0 with them) and 20.4 on
generaltest2022-news (20.5); with Latin letters and digits removed from both sides, chrF on `lctt-heldout` fell from
38.0 to 32.4, so copied words count in it.

`Helsinki-NLP/opus-mt-en-zh` reports for itself BLEU 31.4 and chrF 0.268 on Tatoeba, a set of short everyday sentences;
that figure is not comparable with those above (another set, and about seven times the parameters).

## Limits
Small, and trained for hours where weeks are usual: it misreads long sentences, drops or invents details, and may pick
the wrong sense or the wrong characters for a name. Source text in scripts other than Latin comes out as noise or a
loop. Do not rely on it where an error matters; with a larger model loaded, the same service gives better text.

## Data
{data}
"""


def model_card(shape: Shape, position: Position, scores: dict[str, Any], version: str) -> str:
    """The card in Markdown."""
    return _CARD.format(
        version=version,
        parameters=Layout(shape).size,
        shape=shape,
        position=position,
        hours=position.seconds / 3600,
        scores=score_table(scores),
        data=_data_table(),
    )


def score_table(scores: dict[str, Any]) -> str:
    """Markdown table of what `training.evaluate` measured, signatures below it."""
    if not scores.get("rows"):
        return "Not measured yet.\n"
    lines = [
        "| set | search | BLEU | chrF | length ratio | empty | looping | wrong script |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in scores["rows"]:
        lines.append(
            f"| {row['set']} | {row['search']} | {row['bleu']:.2f} | {row['chrf']:.2f} | {row['length_ratio']:.2f} "
            f"| {row['empty']:.1%} | {row['looping']:.1%} | {row['wrong_script']:.1%} |"
        )
    signatures = "".join(f"- {name}: `{text}`\n" for name, text in scores.get("signatures", {}).items())
    return "\n".join(lines) + "\n\n" + signatures


def _data_table() -> str:
    rows = [f"| {source.name} | {source.attribution} | {source.licence} |" for source in SOURCES]
    return "\n".join(["| source | by | licence |", "|---|---|---|", *rows])


def licence_text() -> str:
    """Data sources with licence and attribution, as plain text."""
    head = (
        "The weights in this directory were trained by the glossd project on the sentence pairs listed here. The\n"
        "project places its own part under CC BY-SA 4.0, the strictest share-alike licence among the sources. One\n"
        "source, News Commentary, is distributed by WMT for research purposes and carries no explicit open licence:\n"
        "whoever needs certainty for commercial use should retrain without it (training/sources.py).\n\n"
    )
    return head + "".join(f"{s.name}\n  by: {s.attribution}\n  licence: {s.licence}\n" for s in SOURCES)
