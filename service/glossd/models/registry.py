"""Which adapter serves which ``model_type``: one line for each family. Adapters are imported when asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from glossd.errors import ModelFilesError
from glossd.models.base import Seq2SeqModel

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


class Adapter(Protocol):
    """A class that takes over a loaded ``transformers`` model."""

    def from_transformers(
        self,
        model: PreTrainedModel,
        *,
        dtype: torch.dtype,
        device: torch.device,
        int8: bool = False,
        graphs: bool = False,
    ) -> Seq2SeqModel:
        """The same model behind our own seam, its weights cast and moved; the other one may be dropped after.

        With ``int8`` every matrix product runs in 8-bit integers; the rest stays in ``dtype``, which must be float32.
        With ``graphs`` a CUDA device records decode steps as graphs and replays them.
        """
        ...


@dataclass(frozen=True, slots=True)
class Family:
    """Where a family's adapter lives (module and class) and the ``transformers`` class whose weights it takes over."""

    module: str
    adapter: str
    architecture: str


FAMILIES: Mapping[str, Family] = {
    "bart": Family("glossd.models.bart", "BartModel", "BartForConditionalGeneration"),
    "mbart": Family("glossd.models.bart", "MBartModel", "MBartForConditionalGeneration"),
    "marian": Family("glossd.models.bart", "MarianModel", "MarianMTModel"),
    "pegasus": Family("glossd.models.bart", "PegasusModel", "PegasusForConditionalGeneration"),
    "m2m_100": Family("glossd.models.bart", "M2M100Model", "M2M100ForConditionalGeneration"),
    "t5": Family("glossd.models.t5", "T5Model", "T5ForConditionalGeneration"),
    "mt5": Family("glossd.models.t5", "MT5Model", "MT5ForConditionalGeneration"),
    "umt5": Family("glossd.models.t5", "UMT5Model", "UMT5ForConditionalGeneration"),
}


def find_family(model_type: str, *, file: str) -> Family:
    """The family of a ``model_type``. Raises ``ModelFilesError`` that names ``file`` and the known types."""
    family = FAMILIES.get(model_type)
    if family is None:
        known = ", ".join(FAMILIES)
        raise ModelFilesError(f"{file}: model_type {model_type[:40]!r} is not served; known are {known}")
    return family


def load_adapter(family: Family) -> Adapter:
    """Import a family's adapter class."""
    return cast(Adapter, getattr(importlib.import_module(family.module), family.adapter))
