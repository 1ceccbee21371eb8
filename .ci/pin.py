"""Rewrites constraints.txt with the newest versions that pyproject.toml allows; torch keeps its pin."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def wanted() -> list[str]:
    """Every requirement of the package and of its extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    return [line for requirements in lists for line in requirements if not line.startswith("glossd[")]


def resolve(requirements: list[str]) -> dict[str, str]:
    """Ask pip, without installing, which versions it would take (local version labels dropped)."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        subprocess.run([*command, "--report", str(report), *requirements], check=True)
        found = [item["metadata"] for item in json.loads(report.read_text())["install"]]
    return {re.sub(r"[-_.]+", "-", m["name"]).lower(): m["version"].partition("+")[0] for m in found}


def main() -> None:
    """Keep the comment at the head of the file and torch's pin, replace the rest."""
    path = ROOT / "constraints.txt"
    lines = path.read_text().splitlines()
    head = [line for line in lines if line.startswith("#")]
    torch = next(line for line in lines if line.startswith("torch=="))
    pins = resolve([*wanted(), torch])
    path.write_text("\n".join([*head, *(f"{name}=={pins[name]}" for name in sorted(pins))]) + "\n")


if __name__ == "__main__":
    main()
