"""A checkpoint directory is looked at before anything in it is loaded. Reads files; imports no torch and runs no code.

Refused by name: missing, unreadable or damaged files, pickles, code of the checkpoint's own (``auto_map``), links that
lead out of the directory, unknown model types, and files that differ from ``manifest.json``.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glossd.errors import ModelFilesError
from glossd.models.registry import find_family
from glossd.models.safetensors_header import read_safetensors

_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_MANIFEST = "manifest.json"
_PICKLED_WEIGHTS = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack", "*.ot")
_PICKLES = ("*.pkl", "*.pickle", "*.joblib")
_LOADED = ("*.json", "*.safetensors", "*.spm", "*.model", "*.txt")
_LARGEST_JSON = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class CheckpointFile:
    """One file of a checkpoint; ``size`` in bytes."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class VerifiedCheckpoint:
    """What was found in a directory that may be loaded.

    ``config`` and ``manifest`` are the parsed files ({} without a manifest); ``digests_checked`` tells whether
    a manifest vouched for every byte.
    """

    directory: Path
    model_type: str
    config: Mapping[str, Any]
    manifest: Mapping[str, Any]
    weights: tuple[str, ...]
    files: tuple[CheckpointFile, ...]
    digests_checked: bool

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)


def verify_checkpoint(path: Path) -> VerifiedCheckpoint:
    """Check everything that can be checked without loading. Raises ``ModelFilesError`` naming the file."""
    try:
        return _verify(path)
    except OSError as error:
        name = Path(error.filename).name if isinstance(error.filename, str) else path.name
        raise ModelFilesError(f"{path}: {name}: {error.strerror or error}") from error


def _verify(path: Path) -> VerifiedCheckpoint:
    files = _list_files(path)
    for pattern in _PICKLES:
        for file in files.values():
            if file.match(pattern):
                raise ModelFilesError(f"{file}: a pickle may run code; remove it")
    documents = {name: _read_json(file) for name, file in files.items() if file.suffix == ".json"}
    for name, document in documents.items():
        if isinstance(document, dict) and "auto_map" in document:
            raise ModelFilesError(f"{path / name}: auto_map asks for code of the checkpoint's own, which is never run")
    config = _config(path, documents)
    weights = _weights(path, files, documents)
    manifest = documents.get(_MANIFEST)
    if manifest is not None:
        _check_manifest(path, manifest, files)
    for name in weights:
        read_safetensors(files[name])
    sizes = tuple(CheckpointFile(name, file.stat().st_size) for name, file in sorted(files.items()))
    model_type = str(config["model_type"])
    return VerifiedCheckpoint(path, model_type, config, manifest or {}, weights, sizes, manifest is not None)


def _list_files(path: Path) -> dict[str, Path]:
    """The plain files of the directory by name. Folders in it are never read, so they are not looked at."""
    if not path.exists():
        raise ModelFilesError(f"{path}: no such directory")
    if not path.is_dir():
        raise ModelFilesError(f"{path}: not a directory")
    files = {entry.name: entry for entry in path.iterdir() if not _is_folder(entry)}
    homes = _homes(path)
    for name, entry in files.items():
        target = entry.resolve()
        if not any(target.is_relative_to(home) for home in homes):
            raise ModelFilesError(f"{path / name}: a link that leads out of the directory")
        if not stat.S_ISREG(target.stat().st_mode):
            raise ModelFilesError(f"{path / name}: not a plain file")
    return files


def _is_folder(entry: Path) -> bool:
    return entry.is_dir() and not entry.is_symlink()


def _homes(path: Path) -> tuple[Path, ...]:
    """Where the directory's files may lie: in it, or in the blobs beside it in a hub cache."""
    home = path.resolve()
    if home.parent.name == "snapshots":
        return (home, home.parent.parent / "blobs")
    return (home,)


def _read_json(file: Path) -> Any:
    size = file.stat().st_size
    if size > _LARGEST_JSON:
        raise ModelFilesError(f"{file}: {size:,} bytes of JSON; the limit is {_LARGEST_JSON:,}")
    try:
        return json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ModelFilesError(f"{file}: not JSON: {error}") from error


def _config(path: Path, documents: Mapping[str, Any]) -> Mapping[str, Any]:
    """config.json, of a family that is served and with an output head."""
    file = path / "config.json"
    config = documents.get("config.json")
    if config is None:
        raise ModelFilesError(f"{file}: no such file")
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise ModelFilesError(f"{file}: no model_type")
    family = find_family(config["model_type"], file=str(file))
    named = config.get("architectures")
    if named and family.architecture not in named:
        raise ModelFilesError(f"{file}: architectures are {named}; only {family.architecture} generates text")
    return config


def _weights(path: Path, files: Mapping[str, Path], documents: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the safetensors files, all of them present."""
    if _WEIGHTS in files:
        return (_WEIGHTS,)
    if _INDEX in documents:
        table = documents[_INDEX].get("weight_map") if isinstance(documents[_INDEX], dict) else None
        if not isinstance(table, dict) or not table:
            raise ModelFilesError(f"{path / _INDEX}: no weight_map")
        names = tuple(sorted({str(name) for name in table.values()}))
        for name in names:
            if name not in files:
                raise ModelFilesError(f"{path / name}: no such file, but {_INDEX} names it")
        return names
    for pattern in _PICKLED_WEIGHTS:
        for name, file in sorted(files.items()):
            if file.match(pattern):
                raise ModelFilesError(
                    f"{path / name}: weights must be safetensors; other formats may run code and are not read"
                )
    raise ModelFilesError(f"{path / _WEIGHTS}: no such file")


def _check_manifest(path: Path, manifest: Any, files: Mapping[str, Path]) -> None:
    """Every file that the manifest lists is there as listed, and nothing that would be loaded is unlisted."""
    listed = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(listed, dict) or not listed:
        raise ModelFilesError(f"{path / _MANIFEST}: no list of files")
    for name, entry in listed.items():
        if name not in files:
            raise ModelFilesError(f"{path / name}: no such file, but {_MANIFEST} lists it")
        if not isinstance(entry, dict) or not isinstance(entry.get("size"), int) or "sha256" not in entry:
            raise ModelFilesError(f"{path / _MANIFEST}: {name} has no size and sha256")
        size = files[name].stat().st_size
        if size != entry["size"]:
            raise ModelFilesError(f"{path / name}: {size:,} bytes; {_MANIFEST} says {entry['size']:,}")
        with files[name].open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if digest != str(entry["sha256"]).lower():
            raise ModelFilesError(f"{path / name}: SHA-256 is {digest}; {_MANIFEST} says {entry['sha256']}")
    for name, file in files.items():
        if name not in listed and name != _MANIFEST and any(file.match(pattern) for pattern in _LOADED):
            raise ModelFilesError(f"{path / name}: would be loaded but {_MANIFEST} does not list it")
