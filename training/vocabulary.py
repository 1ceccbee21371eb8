"""The two SentencePiece models and the joint Marian vocabulary, target pieces first. No training data selection."""

from __future__ import annotations

import io
import json
import string
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import sentencepiece

PLACEHOLDERS = tuple(f"⟦{digit}⟧" for digit in range(10))
END, UNKNOWN, PAD = "</s>", "<unk>", "<pad>"
UNKNOWN_ID = 1
_LATIN = string.ascii_letters + string.digits + string.punctuation

Ids = npt.NDArray[np.uint16]


def train_piece_model(
    sentences: Iterable[str], path: Path, *, size: int, normalization: str, threads: int = 2, dummy_prefix: bool = True
) -> None:
    """Train a unigram model with byte fallback, single digits and the placeholders as whole pieces."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=model,
        model_type="unigram",
        vocab_size=size,
        normalization_rule_name=normalization,
        add_dummy_prefix=dummy_prefix,
        character_coverage=0.9998,
        byte_fallback=True,
        split_digits=True,
        required_chars=_LATIN,
        user_defined_symbols=list(PLACEHOLDERS),
        max_sentencepiece_length=12,
        bos_id=-1,
        eos_id=0,
        unk_id=UNKNOWN_ID,
        pad_id=-1,
        num_threads=threads,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    path.write_bytes(model.getvalue())


def joint_pieces(source_pieces: list[str], target_pieces: list[str]) -> list[str]:
    """Order the joint vocabulary: </s>, <unk>, the target's pieces, pieces only the source has, <pad>."""
    special = (END, UNKNOWN, PAD)
    ordered = [END, UNKNOWN, *(piece for piece in target_pieces if piece not in special)]
    known = set(ordered)
    ordered += [piece for piece in source_pieces if piece not in known and piece not in special]
    return [*ordered, PAD]


@dataclass(frozen=True)
class Vocabulary:
    """Both piece models and the joint numbering. Ids below `target_size` may be outputs; the last id is <pad>."""

    source: sentencepiece.SentencePieceProcessor
    target: sentencepiece.SentencePieceProcessor
    ids: dict[str, int]
    target_size: int

    @property
    def size(self) -> int:
        """Number of joint ids, <pad> included."""
        return len(self.ids)

    @property
    def pad(self) -> int:
        """Id of <pad>, also the decoder's start token."""
        return self.ids[PAD]

    def encode_source(self, texts: list[str]) -> list[Ids]:
        """Joint ids of English texts, with </s>."""
        return self._encode(self.source, texts)

    def encode_target(self, texts: list[str]) -> list[Ids]:
        """Joint ids of Chinese texts, with </s>."""
        return self._encode(self.target, texts)

    def _encode(self, model: sentencepiece.SentencePieceProcessor, texts: list[str]) -> list[Ids]:
        table = np.array([self.ids[model.id_to_piece(i)] for i in range(model.get_piece_size())], dtype=np.uint16)
        end = np.zeros(1, dtype=np.uint16)
        return [np.concatenate([table[np.array(row, dtype=np.int64)], end]) for row in model.encode(texts)]


def build_vocabulary(directory: Path) -> Vocabulary:
    """Write vocab.json from source.spm and target.spm in `directory` and return the vocabulary."""
    source, target = (_load(directory / name) for name in ("source.spm", "target.spm"))
    source_pieces, target_pieces = (
        [model.id_to_piece(i) for i in range(model.get_piece_size())] for model in (source, target)
    )
    pieces = joint_pieces(source_pieces, target_pieces)
    ids = {piece: index for index, piece in enumerate(pieces)}
    text = json.dumps(ids, ensure_ascii=False, indent=0)
    (directory / "vocab.json").write_text(text + "\n", encoding="utf-8")
    return Vocabulary(source, target, ids, len(target_pieces))


def load_vocabulary(directory: Path) -> Vocabulary:
    """Load source.spm, target.spm and vocab.json."""
    source, target = (_load(directory / name) for name in ("source.spm", "target.spm"))
    ids = json.loads((directory / "vocab.json").read_text(encoding="utf-8"))
    return Vocabulary(source, target, ids, target.get_piece_size())


def _load(path: Path) -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(model_file=str(path))
