"""Where a checkpoint lies: with the package, in a directory, or in the hub's cache; and the one place that downloads.

Nothing is downloaded unless a caller asks for it in so many words.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from glossd.errors import ModelFilesError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

EMBEDDED = "embedded"
WEIGHT_FILES = ("model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json")
OTHER_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "manifest.json",
    "vocab.json",
    "target_vocab.json",
    "vocab.txt",
    "merges.txt",
    "*.spm",
    "*.model",
)
_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")
_CONVERSION_TITLE = "Adding `safetensors` variant of this model"
_CONVERSION_AUTHOR = "SFconvertbot"


def locate(source: str, *, cache_dir: str = "", offline: bool = True) -> Path:
    """The directory of ``embedded``, of a path, or of a hub id ("org/name").

    A hub id is looked up in the local cache only, unless ``offline`` is False. Raises ``ModelFilesError`` that says
    what to do.
    """
    if source == EMBEDDED:
        return _embedded()
    directory = Path(os.path.expanduser(source))  # pathlib's own raises for a user that does not exist
    if directory.exists() or _HUB_ID.fullmatch(source) is None:
        return directory
    found = find_snapshot(source, cache_dir=cache_dir)
    if found is not None:
        return found
    if offline:
        raise ModelFilesError(
            f"{source}: no such directory, and not in the local hub cache; "
            f"run `glossd models fetch {source}` once with a network, or pass the directory of a checkpoint"
        )
    return fetch(source, cache_dir=cache_dir)


def find_snapshot(name: str, *, cache_dir: str = "") -> Path | None:
    """The snapshot of a hub id in the local cache, one with safetensors before one without; None if there is none."""
    repository = _cache_home(cache_dir) / f"models--{name.replace('/', '--')}"
    references = repository / "refs"
    if not references.is_dir():
        return None
    files = sorted((file for file in references.rglob("*") if file.is_file()), key=lambda file: file.name != "main")
    snapshots = [repository / "snapshots" / file.read_text(encoding="ascii").strip() for file in files]
    present = [snapshot for snapshot in snapshots if (snapshot / "config.json").is_file()]
    whole = [snapshot for snapshot in present if any(any(snapshot.glob(pattern)) for pattern in WEIGHT_FILES)]
    return next(iter(whole + present), None)


def fetch(name: str, *, cache_dir: str = "") -> Path:
    """Download a hub id's safetensors, tokenizer and configuration files into the cache; nothing else.

    Where the main branch has no safetensors, the hub's own conversion (a pull request of its bot) is taken. Raises
    ``ModelFilesError``.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import OfflineModeIsEnabled

    if _HUB_ID.fullmatch(name) is None:
        raise ModelFilesError(f"{name[:80]!r} is not a hub id; those look like org/name")
    try:
        revision = _safetensors_revision(HfApi(), name)
        directory = snapshot_download(
            name,
            revision=revision,
            cache_dir=cache_dir or None,
            allow_patterns=[*WEIGHT_FILES, *OTHER_FILES],
            ignore_patterns=["*/*"],
        )
    except OfflineModeIsEnabled as error:
        raise ModelFilesError(f"{name}: HF_HUB_OFFLINE forbids downloads; unset it to fetch") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelFilesError(f"{name}: the download failed: {error}") from error
    return Path(directory)


def _safetensors_revision(api: HfApi, name: str) -> str:
    """The revision that holds safetensors: the main branch, else the bot's open conversion."""
    if any(file.endswith(".safetensors") and "/" not in file for file in api.list_repo_files(name)):
        return "main"
    for discussion in api.get_repo_discussions(name, discussion_type="pull_request", discussion_status="open"):
        if discussion.title == _CONVERSION_TITLE and discussion.author == _CONVERSION_AUTHOR:
            return f"refs/pr/{discussion.num}"
    raise ModelFilesError(f"{name}: the repository has no safetensors, and other weights may run code")


def _cache_home(cache_dir: str) -> Path:
    from huggingface_hub import constants

    return Path(cache_dir or constants.HF_HUB_CACHE).expanduser()


def _embedded() -> Path:
    """The checkpoint that comes with the package: the one directory with a config.json under ``embedded/``."""
    home = Path(__file__).parent / "embedded"
    found = sorted(file.parent for file in home.rglob("config.json"))
    if not found:
        raise ModelFilesError(f"{EMBEDDED}: this installation carries no embedded model; pass a hub id or a directory")
    return found[0]
