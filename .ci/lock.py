"""Rewrites deploy/image/*.txt: which files, by SHA-256, the image's libraries and build tools may be installed from.

Versions are those of constraints.txt. The build of torch is a list of its own, because a CPU-only build has another
hash, and often another index, than the CUDA build of the same version:

- ``libraries.txt``   everything at run time but torch and what only its CUDA build needs
- ``torch-cpu.txt``   torch's CPU-only builds that pip's settings or ``--torch-index`` offer
- ``torch-cuda.txt``  torch as the package index has it, with its CUDA libraries
- ``extra-ray.txt`` what an image for Ray clusters has besides, the cluster's own job server included
- ``tools.txt``       what builds the wheel and writes the bill of materials; not in the image
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "deploy" / "image"
PYTHONS = ("3.11", "3.12", "3.13")
MACHINES = ("x86_64", "aarch64")
RAY = ("ray[data,default]",)
TOOLS = ("hatchling", "cyclonedx-bom")
ELSEWHERE = re.compile(r"; (?:[^;]* and )?sys_platform == '(?:win32|emscripten)'")
HEAD = "# Written by `make locks`.\n"


def normal(name: str) -> str:
    """A package's name as indexes spell it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    """The versions of constraints.txt by name."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def compile_lock(uv: Path, source: Path) -> dict[str, str]:
    """The lock entries of what ``source`` asks for, on every platform, by package name."""
    command = [str(uv), "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-annotate", "--no-header"]
    command += ["--python-version", PYTHONS[0], "--constraints", str(ROOT / "constraints.txt"), str(source)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    entries = re.split(r"\n(?=[a-z0-9])", text.strip())
    entries = [entry for entry in entries if not ELSEWHERE.search(entry.partition("\n")[0])]
    return {normal(re.split(r"[=\[]", entry, maxsplit=1)[0]): entry for entry in entries}


def cpu_hashes(version: str, index: str) -> list[str]:
    """The hashes of torch's CPU-only wheels that pip can find, for every Python and machine that offers one."""
    options = ["--dry-run", "--ignore-installed", "--no-deps", "--only-binary=:all:", "--quiet", "--report", "-"]
    options += ["--extra-index-url", index] if index else []
    found = []
    with tempfile.TemporaryDirectory() as target:
        for python in PYTHONS:
            for machine in MACHINES:
                platform = f"manylinux_2_28_{machine}"
                command = [sys.executable, "-m", "pip", "install", *options, "--target", target]
                command += ["--python-version", python, "--platform", platform, f"torch=={version}+cpu"]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    print(f"no CPU-only build of torch {version} for Python {python} on {machine}")
                    continue
                (item,) = json.loads(done.stdout)["install"]
                found.append(str(item["download_info"]["archive_info"]["hashes"]["sha256"]))
    return sorted(set(found))


def requirements(scratch: Path, names: Sequence[str]) -> Path:
    """A file that asks for those packages."""
    path = scratch / "requirements.in"
    path.write_text("\n".join(names) + "\n", encoding="utf-8")
    return path


def write(name: str, entries: Iterable[str]) -> None:
    """One lock file."""
    (LOCKS / name).write_text(HEAD + "\n".join(entries) + "\n", encoding="utf-8")


def chosen(entries: Mapping[str, str], names: Iterable[str]) -> list[str]:
    """Those entries, by name."""
    return [entries[name] for name in sorted(names)]


def write_locks(uv: Path, scratch: Path, torch_index: str) -> None:
    """Resolve, split, write."""
    pinned = pins()
    wheels = cpu_hashes(pinned["torch"], torch_index)
    if not wheels:
        raise SystemExit("pip finds no CPU-only build of torch; name an index that holds one with --torch-index")
    entries = compile_lock(uv, ROOT / "pyproject.toml")
    shared = {name for name in entries if name in pinned and name != "torch"}
    tools, ray = (compile_lock(uv, requirements(scratch, names)) for names in (TOOLS, RAY))
    write("libraries.txt", chosen(entries, shared))
    write("torch-cuda.txt", chosen(entries, entries.keys() - shared))
    write("extra-ray.txt", chosen(ray, ray.keys() - shared))
    write("tools.txt", chosen(tools, tools))
    lines = [f"torch=={pinned['torch']}+cpu", *(f"    --hash=sha256:{wheel}" for wheel in wheels)]
    write("torch-cpu.txt", [" \\\n".join(lines)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Fetch uv into a scratch environment, then write the locks with it."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--torch-index", default="", help="an index with CPU-only builds of torch")
    flags = options.parse_args(arguments)
    LOCKS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        venv.create(directory, with_pip=True)
        python = Path(directory) / "bin" / "python"
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "uv"], check=True)
        write_locks(python.with_name("uv"), Path(directory), flags.torch_index)


if __name__ == "__main__":
    main()
