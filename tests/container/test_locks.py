"""The image's locks hold what the package needs, at the versions that the tests run with, each with its hashes."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent.parent
LOCKS = ROOT / "deploy" / "image"


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def entries(name: str) -> dict[str, str]:
    """The entries of a lock file by package."""
    text = (LOCKS / name).read_text(encoding="utf-8").partition("\n")[2]
    return {normal(entry.partition("==")[0]): entry for entry in re.split(r"\n(?=[a-z0-9])", text.strip())}


def versions(name: str) -> dict[str, str]:
    """The versions of a lock file by package."""
    found = {}
    for package, entry in entries(name).items():
        match = re.match(r"[^=]+==([0-9A-Za-z.+]+)", entry)
        assert match
        found[package] = match[1]
    return found


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def needed() -> set[str]:
    """Everything that the package needs on this machine, by what installed packages say."""
    found: set[str] = set()
    waiting = ["glossd"]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for line in requires(name) or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(normal(requirement.name))
    return found - {"glossd"}


@pytest.mark.parametrize("name", ["libraries.txt", "torch-cpu.txt", "torch-cuda.txt", "extra-ray.txt", "tools.txt"])
def test_every_entry_is_pinned_and_has_a_hash(name: str) -> None:
    found = entries(name)
    assert found
    assert [package for package, entry in found.items() if not re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry)] == []
    assert [package for package, entry in found.items() if not re.match(r"\S+==[0-9]", entry)] == []


@pytest.mark.parametrize("torch", ["torch-cpu.txt", "torch-cuda.txt"])
def test_the_locks_hold_everything_that_the_package_needs(torch: str) -> None:
    try:
        wanted = needed()
    except PackageNotFoundError as error:
        pytest.skip(f"a package is not installed, so its needs are unknown: {error}")
    assert wanted - (versions("libraries.txt").keys() | versions(torch).keys()) == set()


def test_the_image_gets_the_versions_that_the_tests_run_with() -> None:
    pinned = pins()
    libraries = versions("libraries.txt")
    assert {name: version for name, version in libraries.items() if pinned[name] != version} == {}
    assert versions("torch-cuda.txt")["torch"] == pinned["torch"]
    assert versions("torch-cpu.txt") == {"torch": f"{pinned['torch']}+cpu"}


def test_a_cpu_image_gets_no_cuda_library() -> None:
    assert [name for name in entries("libraries.txt") if re.match(r"(nvidia|cuda|triton|torch)\b", name)] == []
