"""The seam between the runner and a model: what a checkpoint tells about itself and the two calls it answers.

No loading and no queue here. Shapes: ``rows`` are live decoder rows, ``sources`` live encoder outputs; both are dense,
``0 .. n-1``, and several rows (the beams of one segment) may read the same source.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from glossd.models.cache import KVCache


@dataclass(frozen=True, slots=True)
class DecodeDefaults:
    """A checkpoint's own decoding settings (its generation config); meanings as in ``transformers``.

    ``max_new_tokens`` counts without the decoder's start token.
    """

    num_beams: int = 1
    max_new_tokens: int = 256
    min_new_tokens: int = 0
    length_penalty: float = 1.0
    early_stopping: bool | str = False
    no_repeat_ngram_size: int = 0
    repetition_penalty: float = 1.0
    forced_bos_token_id: int | None = None
    forced_eos_token_id: int | None = None
    suppressed: tuple[int, ...] = ()
    bad_words: tuple[tuple[int, ...], ...] = ()
    renormalize: bool = False


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What the layers above need to know of a checkpoint.

    ``window`` is the largest number of source tokens with special tokens (0: no fixed limit, as in T5), ``max_target``
    the largest number of decoder positions (0: no fixed limit).
    """

    family: str
    layers: int
    heads: int
    head_width: int
    vocabulary: int
    window: int
    max_target: int
    parameters: int
    pad_token_id: int
    decoder_start_token_id: int
    eos_token_ids: tuple[int, ...]
    defaults: DecodeDefaults


class Seq2SeqModel(Protocol):
    """An encoder-decoder whose rows may be of different age. Not thread-safe: one runner owns it."""

    @property
    def info(self) -> ModelInfo:
        """Fixed facts of the checkpoint."""
        ...

    def new_cache(self, *, rows: int, sources: int) -> KVCache:
        """An empty cache with room for that many live rows and sources."""
        ...

    def encode(self, source_ids: Tensor, lengths: Tensor, slots: Tensor, cache: KVCache) -> None:
        """Encode ``source_ids`` (B, L) int64, right-padded, with true ``lengths`` (B,) int64.

        Writes the cross-attention keys and values at source numbers ``slots`` (B,) int64.
        """
        ...

    def decode(self, token_ids: Tensor, positions: Tensor, cache: KVCache) -> Tensor:
        """One step for the live rows: ``token_ids`` (R,) int64 stand at ``positions`` (R,) int64, 0 is the start token.

        Writes the rows' self-attention keys and values there and returns logits (R, V) float32 of the next token; there
        may be more than tokens, minus infinity each.
        """
        ...
