"""Where checkpoints are looked for, what an absent one is told, and what a download may bring."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from glossd.errors import ModelFilesError
from glossd.models import hub
from glossd.models.loading import LoadSettings, load_checkpoint

Checkpoints = Callable[..., Path]
NAME = "org/opus-mt-en-zh"


def put_in_cache(checkpoint: Path, cache: Path, *, revision: str = "main", commit: str = "0123abc") -> Path:
    """Lay a checkpoint down as the hub library does: blobs, a snapshot of links, a reference."""
    home = cache / "models--org--opus-mt-en-zh"
    (home / "blobs").mkdir(parents=True, exist_ok=True)
    snapshot = home / "snapshots" / commit
    snapshot.mkdir(parents=True)
    for number, file in enumerate(sorted(checkpoint.iterdir())):
        shutil.copy(file, home / "blobs" / f"{commit}{number}")
        (snapshot / file.name).symlink_to(Path("../../blobs") / f"{commit}{number}")
    reference = home / "refs" / revision
    reference.parent.mkdir(parents=True, exist_ok=True)
    reference.write_text(commit, encoding="ascii")
    return snapshot


def test_a_hub_id_loads_from_the_local_cache(checkpoints: Checkpoints, tmp_path: Path) -> None:
    snapshot = put_in_cache(checkpoints("marian"), tmp_path)
    settings = LoadSettings(dtype="float32", device="cpu", cache_dir=str(tmp_path))
    checkpoint = load_checkpoint(NAME, settings=settings)
    assert checkpoint.facts.directory == snapshot
    assert checkpoint.facts.name == NAME


def test_a_snapshot_with_safetensors_goes_before_one_without(checkpoints: Checkpoints, tmp_path: Path) -> None:
    main = put_in_cache(checkpoints("marian"), tmp_path)
    (main / "model.safetensors").unlink()
    assert hub.find_snapshot(NAME, cache_dir=str(tmp_path)) == main
    converted = put_in_cache(checkpoints("marian"), tmp_path, revision="refs/pr/4", commit="4567def")
    assert hub.find_snapshot(NAME, cache_dir=str(tmp_path)) == converted


def test_an_absent_hub_id_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelFilesError, match=r"run `glossd models fetch org/none` once with a network, or pass"):
        hub.locate("org/none", cache_dir=str(tmp_path))


@pytest.mark.parametrize("source", ["/no/such/place", "./none", "~none/model", "org/../x", "a b", ""])
def test_a_path_that_is_not_there_is_never_taken_for_a_hub_id(source: str, tmp_path: Path) -> None:
    settings = LoadSettings(device="cpu", cache_dir=str(tmp_path), offline=False)
    with pytest.raises(ModelFilesError):
        load_checkpoint(source, settings=settings)


class FakeApi:
    """Answers for the hub."""

    files: tuple[str, ...] = ("config.json", "model.safetensors", "pytorch_model.bin")
    discussions: tuple[Any, ...] = ()

    def list_repo_files(self, name: str) -> list[str]:
        return list(self.files)

    def get_repo_discussions(self, name: str, **_: Any) -> list[Any]:
        return list(self.discussions)


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """What would have been downloaded."""
    asked: list[dict[str, Any]] = []

    def download(name: str, **options: Any) -> str:
        asked.append({"name": name, **options})
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.HfApi", FakeApi)
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    return asked


def test_a_download_brings_safetensors_and_texts_only(downloads: list[dict[str, Any]], tmp_path: Path) -> None:
    assert hub.locate(NAME, cache_dir=str(tmp_path), offline=False) == tmp_path
    (asked,) = downloads
    assert asked["revision"] == "main"
    assert asked["ignore_patterns"] == ["*/*"]
    allowed = asked["allow_patterns"]
    assert "model.safetensors" in allowed
    assert not any(pattern.endswith((".bin", ".py", "*", ".h5", ".pt")) for pattern in allowed)


def test_the_hubs_own_conversion_is_taken_where_main_has_pickles_only(
    downloads: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeApi, "files", ("config.json", "pytorch_model.bin"))
    title = "Adding `safetensors` variant of this model"
    stranger = SimpleNamespace(title=title, author="stranger", num=3)
    monkeypatch.setattr(FakeApi, "discussions", (stranger,))
    with pytest.raises(ModelFilesError, match="has no safetensors"):
        hub.fetch(NAME)
    bot = SimpleNamespace(title=title, author="SFconvertbot", num=4)
    monkeypatch.setattr(FakeApi, "discussions", (stranger, bot))
    hub.fetch(NAME)
    assert downloads[0]["revision"] == "refs/pr/4"


def test_a_download_that_fails_says_so(downloads: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import OfflineModeIsEnabled

    def fail(error: Exception) -> None:
        def raising(*_: Any, **__: Any) -> Any:
            raise error

        monkeypatch.setattr(FakeApi, "list_repo_files", raising)

    fail(OSError("no route"))
    with pytest.raises(ModelFilesError, match=f"{NAME}: the download failed: no route"):
        hub.fetch(NAME)
    fail(OfflineModeIsEnabled("offline"))
    with pytest.raises(ModelFilesError, match="HF_HUB_OFFLINE forbids downloads"):
        hub.fetch(NAME)
    with pytest.raises(ModelFilesError, match="not a hub id"):
        hub.fetch("../../etc")
    assert downloads == []
