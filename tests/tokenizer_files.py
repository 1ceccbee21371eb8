"""Tokenizer files for tiny checkpoints: real SentencePiece models and byte-level BPE, trained on the tests' sentences.

Each maker writes into a directory what the family's published checkpoints hold, so that AutoTokenizer loads it.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

PARALLEL = Path(__file__).parent / "data" / "parallel.tsv"


def parallel_sentences() -> list[tuple[str, str]]:
    """The (English, Chinese) pairs shipped with the tests."""
    lines = PARALLEL.read_text(encoding="utf-8").splitlines()
    pairs = (line.split("\t") for line in lines)
    return [(english, chinese) for english, chinese in pairs]


def _train_sentencepiece(sentences: Iterable[str], size: int, **options: Any) -> bytes:
    """A real SentencePiece model trained on ``sentences``."""
    import sentencepiece

    model = io.BytesIO()
    settings: dict[str, Any] = {"model_type": "unigram", "character_coverage": 0.98, "minloglevel": 2} | options
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_writer=model, vocab_size=size, num_threads=1, **settings
    )
    return model.getvalue()


def _mixed_sentences() -> list[str]:
    """All English sentences and few Chinese ones, or Chinese characters would fill the vocabulary."""
    pairs = parallel_sentences()
    return [english for english, _ in pairs] + [chinese for _, chinese in pairs[:30]]


def _pieces(model: bytes) -> list[str]:
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    return [processor.id_to_piece(index) for index in range(processor.get_piece_size())]


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as JSON that a person can read."""
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1), encoding="utf-8")


def marian_tokenizer(directory: Path) -> None:
    """source.spm, target.spm and one vocabulary of both: end token first, padding last, as in OPUS-MT."""
    pairs = parallel_sentences()
    source = _train_sentencepiece((english for english, _ in pairs), 400)
    target = _train_sentencepiece((chinese for _, chinese in pairs[:40]), 700)
    (directory / "source.spm").write_bytes(source)
    (directory / "target.spm").write_bytes(target)
    tokens = ["</s>", "<unk>"]
    tokens += [piece for piece in _pieces(source) + _pieces(target) if not piece.startswith("<")]
    tokens = [*dict.fromkeys(tokens), ">>cmn_Hans<<", ">>cmn_Hant<<", "<pad>"]
    write_json(directory / "vocab.json", {token: index for index, token in enumerate(tokens)})
    settings = {"source_lang": "eng", "target_lang": "zho", "model_max_length": 512, "separate_vocabs": False}
    write_json(directory / "tokenizer_config.json", settings | {"tokenizer_class": "MarianTokenizer"})


def byte_level_tokenizer(directory: Path) -> None:
    """vocab.json and merges.txt of a byte-level BPE, as in BART."""
    from tokenizers import ByteLevelBPETokenizer

    trainer = ByteLevelBPETokenizer()
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer.train_from_iterator(_mixed_sentences(), 700, show_progress=False, special_tokens=specials[:4])
    trainer.save_model(str(directory))
    vocabulary = json.loads((directory / "vocab.json").read_text(encoding="utf-8"))
    vocabulary["<mask>"] = len(vocabulary)
    write_json(directory / "vocab.json", vocabulary)
    write_json(directory / "tokenizer_config.json", {"tokenizer_class": "BartTokenizer", "model_max_length": 1024})


def sentencepiece_tokenizer(
    class_name: str, file_name: str, settings: dict[str, Any], **options: Any
) -> Callable[[Path], None]:
    """A maker that writes a SentencePiece file and lets transformers' own class convert and save it."""

    def write(directory: Path) -> None:
        import transformers

        raw = directory / "raw"
        raw.mkdir()
        (raw / file_name).write_bytes(_train_sentencepiece(_mixed_sentences(), 800, **options))
        tokenizer = getattr(transformers, class_name).from_pretrained(raw, local_files_only=True, **settings)
        tokenizer.save_pretrained(directory)
        shutil.copy(raw / file_name, directory / file_name)
        shutil.rmtree(raw)

    return write


def m2m100_tokenizer(directory: Path) -> None:
    """sentencepiece.bpe.model and vocab.json; language tokens follow the vocabulary, as in M2M100."""
    model = _train_sentencepiece(_mixed_sentences(), 800, model_type="bpe")
    (directory / "sentencepiece.bpe.model").write_bytes(model)
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *(piece for piece in _pieces(model) if not piece.startswith("<"))]
    write_json(directory / "vocab.json", {token: index for index, token in enumerate(tokens)})
    write_json(directory / "tokenizer_config.json", {"tokenizer_class": "M2M100Tokenizer", "model_max_length": 1024})
