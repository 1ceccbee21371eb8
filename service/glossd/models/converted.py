"""A checkpoint that CTranslate2's converter wrote: what its files say, its tokenizer, its vocabularies. Runs nothing.

The directory holds ``model.bin``, CTranslate2's ``config.json`` and vocabulary, and the tokenizer files of the original
checkpoint (the converter's ``--copy_files``), ``generation_config.json`` among them where there is one. A
``config.json`` that holds the original's settings as well is read for both.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from glossd.errors import ModelFilesError
from glossd.models.base import ModelInfo
from glossd.models.loading import family_tasks
from glossd.models.tokenizer import Tokenizer, TokenizerFacts, load_tokenizer, tokenizer_window

if TYPE_CHECKING:
    from transformers import GenerationConfig, PretrainedConfig

MODEL = "model.bin"
_CONFIG = "config.json"
_TYPES: Mapping[str, str] = {
    "MarianTokenizer": "marian",
    "BartTokenizer": "bart",
    "PegasusTokenizer": "pegasus",
    "MBartTokenizer": "mbart",
    "MBart50Tokenizer": "mbart",
    "M2M100Tokenizer": "m2m_100",
    "NllbTokenizer": "m2m_100",
    "T5Tokenizer": "t5",
}
_SPECIFICATION = "TransformerSpec"
_SCALARS: Mapping[int, str] = {1: "b", 2: "h", 4: "i"}
_POSITIONS = "decoder/position_encodings/encodings"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The tokens that CTranslate2 speaks in, by id. ``start`` None: the first token of the target is the start."""

    source: tuple[str, ...]
    target: tuple[str, ...]
    start: str | None


@dataclass(frozen=True, slots=True)
class ConvertedCheckpoint:
    """All but the weights of a converted checkpoint."""

    directory: Path
    info: ModelInfo
    tokenizer: Tokenizer
    vocabulary: Vocabulary
    tasks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Variable:
    """The shape of one weight of ``model.bin``; ``value`` is that of a whole number without dimensions, else 0."""

    shape: tuple[int, ...]
    value: int


def is_converted(directory: Path) -> bool:
    """Whether a directory holds a converted model and no original one."""
    return (directory / MODEL).is_file() and not any(directory.glob("*.safetensors*"))


def read_converted(directory: Path, *, name: str) -> ConvertedCheckpoint:
    """Read everything but the weights. ``name`` is what the checkpoint was asked for by.

    Raises ``ModelFilesError`` naming the file that is missing, damaged or of another model.
    """
    variables = _read_model(directory / MODEL)
    settings = _read_json(directory / _CONFIG)
    if not isinstance(settings, dict):
        raise ModelFilesError(f"{directory / _CONFIG}: not a JSON object")
    model_type = str(settings.get("model_type") or _TYPES.get(_tokenizer_class(directory), ""))
    if not model_type:
        raise ModelFilesError(
            f"{directory}: the tokenizer is not one of {', '.join(_TYPES)}, and {_CONFIG} has no model_type; "
            "copy the original's tokenizer files (--copy_files of the converter)"
        )
    positions = variables[_POSITIONS].shape[0] if _POSITIONS in variables else 0
    config, generation = _configs(directory, model_type, settings, positions)
    facts = TokenizerFacts(
        model_type=model_type,
        name=name.rstrip("/"),
        window=tokenizer_window(positions, settings),
        forced_bos_token_id=generation.forced_bos_token_id,
        task_params=settings.get("task_specific_params") or {},
        prefix=str(settings.get("prefix") or ""),
    )
    tokenizer = load_tokenizer(directory, config, facts)
    vocabulary = _read_vocabulary(directory, settings)
    _check_vocabulary(directory, vocabulary, tokenizer)
    info = _info(directory, model_type, variables, vocabulary, _Settings(settings, config, generation))
    return ConvertedCheckpoint(directory, info, tokenizer, vocabulary, family_tasks(model_type))


@dataclass(frozen=True, slots=True)
class _Settings:
    """CTranslate2's own settings and the two configurations of the original, as far as they are known."""

    own: Mapping[str, Any]
    config: PretrainedConfig
    generation: GenerationConfig


def _read_model(file: Path) -> dict[str, _Variable]:
    """Names and shapes of all weights. The format is that of ``ctranslate2.specs.ModelSpec.save``."""
    try:
        with file.open("rb") as stream:
            variables = _read_variables(file, stream)
    except (OSError, struct.error, UnicodeDecodeError) as error:
        raise ModelFilesError(f"{file}: not a whole CTranslate2 model: {error}") from error
    return variables


def _read_variables(file: Path, stream: BinaryIO) -> dict[str, _Variable]:
    stream.seek(0, 2)
    size = stream.tell()
    stream.seek(4)
    specification = _read_string(stream)
    if specification != _SPECIFICATION:
        raise ModelFilesError(f"{file}: a {specification[:40]!r}; only an encoder-decoder's {_SPECIFICATION} is served")
    _, count = _read(stream, "II")
    variables: dict[str, _Variable] = {}
    for _ in range(count):
        name = _read_string(stream)
        (rank,) = _read(stream, "B")
        shape = _read(stream, f"{rank}I")
        _, length = _read(stream, "=BI")
        start = stream.tell()
        if start + length > size:
            raise ModelFilesError(f"{file}: ends within {name}")
        value = 0 if rank or length not in _SCALARS else _read(stream, _SCALARS[length])[0]
        variables[name] = _Variable(shape, value)
        stream.seek(start + length)
    return variables


def _read(stream: BinaryIO, layout: str) -> tuple[int, ...]:
    return struct.unpack(layout, stream.read(struct.calcsize(layout)))


def _read_string(stream: BinaryIO) -> str:
    (length,) = _read(stream, "H")
    return stream.read(length).decode("utf-8").rstrip("\0")


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except OSError as error:
        raise ModelFilesError(f"{file}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ModelFilesError(f"{file}: not JSON: {error}") from error


def _tokenizer_class(directory: Path) -> str:
    settings = _read_json(directory / "tokenizer_config.json")
    name = str(settings.get("tokenizer_class") or "") if isinstance(settings, dict) else ""
    return name.removesuffix("Fast")


def _configs(
    directory: Path, model_type: str, settings: Mapping[str, Any], positions: int
) -> tuple[PretrainedConfig, GenerationConfig]:
    """The original's configuration, its family's own where it did not come along, and its generation settings."""
    from transformers import AutoConfig, GenerationConfig

    known = {key: value for key, value in settings.items() if key != "model_type"} if "model_type" in settings else {}
    try:
        config: PretrainedConfig = AutoConfig.for_model(model_type, **known)
        if positions:
            config.max_position_embeddings = positions
        present = (directory / "generation_config.json").is_file()
        generation = GenerationConfig.from_pretrained(directory, local_files_only=True) if present else None
    except (OSError, ValueError, TypeError) as error:
        raise ModelFilesError(f"{directory}: transformers does not read its configuration: {error}") from error
    return config, generation or GenerationConfig()


def _read_vocabulary(directory: Path, settings: Mapping[str, Any]) -> Vocabulary:
    shared = directory / "shared_vocabulary.json"
    names = ("shared", "shared") if shared.is_file() else ("source", "target")
    sides = [_read_json(directory / f"{name}_vocabulary.json") for name in names]
    for name, side in zip(names, sides, strict=True):
        if not isinstance(side, list) or not all(isinstance(token, str) for token in side):
            raise ModelFilesError(f"{directory / name}_vocabulary.json: not a list of tokens")
    start = settings.get("decoder_start_token")
    return Vocabulary(tuple(sides[0]), tuple(sides[1]), None if start is None else str(start))


def _check_vocabulary(directory: Path, vocabulary: Vocabulary, tokenizer: Tokenizer) -> None:
    """Refuse a tokenizer of another model: a token that it numbers otherwise than the converted vocabulary."""
    source = vocabulary.source
    for token, number in tokenizer.vocabulary.items():
        if number < len(source) and source[number] != token:
            raise ModelFilesError(
                f"{directory}: token {number} is {token[:40]!r} for the tokenizer and {source[number][:40]!r} for the "
                "converted model; they belong to different checkpoints"
            )


def _info(
    directory: Path,
    model_type: str,
    variables: Mapping[str, _Variable],
    vocabulary: Vocabulary,
    settings: _Settings,
) -> ModelInfo:
    from glossd.models.facts import decode_defaults

    numbers = {token: number for number, token in enumerate(vocabulary.target)}
    end = numbers.get(str(settings.own.get("eos_token")))
    if end is None:
        raise ModelFilesError(f"{directory / _CONFIG}: eos_token is not in the vocabulary, so no text would ever end")
    settings.config.eos_token_id = end
    embeddings = next((each.shape for name, each in variables.items() if "decoder/embeddings" in name), (0, 0))
    heads = next((each.value for name, each in variables.items() if name == "decoder/num_heads"), 0)
    layers = {match[0] for name in variables if (match := re.match(r"decoder/layer_\d+", name))}
    positions = variables[_POSITIONS].shape[0] if _POSITIONS in variables else 0
    return ModelInfo(
        family=model_type,
        layers=len(layers),
        heads=heads,
        head_width=embeddings[1] // heads if heads else 0,
        vocabulary=len(vocabulary.target),
        window=positions,
        max_target=positions,
        parameters=sum(math.prod(each.shape) for each in variables.values() if len(each.shape) > 1),
        pad_token_id=settings.generation.pad_token_id if settings.generation.pad_token_id is not None else end,
        decoder_start_token_id=numbers.get(str(vocabulary.start), end),
        eos_token_ids=(end,),
        defaults=decode_defaults(settings.generation, settings.config),
    )
