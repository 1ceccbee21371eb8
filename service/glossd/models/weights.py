"""A verified checkpoint as the ``transformers`` model that an adapter takes over, every weight accounted for by name.

Nothing is unpickled, nothing downloaded, no code of the checkpoint run. Weights stay in their files until read.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glossd.errors import ModelFilesError
from glossd.models.placement import Placement
from glossd.models.registry import find_family
from glossd.models.verify import VerifiedCheckpoint

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import GenerationConfig, PreTrainedModel

    from glossd.models.mapped import MappedFile

# Tensors that may be missing or left over without harm, by model_type: fixed position tables, zero biases that old
# exports lack, and an unused table of the first T5 releases. Tied weights never reach these lists.
_POSITIONS = r"model\.(encoder|decoder)\.embed_positions\.weights?"
_VERSION = r"model\.(encoder|decoder)\.version"
_HARMLESS_MISSING: Mapping[str, tuple[str, ...]] = {
    "bart": (r"final_logits_bias",),
    "mbart": (r"final_logits_bias",),
    "marian": (_POSITIONS,),
    "pegasus": (_POSITIONS, r"final_logits_bias"),
    "m2m_100": (_POSITIONS,),
}
_UNUSED_TABLE = r"decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight"
_HARMLESS_UNEXPECTED: Mapping[str, tuple[str, ...]] = {
    "bart": (_VERSION,),
    "mbart": (_VERSION,),
    "marian": (_POSITIONS, _VERSION),
    "pegasus": (_POSITIONS, _VERSION),
    "m2m_100": (_POSITIONS, _VERSION),
    "t5": (_UNUSED_TABLE,),
    "mt5": (_UNUSED_TABLE,),
}
_NAMES_SHOWN = 5


def load_transformers(verified: VerifiedCheckpoint, placement: Placement) -> PreTrainedModel:
    """The ``transformers`` model as placed, with no matrix wider than its file has it where all become integers.

    Raises ``ModelFilesError`` that names what is wrong with the weights.
    """
    import transformers

    from glossd.models.mapped import MappedFile

    family = find_family(verified.model_type, file=str(verified.directory / "config.json"))
    files = [MappedFile.open(verified.directory / name) for name in verified.weights]
    half = _half_precision(files) if placement.int8 else None
    dtype = half or placement.torch_dtype
    try:
        with _quiet_transformers():
            model, info = getattr(transformers, family.architecture).from_pretrained(
                None,
                config=transformers.AutoConfig.from_pretrained(
                    str(verified.directory), local_files_only=True, trust_remote_code=False
                ),
                state_dict={stored.name: file.tensor(stored) for file in files for stored in file.tensors},
                generation_config=_generation_config(verified.directory),
                dtype=dtype,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are refused below, by name
            )
    except Exception as error:
        raise ModelFilesError(f"{verified.directory}: transformers does not load it: {error}") from error
    _check_keys(verified, "missing", info["missing_keys"], _HARMLESS_MISSING)
    _check_keys(verified, "unexpected", info["unexpected_keys"], _HARMLESS_UNEXPECTED)
    _check_keys(verified, "of another shape", (str(entry[0]) for entry in info["mismatched_keys"]), {})
    if info.get("error_msgs"):
        raise ModelFilesError(f"{verified.directory}: {'; '.join(map(str, info['error_msgs']))}")
    for file in files:
        _check_finite(verified.directory, file, dtype)
    if half:
        _widen_all_but_matrices(model, {stored.name for file in files for stored in file.tensors})
    loaded: PreTrainedModel = model.eval()
    return loaded


def _half_precision(files: Iterable[MappedFile]) -> torch.dtype | None:
    """The one half-precision format of all numbers in the files; None where some have another."""
    import torch

    formats = {stored.dtype for file in files for stored in file.tensors}
    halves = {"F16": torch.float16, "BF16": torch.bfloat16}
    return halves.get(formats.pop()) if len(formats) == 1 else None


def _widen_all_but_matrices(model: Any, stored: Container[str]) -> None:
    """Turn norms, biases and small tables into float32; tables that are not ``stored`` are computed again in it."""
    from torch import nn

    for name, module in model.named_modules():
        tables = isinstance(module, nn.Embedding) and name.endswith((".embed_tokens", "shared"))
        for tensor in [*module.parameters(recurse=False), *module.buffers(recurse=False)]:
            if not (tables or (isinstance(module, nn.Linear) and tensor is module.weight)):
                tensor.data = tensor.data.float()
        if hasattr(module, "create_weight") and f"{name}.weight" not in stored:
            module.weight.data = module.create_weight()
        if hasattr(module, "get_embedding"):
            module.weights.data = module.get_embedding(len(module.weights), module.embedding_dim, module.padding_idx)


def _generation_config(directory: Path) -> GenerationConfig:
    """Decoding defaults from their own file, or from ``config.json`` as older checkpoints have them."""
    from transformers import GenerationConfig

    if (directory / "generation_config.json").exists():
        return GenerationConfig.from_pretrained(directory, local_files_only=True)
    return GenerationConfig.from_pretrained(
        directory, config_file_name="config.json", local_files_only=True, _from_model_config=True
    )


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """No progress bar, and no warnings about weights: what is wrong with them is an error here."""
    from transformers.utils import logging as hub_logging

    verbosity, bar = hub_logging.get_verbosity(), hub_logging.is_progress_bar_enabled()
    hub_logging.set_verbosity_error()
    hub_logging.disable_progress_bar()
    try:
        yield
    finally:
        hub_logging.set_verbosity(verbosity)
        if bar:
            hub_logging.enable_progress_bar()


def _check_keys(
    verified: VerifiedCheckpoint, fault: str, names: Iterable[str], harmless: Mapping[str, tuple[str, ...]]
) -> None:
    """Refuse weights by name, except those known to be harmless for the family."""
    patterns = harmless.get(verified.model_type, ())
    faulty = sorted(name for name in names if not any(re.fullmatch(pattern, name) for pattern in patterns))
    if faulty:
        more = f" and {len(faulty) - _NAMES_SHOWN} more" if len(faulty) > _NAMES_SHOWN else ""
        shown = ", ".join(faulty[:_NAMES_SHOWN])
        raise ModelFilesError(f"{verified.directory}: weights that are {fault}: {shown}{more}")


def _check_finite(directory: Path, file: MappedFile, dtype: torch.dtype) -> None:
    """Refuse NaN and infinity by tensor name; a bias on the output may be minus infinity, which bans a token."""
    for stored in file.tensors:
        for piece in file.pieces(stored):
            if not piece.is_floating_point() or _is_finite(piece if piece.dtype == dtype else piece.to(dtype)):
                continue
            if stored.name == "final_logits_bias" and not bool(piece.isnan().any() or piece.isposinf().any()):
                continue
            raise ModelFilesError(f"{directory}: tensor {stored.name} holds values that are not finite numbers")


def _is_finite(tensor: Tensor) -> bool:
    """Whether all numbers are finite: their sum is, which needs no memory, or each is found to be."""
    return bool(tensor.sum().isfinite()) or bool(tensor.isfinite().all())
