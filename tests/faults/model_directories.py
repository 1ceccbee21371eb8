"""Model directories that must not be served: each made from a good one, with what its refusal has to name."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MARKER = "GLOSSD_FAULT_MARKER"
Spoil = Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class Case:
    """How a good directory is spoiled and what the refusal names. ``code`` is one that tries to run code."""

    name: str
    spoil: Spoil
    names: str
    code: bool = False


def edit(file: Path, **changes: Any) -> None:
    """Change values of a JSON file."""
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def _weights(directory: Path, change: Callable[[dict[str, Any]], None]) -> None:
    from safetensors.torch import load_file, save_file

    file = directory / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def _missing_tensor(tensors: dict[str, Any]) -> None:
    del tensors["model.encoder.layers.0.fc1.weight"]


def _nan_weights(tensors: dict[str, Any]) -> None:
    tensors["model.decoder.layers.0.fc1.weight"][0, 0] = float("nan")


def _other_shape(tensors: dict[str, Any]) -> None:
    name = "model.encoder.layers.0.fc1.weight"
    tensors[name] = tensors[name][:-1].clone()


def _bit_flip(directory: Path) -> None:
    from hashlib import sha256

    files = {}
    for file in directory.iterdir():
        data = file.read_bytes()
        files[file.name] = {"size": len(data), "sha256": sha256(data).hexdigest()}
    (directory / "manifest.json").write_text(json.dumps({"files": files}), encoding="utf-8")
    weights = bytearray((directory / "model.safetensors").read_bytes())
    weights[-7] ^= 4
    (directory / "model.safetensors").write_bytes(weights)


def _cut(share: float) -> Spoil:
    def spoil(directory: Path) -> None:
        file = directory / "model.safetensors"
        data = file.read_bytes()
        file.write_bytes(data[: int(share * len(data))])

    return spoil


def _huge_header(directory: Path) -> None:
    file = directory / "model.safetensors"
    file.write_bytes(struct.pack("<Q", 2**60) + file.read_bytes()[8:])


def _wrong_vocabulary(directory: Path) -> None:
    vocabulary = json.loads((directory / "vocab.json").read_text(encoding="utf-8"))
    start = len(vocabulary)
    more = {f"▁extra{number}": start + number for number in range(500)}
    (directory / "vocab.json").write_text(json.dumps(vocabulary | more), encoding="utf-8")


def _link_out(directory: Path) -> None:
    outside = directory.parent / "outside.json"
    shutil.move(directory / "vocab.json", outside)
    (directory / "vocab.json").symlink_to(outside)


def _write(name: str, content: bytes) -> Spoil:
    def spoil(directory: Path) -> None:
        (directory / name).write_bytes(content)

    return spoil


def _remove(name: str) -> Spoil:
    return lambda directory: (directory / name).unlink()


def _emptied(directory: Path) -> None:
    for file in directory.iterdir():
        file.unlink()


def _pipe(directory: Path) -> None:
    (directory / "config.json").unlink()
    os.mkfifo(directory / "config.json")


class _Evil:
    """Writes the marker file when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (f'touch "${MARKER}"',))


_EVIL = pickle.dumps(_Evil())
_EVIL_MODULE = f"import os, pathlib\npathlib.Path(os.environ['{MARKER}']).touch()\n".encode()


def _evil_weights(directory: Path) -> None:
    (directory / "model.safetensors").unlink()
    (directory / "pytorch_model.bin").write_bytes(_EVIL)


def _auto_map(name: str, key: str) -> Spoil:
    def spoil(directory: Path) -> None:
        (directory / "evil.py").write_bytes(_EVIL_MODULE + b"class Evil: pass\n")
        edit(directory / name, auto_map={key: "evil.Evil"})

    return spoil


def _tokenizer_class(directory: Path) -> None:
    (directory / "tokenization_evil.py").write_bytes(_EVIL_MODULE)
    edit(directory / "tokenizer_config.json", tokenizer_class="EvilTokenizer", tokenizer_file="tokenization_evil.py")
    (directory / "tokenizer.pkl").write_bytes(_EVIL)


CASES = (
    Case("no such directory", shutil.rmtree, "no such directory"),
    Case("an empty directory", _emptied, "config.json"),
    Case("no weights", _remove("model.safetensors"), "model.safetensors"),
    Case("no source vocabulary", _remove("source.spm"), "source.spm"),
    Case("weights cut in half", _cut(0.5), "model.safetensors"),
    Case("weights cut in the header", _cut(0.001), "model.safetensors"),
    Case("empty weights", _cut(0.0), "model.safetensors"),
    Case("a header of 2^60 bytes", _huge_header, "model.safetensors"),
    Case("one bit of the weights flipped, with a manifest", _bit_flip, "model.safetensors"),
    Case("a tensor missing", lambda path: _weights(path, _missing_tensor), "model.encoder.layers.0.fc1.weight"),
    Case("a tensor of another shape", lambda path: _weights(path, _other_shape), "fc1.weight"),
    Case("a weight that is no number", lambda path: _weights(path, _nan_weights), "model.decoder.layers.0.fc1.weight"),
    Case("a vocabulary of another model", _wrong_vocabulary, "embeddings"),
    Case("a garbage .spm", _write("source.spm", b"\x00garbage" * 100), "source.spm"),
    Case("a config that is no JSON", _write("config.json", b'{"model_type": '), "config.json"),
    Case("a config of another kind", lambda path: edit(path / "config.json", model_type="gpt2"), "gpt2"),
    Case("a vocabulary that is no JSON", _write("vocab.json", b"\xff\xfe"), "vocab.json"),
    Case("a link that leads out", _link_out, "vocab.json"),
    Case("a pipe for a file", _pipe, "config.json"),
    Case("pickled weights that run code", _evil_weights, "pytorch_model.bin", code=True),
    Case("a pickle beside the weights", _write("extra.pkl", _EVIL), "extra.pkl", code=True),
    Case("auto_map for the model", _auto_map("config.json", "AutoModelForSeq2SeqLM"), "auto_map", code=True),
    Case("auto_map for the config", _auto_map("config.json", "AutoConfig"), "auto_map", code=True),
    Case("auto_map for the tokenizer", _auto_map("tokenizer_config.json", "AutoTokenizer"), "auto_map", code=True),
    Case("a pickled tokenizer with code", _tokenizer_class, "tokenizer.pkl", code=True),
)
