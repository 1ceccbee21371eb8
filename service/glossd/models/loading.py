"""A checkpoint becomes a model, a tokenizer and facts; its weights come by way of :mod:`glossd.models.weights`.

Importing this module loads no torch; loading a checkpoint does. No code of a checkpoint is run, nothing is unpickled,
and the network is used only where the settings allow a download.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from glossd.errors import ModelFilesError
from glossd.models.base import Seq2SeqModel
from glossd.models.hub import locate
from glossd.models.placement import Placement, choose_placement
from glossd.models.registry import find_family, load_adapter
from glossd.models.tokenizer import Tokenizer, TokenizerFacts, load_tokenizer, tokenizer_window
from glossd.models.verify import VerifiedCheckpoint, verify_checkpoint
from glossd.models.weights import load_transformers

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_log = logging.getLogger(__name__)

_TASKS: Mapping[str, tuple[str, ...]] = {
    "marian": ("translation",),
    "m2m_100": ("translation",),
    "bart": ("summarization",),
    "pegasus": ("summarization",),
}
_WIDE_RANGE = ("t5", "mt5", "umt5")
_EVERY_TASK = ("translation", "summarization")


class LoadOptions(Protocol):
    """What loading asks of settings; :class:`glossd.config.ModelSettings` answers it, and :class:`LoadSettings`."""

    @property
    def dtype(self) -> str:
        """Number format of the weights: auto, float32, bfloat16, float16 or int8."""
        ...

    @property
    def device(self) -> str:
        """auto, cpu, cuda or cuda:N."""
        ...

    @property
    def cuda_graphs(self) -> bool:
        """Record decode steps as graphs, on a CUDA device."""
        ...

    @property
    def cache_dir(self) -> str:
        """Where hub files are kept; "" for the hub library's own place."""
        ...

    @property
    def offline(self) -> bool:
        """Never download."""
        ...


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """Plain :class:`LoadOptions` for callers without settings of their own."""

    dtype: str = "auto"
    device: str = "auto"
    cuda_graphs: bool = False
    cache_dir: str = ""
    offline: bool = True


@dataclass(frozen=True, slots=True)
class CheckpointFacts:
    """What is known of a loaded checkpoint besides its :class:`glossd.models.base.ModelInfo`.

    ``tasks`` are "translation" and "summarization", as the family and the languages allow.
    """

    name: str
    directory: Path
    model_type: str
    dtype: str
    device: str
    size_bytes: int
    tasks: tuple[str, ...]
    source_language_codes: tuple[str, ...]
    target_language_codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A loaded model with its tokenizer."""

    model: Seq2SeqModel
    tokenizer: Tokenizer
    facts: CheckpointFacts


def load_checkpoint(source: str, *, settings: LoadOptions) -> Checkpoint:
    """Load ``source``: "embedded", a directory or a hub id. Raises ``ModelFilesError`` for what must not be served."""
    verified = verify_checkpoint(locate(source, cache_dir=settings.cache_dir, offline=settings.offline))
    wide_range = verified.model_type in _WIDE_RANGE
    placement = choose_placement(settings.dtype, settings.device, wide_range=wide_range)
    _log.info("checkpoint %s: %s on %s (%s)", source, placement.dtype, placement.device, placement.reason)
    graphs = _choose_graphs(source, settings, placement)
    loaded = load_transformers(verified, placement)
    tokenizer = load_tokenizer(verified.directory, loaded.config, _tokenizer_facts(source, verified, loaded))
    _check_vocabulary(verified.directory, loaded, tokenizer)
    model = take_over(loaded, verified, placement, graphs=graphs)
    facts = CheckpointFacts(
        name=source,
        directory=verified.directory,
        model_type=verified.model_type,
        dtype=placement.dtype,
        device=placement.device,
        size_bytes=verified.size,
        tasks=family_tasks(verified.model_type),
        source_language_codes=tokenizer.source_language_codes,
        target_language_codes=tokenizer.target_language_codes,
    )
    return Checkpoint(model, tokenizer, facts)


def _choose_graphs(source: str, settings: LoadOptions, placement: Placement) -> bool:
    """Whether decode steps are recorded as CUDA graphs; says so where that was asked for."""
    possible = placement.torch_device.type == "cuda"
    if settings.cuda_graphs:
        told = "recorded as CUDA graphs" if possible else f"not recorded as CUDA graphs, it runs on {placement.device}"
        _log.info("checkpoint %s: decode steps are %s (models.cuda_graphs)", source, told)
    return settings.cuda_graphs and possible


def take_over(
    loaded: PreTrainedModel, verified: VerifiedCheckpoint, placement: Placement, *, graphs: bool = False
) -> Seq2SeqModel:
    """Our own model, placed, with the weights of ``loaded``, which is of no use afterwards."""
    family = find_family(verified.model_type, file=str(verified.directory / "config.json"))
    model = load_adapter(family).from_transformers(
        loaded, dtype=placement.torch_dtype, device=placement.torch_device, int8=placement.int8, graphs=graphs
    )
    _return_memory()
    return model


def _return_memory() -> None:
    """Give what was only needed to pack the weights back to the system: the C library keeps it, where it is glibc."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def family_tasks(model_type: str) -> tuple[str, ...]:
    """What models of this type may be used for: "translation", "summarization" or both."""
    return _TASKS.get(model_type, _EVERY_TASK)


def _tokenizer_facts(source: str, verified: VerifiedCheckpoint, model: PreTrainedModel) -> TokenizerFacts:
    config: Any = model.config
    generation: Any = model.generation_config
    bart_like = getattr(config, "decoder_attention_heads", None) is not None
    positions = int(config.max_position_embeddings) if bart_like else 0
    return TokenizerFacts(
        model_type=verified.model_type,
        name=source.rstrip("/"),
        window=tokenizer_window(positions, verified.config),
        forced_bos_token_id=generation.forced_bos_token_id,
        task_params=getattr(config, "task_specific_params", None) or {},
        prefix=str(verified.config.get("prefix") or ""),
        manifest=verified.manifest,
    )


def _check_vocabulary(directory: Path, model: PreTrainedModel, tokenizer: Tokenizer) -> None:
    """Refuse a tokenizer whose ids go past the embedding table: it belongs to another model."""
    table: Any = model.get_input_embeddings()
    rows = int(table.weight.shape[0])
    if tokenizer.largest_id >= rows:
        raise ModelFilesError(
            f"{directory}: the tokenizer has ids up to {tokenizer.largest_id:,}; the model has {rows:,} embeddings"
        )
