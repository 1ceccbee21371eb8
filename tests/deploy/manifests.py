"""The files under deploy/ as Python objects: as they are written, and as an overlay renders them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
KUBERNETES = ROOT / "deploy" / "k8s"
OVERLAYS = sorted(path.name for path in (KUBERNETES / "overlays").iterdir())

Manifest = dict[str, Any]


def read(path: Path) -> list[Manifest]:
    """Every document of a file."""
    return [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]


def written() -> Iterator[tuple[Path, Manifest]]:
    """Every resource and patch there is, with its file; none that kustomize only reads for itself."""
    for path in sorted(KUBERNETES.rglob("*.yaml")):
        if path.name != "kustomization.yaml":
            for document in read(path):
                yield path, document


def rendered(folder: Path) -> dict[str, Manifest]:
    """What kustomize makes of a folder, by kind. Skips where there is neither kubectl nor kustomize."""
    for command in (["kubectl", "kustomize"], ["kustomize", "build"]):
        if shutil.which(command[0]):
            done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            documents = list(yaml.safe_load_all(done.stdout))
            kinds = {document["kind"]: document for document in documents}
            assert len(kinds) == len(documents), "two resources of one kind"
            return kinds
    pytest.skip("neither kubectl nor kustomize is installed")


def server_of(deployment: Manifest) -> Manifest:
    """The one container of the server's pods."""
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(container)


def environment_of(container: Manifest) -> dict[str, Any]:
    """Variables by name; a value that the cluster fills in is the object that says how."""
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container.get("env", ())}
