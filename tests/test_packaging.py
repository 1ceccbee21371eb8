"""The wheel carries the package and nothing else, and a bare import stays cheap."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "service" / "glossd"
EMBEDDED = "glossd/models/embedded/"
LARGEST_EMBEDDED_BYTES = 32_000_000

EXTRAS = {"ctranslate2", "matplotlib", "opentelemetry", "pyarrow", "ray"}  # imported where used; an extra asks for each
# Requirements that no line imports: backends that transformers loads by name, and a part that another library lacks.
UNSEEN = {"tokenizers", "safetensors", "sentencepiece", "lxml-html-clean", "googleapis-common-protos"}
MODULES = {
    "grpcio": "grpc",
    "grpcio-channelz": "grpc_channelz",
    "grpcio-health-checking": "grpc_health",
    "grpcio-reflection": "grpc_reflection",
    "grpcio-status": "grpc_status",
    "lingua-language-detector": "lingua",
    "protobuf": "google",
}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def name_of(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found
    return normal(found[0])


@pytest.fixture(scope="module")
def project() -> dict[str, object]:
    return dict(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"])


@pytest.fixture(scope="module")
def requirements(project: dict[str, object]) -> set[str]:
    dependencies = project["dependencies"]
    assert isinstance(dependencies, list)
    return {name_of(requirement) for requirement in dependencies}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def names(wheel: zipfile.ZipFile) -> set[str]:
    return set(wheel.namelist())


def test_the_wheel_holds_the_package_and_its_metadata_only(names: set[str]) -> None:
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"glossd"}
    assert not {name for name in names if "test" in name.lower() or "__pycache__" in name}


def test_the_wheel_holds_every_file_of_the_package(names: set[str]) -> None:
    sources = {path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {str(path.relative_to(PACKAGE.parent)) for path in sources} <= names


def test_the_wheel_says_that_it_is_typed_and_brings_the_stubs(names: set[str]) -> None:
    stubs = {f"glossd/v1/{path.name}" for path in (PACKAGE / "v1").glob("*_pb2*.py*")}
    assert {"glossd/py.typed", *stubs} <= names
    assert {f"{name[:-3]}.pyi" for name in stubs if name.endswith("_pb2.py")} <= names


def test_the_wheel_brings_the_licence_and_the_command(wheel: zipfile.ZipFile, names: set[str]) -> None:
    texts = {name.rpartition("/")[2]: name for name in names if ".dist-info/" in name}
    assert {"LICENSE", "NOTICE", "entry_points.txt"} <= set(texts)
    assert "glossd = glossd.cli.main:main" in wheel.read(texts["entry_points.txt"]).decode()


def test_the_embedded_model_is_whole_and_small_enough_to_carry(wheel: zipfile.ZipFile) -> None:
    sizes = {item.filename: item.file_size for item in wheel.infolist() if item.filename.startswith(EMBEDDED)}
    if not sizes:
        pytest.skip("this tree holds no embedded model yet")
    assert any(name.endswith("model.safetensors") for name in sizes)
    assert any(name.endswith("config.json") for name in sizes)
    assert sum(sizes.values()) <= LARGEST_EMBEDDED_BYTES


def test_a_bare_import_loads_neither_torch_nor_grpc() -> None:
    script = "import sys, glossd; print(glossd.__version__, {'torch', 'transformers', 'grpc'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("set()")


def test_the_client_needs_no_torch() -> None:
    script = "import sys, glossd; glossd.Client, glossd.AsyncClient; print({'torch', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "set()"


def test_every_requirement_is_pinned_exactly(project: dict[str, object], requirements: set[str]) -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert [line for line in pins if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line)] == []
    pinned = {line.partition("==")[0] for line in pins}
    extras = project["optional-dependencies"]
    assert isinstance(extras, dict)
    optional = {name_of(line) for lines in extras.values() for line in lines} - {"glossd"}
    assert (requirements | optional) - pinned == set()


def test_every_pin_has_its_licence_named() -> None:
    text = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    named = set(re.findall(r"[a-z][a-z0-9_-]+", text))
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert {line.partition("==")[0] for line in lines if not line.startswith("#")} - named == set()


def test_what_the_package_imports_is_what_it_requires(requirements: set[str]) -> None:
    imported = {
        name.partition(".")[0]
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in imported_names(node)
    }
    outside = imported - sys.stdlib_module_names - {"glossd"} - EXTRAS
    declared = {MODULES.get(name, name.replace("-", "_")) for name in requirements}
    assert outside - declared == set(), "imported and not required"
    unused = {name for name in requirements - UNSEEN if MODULES.get(name, name.replace("-", "_")) not in outside}
    assert unused == set(), "required and not imported"


def imported_names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
