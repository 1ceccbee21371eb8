"""Compiles the native operators into the wheel where a C compiler is found; without one the wheel is pure Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = Path("service/glossd/native")
TARGET = SOURCES / "_kernels.so"
# Not -ffast-math as a whole: it would also switch the process to flushing small numbers to zero when loaded.
FLAGS = (
    *("-O3", "-std=gnu11", "-shared", "-fPIC", "-fno-math-errno", "-fassociative-math", "-fno-signed-zeros"),
    *("-fno-trapping-math", "-freciprocal-math", "-ffinite-math-only"),
)


class KernelsBuildHook(BuildHookInterface):  # type: ignore[type-arg]  # generic only in hatchling's own stubs
    """Runs before a wheel, an editable one too, is put together."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and mark the wheel as one for this platform."""
        if self.target_name != "wheel" or not compile_kernels(Path(self.root)):
            return
        build_data["artifacts"].append(str(TARGET))
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"


def compile_kernels(root: Path) -> bool:
    """Whether the operators were compiled; prints why not."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        print("no C compiler found: glossd will use its slower PyTorch operators")
        return False
    wide = ("-mprefer-vector-width=512",) if "x86_64" in sysconfig.get_platform() else ()
    sources = sorted(map(str, (root / SOURCES).glob("*.c")))
    command = [compiler, *FLAGS, *wide, *sources, "-o", str(root / TARGET) + ".new", "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"the native operators did not compile, glossd will use its slower PyTorch ones:\n{done.stderr}")
        return False
    os.replace(root / (str(TARGET) + ".new"), root / TARGET)
    return True
