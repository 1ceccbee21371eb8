"""What a loaded ``transformers`` model says about itself: sizes, special ids and decoding defaults, as our dataclasses.

Reads configurations only; no weights and no files.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from glossd.errors import ModelFilesError
from glossd.models.base import DecodeDefaults, ModelInfo

if TYPE_CHECKING:
    from transformers import GenerationConfig, PretrainedConfig, PreTrainedModel

_log = logging.getLogger(__name__)

# Settings of a generation config that change what generate gives and that our decoding does not know.
_NOT_FOLLOWED: Mapping[str, tuple[object, ...]] = {
    "do_sample": (None, False),
    "num_beam_groups": (None, 1),
    "diversity_penalty": (None, 0.0),
    "encoder_no_repeat_ngram_size": (None, 0),
    "encoder_repetition_penalty": (None, 1.0),
    "begin_suppress_tokens": (None, []),
    "exponential_decay_length_penalty": (None,),
    "sequence_bias": (None,),
    "guidance_scale": (None, 1.0),
}


def model_info(model: PreTrainedModel, family: str) -> ModelInfo:
    """Fixed facts of a loaded model. Raises ``ModelFilesError`` where an id that decoding needs is not given."""
    config: Any = model.config
    generation: Any = model.generation_config
    bart_like = getattr(config, "decoder_attention_heads", None) is not None
    heads = config.decoder_attention_heads if bart_like else config.num_heads
    positions = int(config.max_position_embeddings) if bart_like else 0
    defaults = decode_defaults(generation, config)
    return ModelInfo(
        family=family,
        layers=int(config.decoder_layers if bart_like else config.num_decoder_layers),
        heads=int(heads),
        head_width=int(config.d_model // heads if bart_like else config.d_kv),
        vocabulary=_output_rows(model),
        window=positions,
        max_target=positions,
        parameters=int(model.num_parameters()),
        pad_token_id=_required_id(generation, config, "pad_token_id"),
        decoder_start_token_id=_required_id(generation, config, "decoder_start_token_id"),
        eos_token_ids=eos_token_ids(generation, config),
        defaults=defaults,
    )


def decode_defaults(generation: GenerationConfig, config: PretrainedConfig, *, task: str = "") -> DecodeDefaults:
    """The checkpoint's own decoding settings as :class:`DecodeDefaults`.

    ``max_length`` and ``min_length`` count the start token in ``transformers``; here only new tokens count. ``task``
    names an entry of the configuration's ``task_specific_params`` ("summarization") that goes before the rest.
    """
    settings = dict(generation.to_dict()) | task_settings(config, task)
    _tell_what_is_not_followed(settings)
    return DecodeDefaults(
        num_beams=int(settings.get("num_beams") or 1),
        max_new_tokens=_max_new_tokens(settings, config),
        min_new_tokens=max(int(settings.get("min_length") or 0) - 1, int(settings.get("min_new_tokens") or 0), 0),
        length_penalty=_number(settings, "length_penalty"),
        early_stopping=settings.get("early_stopping") or False,
        no_repeat_ngram_size=int(settings.get("no_repeat_ngram_size") or 0),
        repetition_penalty=_number(settings, "repetition_penalty"),
        forced_bos_token_id=_first_id(settings.get("forced_bos_token_id")),
        forced_eos_token_id=_first_id(settings.get("forced_eos_token_id")),
        suppressed=tuple(sorted(int(token) for token in settings.get("suppress_tokens") or ())),
        bad_words=_bad_words(settings, eos_token_ids(generation, config)),
        renormalize=bool(settings.get("renormalize_logits")),
    )


def task_settings(config: PretrainedConfig, task: str) -> dict[str, Any]:
    """The entry of ``task_specific_params`` for a task, {} where there is none."""
    tasks = getattr(config, "task_specific_params", None) or {}
    entry = tasks.get(task) if task else None
    return dict(entry) if isinstance(entry, Mapping) else {}


def eos_token_ids(generation: GenerationConfig, config: PretrainedConfig) -> tuple[int, ...]:
    """Every id that ends a text; there is at least one."""
    for holder in (generation, config):
        value = getattr(holder, "eos_token_id", None)
        if value is not None:
            ids = value if isinstance(value, list | tuple) else [value]
            return tuple(int(token) for token in ids)
    raise ModelFilesError("config.json: no eos_token_id, so no text would ever end")


def _required_id(generation: Any, config: Any, name: str) -> int:
    """A special id of the generation config, else of the configuration; the start token may be ``bos_token_id``."""
    names = (name, "bos_token_id") if name == "decoder_start_token_id" else (name,)
    for candidate in names:
        for holder in (generation, config):
            value = _first_id(getattr(holder, candidate, None))
            if value is not None:
                return value
    raise ModelFilesError(f"config.json: no {name}")


def _first_id(value: Any) -> int | None:
    if isinstance(value, list | tuple):
        value = value[0] if value else None
    return None if value is None else int(value)


def _number(settings: Mapping[str, Any], name: str) -> float:
    value = settings.get(name)
    return 1.0 if value is None else float(value)


def _max_new_tokens(settings: Mapping[str, Any], config: PretrainedConfig) -> int:
    """The limit on new tokens: the checkpoint's, ours where it gives none, never past the position table."""
    if settings.get("max_new_tokens"):
        limit = int(settings["max_new_tokens"])
    elif settings.get("max_length"):
        limit = int(settings["max_length"]) - 1
    else:
        limit = DecodeDefaults().max_new_tokens
    positions = getattr(config, "max_position_embeddings", None)
    return max(1, min(limit, int(positions) - 1) if positions else limit)


def _bad_words(settings: Mapping[str, Any], ends: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Sequences that are never completed; an end token alone is let through, as ``generate`` does."""
    words = (tuple(int(token) for token in word) for word in settings.get("bad_words_ids") or ())
    return tuple(word for word in words if not (len(word) == 1 and word[0] in ends))


def _output_rows(model: PreTrainedModel) -> int:
    module: Any = model
    return int(module.get_output_embeddings().weight.shape[0])


def _tell_what_is_not_followed(settings: Mapping[str, Any]) -> None:
    names = [name for name, harmless in _NOT_FOLLOWED.items() if settings.get(name) not in harmless]
    if names:
        _log.warning("the checkpoint's generation config asks for what is not followed: %s", ", ".join(names))
