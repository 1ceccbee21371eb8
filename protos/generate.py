"""Makes the stubs under ``service/glossd/v1`` from the protos here; ``--check`` only tells if they differ.

The generator is pinned below what is installed: generated code refuses a runtime older than its
generator, so this version is the floor of ``grpcio``, and the protobuf it bundles (6.31.1) of ``protobuf``.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import subprocess
import sys
import tempfile
from pathlib import Path

GRPCIO_TOOLS_VERSION = "1.75.1"
NO_GENERATOR = 2
PROTOS = Path(__file__).resolve().parent
REPOSITORY = PROTOS.parent
STUBS = Path("glossd/v1")


def install_tools(directory: Path) -> Path:
    """The folder of the pinned generator; installed there, apart from the environment, on the first call."""
    target = directory / f"grpcio-tools-{GRPCIO_TOOLS_VERSION}-{sys.implementation.cache_tag}"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        requirement = f"grpcio-tools=={GRPCIO_TOOLS_VERSION}"
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            staged = Path(scratch) / "tools"
            pip = [
                sys.executable,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-deps",
                "--disable-pip-version-check",
            ]
            if subprocess.run([*pip, "--target", str(staged), requirement], check=False).returncode:
                print(f"{requirement} could not be installed", file=sys.stderr)
                raise SystemExit(NO_GENERATOR)
            staged.rename(target)
    return target


def generate(out: Path, tools: Path) -> None:
    """Writes modules and their types for every proto of glossd below ``out``."""
    sources = sorted(str(path.relative_to(PROTOS)) for path in (PROTOS / STUBS).glob("*.proto"))
    plugins = [f"--{name}_out={out}" for name in ("python", "grpc_python", "mypy", "mypy_grpc")]
    well_known = tools / "grpc_tools" / "_proto"
    includes = [f"-I{folder}" for folder in (PROTOS, PROTOS / "third_party", well_known)]
    search_path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    script = (
        f"import sys; sys.path.insert(0, {str(tools)!r}); from grpc_tools import protoc; "
        "sys.exit(protoc.main(sys.argv))"
    )
    environment = {**os.environ, "PATH": search_path}
    command = [sys.executable, "-c", script, *includes, *plugins, *sources]
    done = subprocess.run(command, cwd=PROTOS, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)


def differences(fresh: Path, kept: Path) -> list[str]:
    """Names of generated files that are missing, left over or not the same in the two folders."""
    names = {path.name for folder in (fresh, kept) for path in folder.glob("*_pb2*.py*")}
    return sorted(
        name
        for name in names
        if not ((fresh / name).exists() and (kept / name).exists())
        or not filecmp.cmp(fresh / name, kept / name, shallow=False)
    )


def main() -> int:
    """Command line; exits with 1 when ``--check`` finds a difference, 2 when the generator cannot be had."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the stubs are out of date")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "service", help="folder that gets glossd/v1")
    parser.add_argument("--tools", type=Path, default=REPOSITORY / "build", help="folder for the pinned generator")
    arguments = parser.parse_args()
    tools = install_tools(arguments.tools)
    if not arguments.check:
        arguments.out.mkdir(parents=True, exist_ok=True)
        generate(arguments.out, tools)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch), tools)
        stale = differences(Path(scratch) / STUBS, arguments.out / STUBS)
    for name in stale:
        print(f"{name}: not what the protos give; run python protos/generate.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
