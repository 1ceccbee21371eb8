"""Directories that must be refused, each with the file named, and those that must not."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from glossd.errors import ModelFilesError
from glossd.models.verify import verify_checkpoint

from tests.checkpoints import FAMILIES

Checkpoints = Callable[..., Path]


@pytest.fixture
def directory(checkpoints: Checkpoints, tmp_path: Path) -> Path:
    """A good Marian checkpoint that a test may spoil."""
    return Path(shutil.copytree(checkpoints("marian"), tmp_path / "model"))


def edit(file: Path, **changes: Any) -> None:
    settings = json.loads(file.read_text(encoding="utf-8")) | changes
    file.write_text(json.dumps(settings), encoding="utf-8")


def write_manifest(directory: Path) -> None:
    files = {}
    for file in directory.iterdir():
        data = file.read_bytes()
        files[file.name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (directory / "manifest.json").write_text(json.dumps({"files": files}), encoding="utf-8")


def refusal(directory: Path) -> str:
    with pytest.raises(ModelFilesError) as caught:
        verify_checkpoint(directory)
    return str(caught.value)


def write_safetensors(file: Path, header: bytes, data: bytes = b"") -> None:
    file.write_bytes(struct.pack("<Q", len(header)) + header + data)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_good_checkpoint_of_every_family_passes(family: str, checkpoints: Checkpoints) -> None:
    found = verify_checkpoint(checkpoints(family))
    assert found.weights == ("model.safetensors",)
    assert found.model_type in ("marian", "bart", "mbart", "pegasus", "m2m_100", "t5", "mt5", "umt5")
    assert found.size == sum(file.stat().st_size for file in checkpoints(family).iterdir())
    assert not found.digests_checked


def test_a_missing_directory_and_a_file_in_its_place_are_refused(tmp_path: Path) -> None:
    assert "no such directory" in refusal(tmp_path / "none")
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert "not a directory" in refusal(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    assert "config.json: no such file" in refusal(tmp_path / "empty")


@pytest.mark.parametrize("text", ["", "{", '{"model_type": ', "\ud800".encode("utf-8", "surrogatepass"), "[" * 100_000])
def test_bad_json_is_refused_by_name(directory: Path, text: str | bytes) -> None:
    (directory / "generation_config.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert "generation_config.json: not JSON" in refusal(directory)


@pytest.mark.parametrize("config", ["[]", "{}", '{"model_type": 3}'])
def test_a_config_without_a_model_type_is_refused(directory: Path, config: str) -> None:
    (directory / "config.json").write_text(config, encoding="utf-8")
    assert "config.json: no model_type" in refusal(directory)


def test_an_unknown_model_type_is_refused_with_the_known_ones(directory: Path) -> None:
    edit(directory / "config.json", model_type="gpt2")
    message = refusal(directory)
    assert "config.json: model_type 'gpt2' is not served" in message
    assert "bart, mbart, marian, pegasus, m2m_100, t5, mt5, umt5" in message


def test_a_checkpoint_without_an_output_head_is_refused(directory: Path) -> None:
    edit(directory / "config.json", architectures=["MarianModel"])
    assert "architectures are ['MarianModel']; only MarianMTModel" in refusal(directory)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.ckpt", "tf_model.h5"])
def test_weights_that_are_not_safetensors_are_refused_by_name(directory: Path, name: str) -> None:
    (directory / "model.safetensors").rename(directory / name)
    assert f"{name}: weights must be safetensors" in refusal(directory)


def test_pickled_weights_beside_safetensors_are_let_lie(directory: Path) -> None:
    (directory / "pytorch_model.bin").write_bytes(b"never read")
    assert verify_checkpoint(directory).weights == ("model.safetensors",)


@pytest.mark.parametrize("name", ["tokenizer.pkl", "vocab.pickle"])
def test_any_other_pickle_is_refused(directory: Path, name: str) -> None:
    (directory / name).write_bytes(b"\x80\x04.")
    assert f"{name}: a pickle may run code" in refusal(directory)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "generation_config.json"])
def test_auto_map_is_refused_in_any_config(directory: Path, name: str) -> None:
    edit(directory / name, auto_map={"AutoModelForSeq2SeqLM": "modeling.Evil"})
    assert f"{name}: auto_map" in refusal(directory)


def test_a_link_out_of_the_directory_is_refused(directory: Path, tmp_path: Path) -> None:
    outside = tmp_path / "secret.json"
    shutil.move(directory / "vocab.json", outside)
    (directory / "vocab.json").symlink_to(outside)
    assert "vocab.json: a link that leads out" in refusal(directory)
    (directory / "vocab.json").unlink()
    (directory / "vocab.json").symlink_to(tmp_path / "nothing")
    assert "vocab.json: a link that leads out" in refusal(directory)


def test_links_of_a_hub_cache_into_its_own_blobs_are_followed(directory: Path, tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "repo" / "blobs", tmp_path / "repo" / "snapshots" / "0123abc"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for number, file in enumerate(sorted(directory.iterdir())):
        shutil.move(file, blobs / str(number))
        (snapshot / file.name).symlink_to(Path("../../blobs") / str(number))
    assert verify_checkpoint(snapshot).model_type == "marian"
    (tmp_path / "repo" / "refs").write_text("x", encoding="utf-8")
    (snapshot / "vocab.json").unlink()
    (snapshot / "vocab.json").symlink_to("../../refs")
    assert "vocab.json: a link that leads out" in refusal(snapshot)


def test_a_pipe_or_a_folder_in_a_files_place_is_refused_and_never_waited_for(directory: Path) -> None:
    (directory / "config.json").unlink()
    os.mkfifo(directory / "config.json")
    assert "config.json: not a plain file" in refusal(directory)
    (directory / "config.json").unlink()
    (directory / "config.json").mkdir()
    assert "config.json: no such file" in refusal(directory)


def test_an_unreadable_file_is_refused_by_name(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Path.read_bytes

    def deny(self: Path) -> bytes:
        if self.name == "vocab.json":
            raise PermissionError(13, "Permission denied", str(self))
        return read(self)

    monkeypatch.setattr(Path, "read_bytes", deny)
    assert "vocab.json: Permission denied" in refusal(directory)


@pytest.mark.parametrize("kept", [0, 5, 8, 100, -1, -4000])
def test_truncated_weights_are_refused(directory: Path, kept: int) -> None:
    file = directory / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    assert "model.safetensors: " in refusal(directory)


@pytest.mark.parametrize(
    ("header", "data"),
    [
        (b"{}", b""),
        (b"not json", b""),
        (b"[1]", b""),
        (b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}', b"1234"),
        (b'{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, -4]}}', b""),
        (b'{"a": {"dtype": "X", "shape": [1], "data_offsets": [0, 4]}}', b"1234"),
        (b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}', b"12345678"),
        (b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}', b"12345678"),
        (b'{"a": 1}', b""),
    ],
)
def test_weights_with_an_absurd_header_are_refused(directory: Path, header: bytes, data: bytes) -> None:
    write_safetensors(directory / "model.safetensors", header, data)
    assert "model.safetensors: " in refusal(directory)


def test_a_header_length_of_two_to_the_sixty_is_refused(directory: Path) -> None:
    file = directory / "model.safetensors"
    file.write_bytes(struct.pack("<Q", 2**60) + file.read_bytes()[8:])
    assert "with a header of 1,152,921,504,606,846,976" in refusal(directory)


def test_shards_must_all_be_there(directory: Path) -> None:
    (directory / "model.safetensors").rename(directory / "model-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    assert "model-00002-of-00002.safetensors: no such file" in refusal(directory)
    shutil.copy(directory / "model-00001-of-00002.safetensors", directory / "model-00002-of-00002.safetensors")
    assert len(verify_checkpoint(directory).weights) == 2
    (directory / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../x"}}', encoding="utf-8")
    assert "../x: no such file" in refusal(directory)


def test_a_manifest_vouches_for_every_byte(directory: Path) -> None:
    write_manifest(directory)
    assert verify_checkpoint(directory).digests_checked
    weights = directory / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-5] ^= 1
    weights.write_bytes(data)
    assert "model.safetensors: SHA-256 is" in refusal(directory)


def test_a_manifest_tells_a_wrong_size_a_missing_and_an_added_file(directory: Path) -> None:
    write_manifest(directory)
    (directory / "README.md").write_text("not loaded", encoding="utf-8")
    verify_checkpoint(directory)
    (directory / "tokenizer.json").write_text("{}", encoding="utf-8")
    assert "tokenizer.json: would be loaded but manifest.json does not list it" in refusal(directory)
    (directory / "tokenizer.json").unlink()
    (directory / "source.spm").write_bytes(b"short")
    assert "source.spm: 5 bytes; manifest.json says" in refusal(directory)
    (directory / "source.spm").unlink()
    assert "source.spm: no such file, but manifest.json lists it" in refusal(directory)


@pytest.mark.parametrize("manifest", ["[]", "{}", '{"files": {}}', '{"files": {"config.json": {"size": 1}}}'])
def test_a_manifest_that_says_nothing_is_refused(directory: Path, manifest: str) -> None:
    (directory / "manifest.json").write_text(manifest, encoding="utf-8")
    assert "manifest.json" in refusal(directory)
