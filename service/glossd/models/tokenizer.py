"""A checkpoint's own tokenizer made safe to share between threads: text to ids with special tokens, and back.

The tokenizers of ``transformers`` keep the present language, truncation and padding as state, so two threads would
see each other's. Here the special tokens of every language are read once, and only stateless calls follow.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glossd.errors import InvalidInputError, ModelFilesError, UnsupportedLanguageError
from glossd.languages import Language, all_languages, get_language
from glossd.models.directions import (
    Directions,
    column_directions,
    manifest_directions,
    marian_directions,
    marian_target_token,
    prompted_directions,
)

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

PROBE = "a"
_MARIAN_FILES = ("vocab.json", "source.spm", "target.spm")
T5_WINDOW = 512
_COLUMNS = {"MBartTokenizer": "mbart", "MBart50Tokenizer": "mbart", "M2M100Tokenizer": "m2m", "NllbTokenizer": "nllb"}


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """Ids that stand before and after the pieces of a text."""

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TokenizerFacts:
    """What the tokenizer must know of its checkpoint besides its own files."""

    model_type: str
    name: str = ""
    window: int = 0
    forced_bos_token_id: int | None = None
    task_params: Mapping[str, Any] | None = None
    prefix: str = ""
    manifest: Mapping[str, Any] | None = None


class Tokenizer:
    """Text to token ids and back for one checkpoint. Every method may be called from any thread.

    Special tokens that are written out in a text ("</s>", "zh_CN") are read as plain text.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, facts: TokenizerFacts) -> None:
        self._tokenizer: Any = tokenizer
        self._facts = facts
        self._column = _COLUMNS.get(type(tokenizer).__name__, "")
        self._pieces = _pieces_function(self._tokenizer)
        self._special = self._read_special_tokens()
        self._plain = next(iter(self._special.values()))
        vocabulary: dict[str, int] = self._tokenizer.get_vocab()
        self._language_ids = self._read_language_ids(vocabulary)
        self._target_tokens = self._read_target_tokens(vocabulary)
        self._directions = self._read_directions(vocabulary)
        self._extra = self._count_extra_tokens()
        self._largest_id = max([*vocabulary.values(), *self._language_ids.values()])

    @property
    def source_language_codes(self) -> tuple[str, ...]:
        """Languages it reads, as BCP-47."""
        return self._directions.sources

    @property
    def target_language_codes(self) -> tuple[str, ...]:
        """Languages it writes, as BCP-47."""
        return self._directions.targets

    @property
    def largest_id(self) -> int:
        """The largest id that a text may get."""
        return self._largest_id

    @property
    def vocabulary(self) -> Mapping[str, int]:
        """The checkpoint's own tokens and their ids."""
        table: dict[str, int] = self._tokenizer.get_vocab()
        return table

    @property
    def window(self) -> int:
        """Largest number of source tokens with special tokens and prompt; 0 for no fixed limit."""
        return self._facts.window

    def encode(self, text: str, *, source_language: str = "", target_language: str = "") -> tuple[int, ...]:
        """Ids of ``text`` with the special tokens of the language pair, and the prompt where the model wants one.

        Raises ``InvalidInputError`` for text that is not Unicode, ``UnsupportedLanguageError`` for a language that the
        checkpoint has no token for.
        """
        special = self._special_for(source_language)
        prompt = self._facts.prefix + self.prompt(source_language, target_language)
        return (*self._mark(target_language), *special.prefix, *self._pieces(prompt + _checked(text)), *special.suffix)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of generated ids, special tokens left out."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def count(self, text: str) -> int:
        """Number of tokens of ``text`` with special tokens and the longest prompt."""
        return len(self._pieces(self._facts.prefix + _checked(text))) + self._extra

    def counts(self, texts: Sequence[str]) -> list[int]:
        """As :meth:`count`, for many texts."""
        return [self.count(text) for text in texts]

    def forced_bos_token_id(self, target_language: str) -> int | None:
        """The first token to generate for a target language; None where the model does not choose by it."""
        if self._starts_with_language or not self._column or not target_language:
            return None
        return self._language_id(target_language, "target_language_code")

    def decoder_start_token_id(self, target_language: str) -> int | None:
        """The decoder's start token where it is the target language (mBART-25), else None."""
        if not self._starts_with_language or not target_language:
            return None
        return self._language_id(target_language, "target_language_code")

    def prompt(self, source_language: str, target_language: str) -> str:
        """What a T5 is told to do, from its ``task_specific_params``; "" for a model that is told nothing."""
        tasks = self._facts.task_params or {}
        if not tasks or self._facts.model_type != "t5":
            return ""
        source, target = (_language(code) for code in (source_language, target_language))
        if source is None or target is None or source == target:
            return str((tasks.get("summarization") or {}).get("prefix") or "")
        entry = tasks.get(f"translation_{source.iso}_to_{target.iso}") or {}
        return str(entry.get("prefix") or f"translate {source.name} to {target.name}: ")

    @property
    def _starts_with_language(self) -> bool:
        return type(self._tokenizer).__name__ == "MBartTokenizer"

    def _special_for(self, source_language: str) -> SpecialTokens:
        code = _code(source_language, "document.language_code")
        if not self._column or not code:
            return self._plain
        self._language_id(code, "document.language_code")
        return self._special[code]

    def _language_id(self, language: str, field: str) -> int:
        code = _code(language, field)
        if code not in self._language_ids:
            known = ", ".join(self._language_ids)
            raise UnsupportedLanguageError(field, f"{language[:40]!r} has no token in this model; known are {known}")
        return self._language_ids[code]

    def _mark(self, target_language: str) -> tuple[int, ...]:
        """The target token that some Marian checkpoints want before the source."""
        code = _code(target_language, "target_language_code")
        if not self._target_tokens or not code:
            return ()
        if code not in self._target_tokens:
            known = ", ".join(self._target_tokens)
            raise UnsupportedLanguageError(
                "target_language_code", f"{code} has no token in this model; known are {known}"
            )
        return self._target_tokens[code]

    def _count_extra_tokens(self) -> int:
        """Tokens that stand around any text: special tokens, a target mark, the longest prompt."""
        marks = max((len(mark) for mark in self._target_tokens.values()), default=0)
        special = max(len(each.prefix) + len(each.suffix) for each in self._special.values())
        tasks = (self._facts.task_params or {}) if self._facts.model_type == "t5" else {}
        prompts = [str(task.get("prefix") or "") for task in tasks.values() if isinstance(task, Mapping)]
        return marks + special + max((len(self._pieces(prompt)) for prompt in prompts if prompt), default=0)

    def _read_special_tokens(self) -> dict[str, SpecialTokens]:
        """Special tokens by source language; the tokenizer's own default first, under ""."""
        special = {"": self._probe()}
        for language in all_languages() if self._column else ():
            name = getattr(language, self._column)
            if name and self._knows(name):
                self._tokenizer.src_lang = name
                special[language.code] = self._probe()
        return special

    def _knows(self, name: str) -> bool:
        if self._column == "m2m":
            return name in self._tokenizer.lang_code_to_id
        return name in self._tokenizer.get_vocab()

    def _probe(self) -> SpecialTokens:
        """What the tokenizer itself puts around a text, as it is set now."""
        pieces = self._pieces(PROBE)
        ids = [int(token) for token in self._tokenizer(PROBE)["input_ids"]]
        for start in range(len(ids) - len(pieces) + 1):
            if tuple(ids[start : start + len(pieces)]) == pieces:
                return SpecialTokens(tuple(ids[:start]), tuple(ids[start + len(pieces) :]))
        raise ModelFilesError(f"tokenizer: {PROBE!r} is {ids} with special tokens but {list(pieces)} without")

    def _read_language_ids(self, vocabulary: Mapping[str, int]) -> dict[str, int]:
        """The token of each language by BCP-47 code."""
        table: Mapping[str, int] = self._tokenizer.lang_code_to_id if self._column == "m2m" else vocabulary
        if not self._column:
            return {}
        names = ((language.code, getattr(language, self._column)) for language in all_languages())
        return {code: int(table[name]) for code, name in names if name and name in table}

    def _read_target_tokens(self, vocabulary: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
        """Marian's ``>>cmn_Hans<<`` in front of the source, by target code."""
        if self._facts.model_type != "marian":
            return {}
        tokens = ((language.code, marian_target_token(language, vocabulary)) for language in all_languages())
        return {code: (vocabulary[token],) for code, token in tokens if token}

    def _read_directions(self, vocabulary: Mapping[str, int]) -> Directions:
        facts = self._facts
        written = manifest_directions(facts.manifest or {})
        if written is not None:
            return written
        if facts.model_type == "marian":
            return marian_directions(self._tokenizer.init_kwargs, vocabulary, facts.name)
        if self._column:
            table = self._tokenizer.lang_code_to_id if self._column == "m2m" else vocabulary
            return column_directions(self._column, table, facts.name, facts.forced_bos_token_id)
        multilingual = facts.model_type in ("mt5", "umt5")
        return prompted_directions(facts.task_params or {}, multilingual=multilingual)


def load_tokenizer(directory: Path, config: PretrainedConfig, facts: TokenizerFacts) -> Tokenizer:
    """The tokenizer of a checkpoint directory, from its files only. Raises ``ModelFilesError``."""
    from transformers import AutoTokenizer

    try:
        with warnings.catch_warnings():
            # transformers' Marian never calls the normalizer that this package would give.
            warnings.filterwarnings("ignore", message="Recommended: pip install sacremoses")
            tokenizer = AutoTokenizer.from_pretrained(
                str(directory), config=config, local_files_only=True, trust_remote_code=False
            )
    except Exception as error:
        wanted = _MARIAN_FILES if facts.model_type == "marian" else ()
        for name in wanted:  # the library's own words name no file
            if not (directory / name).exists():
                raise ModelFilesError(f"{directory / name}: no such file") from error
        raise ModelFilesError(f"{directory}: the tokenizer does not load: {error}") from error
    return Tokenizer(tokenizer, facts)


def tokenizer_window(positions: int, config: Mapping[str, Any]) -> int:
    """The largest source: the position table's, else the length a T5 was trained on."""
    return positions or int(config.get("n_positions") or T5_WINDOW)


def _pieces_function(tokenizer: Any) -> Callable[[str], tuple[int, ...]]:
    """Text to ids without special tokens, free of state; special tokens written in a text are plain or unknown."""
    if getattr(tokenizer, "backend_tokenizer", None) is not None:
        return _backend_pieces(tokenizer)
    if hasattr(tokenizer, "spm_source"):  # Marian: `tokenize` would take a leading ">>xx<<" for a language
        encoder, unknown = tokenizer.encoder, tokenizer.encoder[str(tokenizer.unk_token)]
        model = tokenizer.spm_source
        return lambda text: tuple(encoder.get(piece, unknown) for piece in model.encode(text, out_type=str))

    def pieces(text: str) -> tuple[int, ...]:
        tokens = tokenizer.tokenize(text, split_special_tokens=True)
        return tuple(tokenizer.convert_tokens_to_ids(tokens))

    return pieces


def _backend_pieces(tokenizer: Any) -> Callable[[str], tuple[int, ...]]:
    """As :func:`_pieces_function`, on a private copy of the compiled tokenizer whose settings nobody changes."""
    from tokenizers import Tokenizer as Backend

    backend = Backend.from_str(tokenizer.backend_tokenizer.to_str())
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = True
    unknown = tokenizer.unk_token_id
    # A Unigram model has its special tokens among its pieces, so it finds them in plain text all the same.
    special = frozenset(tokenizer.all_special_ids) - {unknown}

    def pieces(text: str) -> tuple[int, ...]:
        ids: list[int] = backend.encode(text, add_special_tokens=False).ids
        if special.isdisjoint(ids):
            return tuple(ids)
        return tuple(unknown if token in special else token for token in ids)

    return pieces


def _checked(text: str) -> str:
    """``text``, when it can be written as UTF-8; the libraries below fail without a word on half a surrogate pair."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        character = ord(text[error.start])
        raise InvalidInputError("text", f"not Unicode: U+{character:04X} at character {error.start}") from error
    return text


def _code(language: str, field: str) -> str:
    """The table's code of a BCP-47 tag; "" for ""."""
    return get_language(language, field=field).code if language else ""


def _language(code: str) -> Language | None:
    return get_language(code, field="language_code") if code else None
