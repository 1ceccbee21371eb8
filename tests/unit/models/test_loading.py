"""Loading: every weight accounted for, no network, no code of the checkpoint's own, and facts as they are."""

from __future__ import annotations

import builtins
import json
import pickle
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from glossd.config import ModelSettings
from glossd.errors import InvalidInputError, ModelFilesError
from glossd.models.graphed import StaticCache
from glossd.models.loading import Checkpoint, LoadSettings, load_checkpoint
from glossd.models.quantized import int8_is_fast
from safetensors.torch import load_file, save_file

from tests.checkpoints import FAMILIES

Checkpoints = Callable[..., Path]
SETTINGS = LoadSettings(dtype="float32", device="cpu")


@pytest.fixture
def directory(checkpoints: Checkpoints, tmp_path: Path) -> Path:
    """A good Marian checkpoint that a test may spoil."""
    return Path(shutil.copytree(checkpoints("marian"), tmp_path / "opus-mt-en-zh"))


@pytest.fixture
def sealed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection and no prompt may be tried."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("nothing here may connect or ask")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(builtins, "input", refuse)


@contextmanager
def edited_weights(directory: Path) -> Iterator[dict[str, torch.Tensor]]:
    file = directory / "model.safetensors"
    tensors = load_file(file)
    yield tensors
    save_file(tensors, file, metadata={"format": "pt"})


def refusal(directory: Path | str, settings: Any = SETTINGS) -> str:
    with pytest.raises(ModelFilesError) as caught:
        load_checkpoint(str(directory), settings=settings)
    return str(caught.value)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_loads_without_the_network(family: str, checkpoints: Checkpoints, sealed: None) -> None:
    checkpoint = load_checkpoint(str(checkpoints(family)), settings=SETTINGS)
    assert checkpoint.facts.dtype == "float32"
    assert checkpoint.facts.device == "cpu"
    assert checkpoint.model.info.family == checkpoint.facts.model_type
    assert checkpoint.facts.source_language_codes
    assert checkpoint.facts.target_language_codes
    assert checkpoint.tokenizer.window == (checkpoint.model.info.window or 512)


def test_settings_of_the_service_are_taken_as_they_are(directory: Path) -> None:
    checkpoint: Checkpoint = load_checkpoint(str(directory), settings=ModelSettings(device="cpu"))
    assert checkpoint.facts.tasks == ("translation",)
    assert checkpoint.facts.source_language_codes == ("en",)
    assert checkpoint.facts.target_language_codes == ("zh-Hans", "zh-Hant")


def test_importing_the_module_loads_neither_torch_nor_transformers() -> None:
    program = "import glossd.models.loading, sys; print({'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_missing_weight_is_refused_by_name(directory: Path) -> None:
    with edited_weights(directory) as tensors:
        del tensors["model.decoder.layers.1.fc1.weight"]
    assert "weights that are missing: model.decoder.layers.1.fc1.weight" in refusal(directory)


def test_an_unexpected_weight_is_refused_by_name(directory: Path) -> None:
    with edited_weights(directory) as tensors:
        tensors["model.decoder.layers.2.fc1.weight"] = torch.zeros(3)
    assert "weights that are unexpected: model.decoder.layers.2.fc1.weight" in refusal(directory)


def test_a_weight_of_another_shape_is_refused(directory: Path) -> None:
    with edited_weights(directory) as tensors:
        tensors["model.decoder.layers.1.fc1.weight"] = torch.zeros(8, 8)
    assert "weights that are of another shape: model.decoder.layers.1.fc1.weight" in refusal(directory)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_not_a_finite_number_is_refused_by_name(directory: Path, value: float) -> None:
    with edited_weights(directory) as tensors:
        tensors["model.encoder.layers.0.fc2.bias"][3] = value
    assert "tensor model.encoder.layers.0.fc2.bias holds values" in refusal(directory)


def test_an_output_bias_may_ban_a_token_with_minus_infinity(directory: Path) -> None:
    with edited_weights(directory) as tensors:
        tensors["final_logits_bias"][0, -1] = float("-inf")
    load_checkpoint(str(directory), settings=SETTINGS)


def test_position_tables_that_old_exports_carry_do_no_harm(directory: Path) -> None:
    with edited_weights(directory) as tensors:
        tensors["model.encoder.embed_positions.weights"] = torch.zeros(256, 32)
    load_checkpoint(str(directory), settings=SETTINGS)


def test_a_tokenizer_of_another_model_is_refused(directory: Path) -> None:
    vocabulary = json.loads((directory / "vocab.json").read_text(encoding="utf-8"))
    vocabulary["added"] = len(vocabulary)
    (directory / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    assert "the tokenizer has ids up to 1,091; the model has 1,091 embeddings" in refusal(directory)


@pytest.mark.parametrize("name", ["source.spm", "target.spm", "vocab.json"])
def test_garbage_in_a_tokenizer_file_is_refused(directory: Path, name: str) -> None:
    (directory / name).write_bytes(b"\x00garbage" * 9 if name != "vocab.json" else b'{"a": 0}')
    assert "the tokenizer does not load" in refusal(directory)


def test_a_missing_tokenizer_file_is_refused(directory: Path) -> None:
    (directory / "source.spm").unlink()
    assert refusal(directory) == f"{directory / 'source.spm'}: no such file"


class Evil:
    """Writes a marker file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return (Path.touch, (self.marker,))


@pytest.mark.parametrize("keep_config", [True, False])
def test_pickled_weights_never_run(directory: Path, tmp_path: Path, keep_config: bool) -> None:
    marker = tmp_path / "ran"
    (directory / "model.safetensors").unlink()
    (directory / "pytorch_model.bin").write_bytes(pickle.dumps(Evil(marker)))
    if not keep_config:
        (directory / "generation_config.json").unlink()
    assert "pytorch_model.bin: weights must be safetensors" in refusal(directory)
    assert not marker.exists()


def test_code_of_the_checkpoints_own_is_refused_without_a_prompt(directory: Path, tmp_path: Path, sealed: None) -> None:
    marker = tmp_path / "ran"
    (directory / "modeling_evil.py").write_text(f"open({str(marker)!r}, 'w')", encoding="utf-8")
    for name in ("config.json", "tokenizer_config.json"):
        settings = json.loads((directory / name).read_text(encoding="utf-8"))
        changed = settings | {"auto_map": {"AutoModelForSeq2SeqLM": "modeling_evil.Evil"}}
        (directory / name).write_text(json.dumps(changed), encoding="utf-8")
        assert f"{name}: auto_map" in refusal(directory)
        (directory / name).write_text(json.dumps(settings), encoding="utf-8")
    assert not marker.exists()


def test_a_device_or_a_format_that_is_not_there_is_said_by_field(directory: Path) -> None:
    if not torch.cuda.is_available():
        with pytest.raises(InvalidInputError, match=r"models\.device: cuda was asked for; torch sees 0"):
            load_checkpoint(str(directory), settings=LoadSettings(device="cuda"))
    with pytest.raises(InvalidInputError, match=r"models\.dtype: float16 needs a GPU"):
        load_checkpoint(str(directory), settings=LoadSettings(dtype="float16", device="cpu"))
    with pytest.raises(InvalidInputError, match=r"models\.dtype: float64 is not to be had"):
        load_checkpoint(str(directory), settings=LoadSettings(dtype="float64", device="cpu"))


@pytest.mark.parametrize(("gain", "dtype"), [(4.0, "int8"), (0.0, "float32")])
def test_the_automatic_choice_on_a_cpu_goes_by_what_int8_gains(
    directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, gain: float, dtype: str
) -> None:
    monkeypatch.setattr("glossd.models.quantized.int8_gain", lambda kernels: gain)
    with caplog.at_level("INFO"):
        facts = load_checkpoint(str(directory), settings=LoadSettings(device="cpu")).facts
    assert (facts.dtype, facts.device) == (dtype, "cpu")
    assert f"{dtype} on cpu (auto: " in caplog.text


def test_graphs_that_are_asked_for_where_there_are_none_are_said_not_to_be(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = ModelSettings(device="cpu", dtype="float32", cuda_graphs=True)
    with caplog.at_level("INFO"):
        checkpoint = load_checkpoint(str(directory), settings=settings)
    assert "decode steps are not recorded as CUDA graphs, it runs on cpu (models.cuda_graphs)" in caplog.text
    assert not isinstance(checkpoint.model.new_cache(rows=1, sources=1), StaticCache)


@pytest.mark.parametrize("family", ["marian", "t5"])
def test_int8_products_stay_near_those_of_float32(family: str, checkpoints: Checkpoints) -> None:
    if not int8_is_fast():
        pytest.skip("this processor sums no 8-bit integers in hardware")
    exact, rounded = (first_logits(checkpoints(family), dtype) for dtype in ("float32", "int8"))
    rounded, behind = rounded[:, : exact.shape[1]], rounded[:, exact.shape[1] :]
    assert float((exact - rounded).norm() / exact.norm()) < 0.1
    assert not torch.equal(exact, rounded)
    assert bool((behind == -torch.inf).all())


def first_logits(directory: Path, dtype: str) -> torch.Tensor:
    checkpoint = load_checkpoint(str(directory), settings=LoadSettings(dtype=dtype, device="cpu"))
    assert checkpoint.facts.dtype == dtype
    model = checkpoint.model
    ids = checkpoint.tokenizer.encode("A polished metal sphere the size of a beach ball.")
    cache = model.new_cache(rows=1, sources=1)
    cache.reserve_sources([0], [len(ids)])
    cache.arrange([0], sources=1)
    model.encode(torch.tensor([ids]), torch.tensor([len(ids)]), torch.tensor([0]), cache)
    return model.decode(torch.tensor([model.info.decoder_start_token_id]), torch.tensor([0]), cache)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_half_precision_file_makes_the_same_int8_model_as_its_float32_copy(
    family: str, dtype: torch.dtype, checkpoints: Checkpoints, tmp_path: Path
) -> None:
    if not int8_is_fast():
        pytest.skip("this processor sums no 8-bit integers in hardware")
    logits = []
    for name, width in (("half", dtype), ("whole", torch.float32)):
        directory = Path(shutil.copytree(checkpoints(family), tmp_path / name / "opus-mt-en-zh"))
        with edited_weights(directory) as tensors:
            tensors |= {key: tensor.to(dtype).to(width) for key, tensor in tensors.items()}
        logits.append(first_logits(directory, "int8"))
    assert torch.equal(*logits)


def test_bfloat16_weights_make_a_bfloat16_model(directory: Path) -> None:
    logits = first_logits(directory, "bfloat16")
    assert logits.dtype == torch.float32
    assert bool(logits.isfinite().all())
