"""Settings: one definition each, and file < environment < flag."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from glossd.config import EngineSettings, ServerSettings, Settings, load_settings, variable_name
from glossd.errors import InvalidInputError
from pydantic import ValidationError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "glossd.toml"
    path.write_text('[engine]\nrows = 8\n[server]\nport = 1000\n[models]\ntranslation = ["a", "b=c"]\n')
    return path


def test_without_anything_every_setting_has_its_default() -> None:
    loaded = load_settings(environment={})
    assert loaded.settings == Settings()
    assert {row.origin for row in loaded.rows()} == {"default"}


def test_a_file_is_overridden_by_the_environment_and_that_by_a_flag(file: Path) -> None:
    environment = {"GLOSSD_ENGINE__ROWS": "16", "GLOSSD_SERVER__PORT": "2000"}
    loaded = load_settings(file=file, environment=environment, assignments=["server.port=3000"])
    assert loaded.settings.models.translation == ("a", "b=c")
    assert loaded.settings.engine.rows == 16
    assert loaded.settings.server.port == 3000


def test_every_setting_says_where_it_came_from(file: Path) -> None:
    environment = {"GLOSSD_ENGINE__ROWS": "16"}
    loaded = load_settings(file=file, environment=environment, assignments=["server.host=0.0.0.0"])
    origins = {row.name: row.origin for row in loaded.rows()}
    assert origins["server.port"] == f"file {file}"
    assert origins["engine.rows"] == "environment GLOSSD_ENGINE__ROWS"
    assert origins["server.host"] == "flag"
    assert origins["engine.sources"] == "default"


def test_the_environment_can_name_the_file(file: Path) -> None:
    loaded = load_settings(environment={"GLOSSD_CONFIG": str(file)})
    assert loaded.settings.engine.rows == 8


def test_every_setting_is_explained_and_can_be_set_by_its_variable() -> None:
    for row in load_settings(environment={}).rows():
        assert row.explanation.endswith("."), row.name
        if isinstance(row.default, int | float):
            loaded = load_settings(environment={variable_name(row.name): str(row.default)})
            assert loaded.origins[row.name] == f"environment {row.variable}"


@pytest.mark.parametrize(
    ("assignment", "field", "said"),
    [
        ("engine.rows=0", "engine.rows", "greater than or equal to 1, not '0' (flag)"),
        ("engine.rows=many", "engine.rows", "not 'many'"),
        ("engine.rowz=1", "engine.rowz", "engine has rows, sources"),
        ("motor.rows=1", "motor.rows", "parts are server, engine"),
        ("engine=1", "engine", "no such setting"),
        ("engine.rows", "set", "is not NAME=VALUE"),
        ("models.dtype=int3", "models.dtype", "'int3'"),
        ("models.device=tpu", "models.device", "'tpu'"),
    ],
)
def test_a_bad_setting_is_refused_by_name(assignment: str, field: str, said: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        load_settings(assignments=[assignment], environment={})
    assert caught.value.field == field
    assert said in str(caught.value)


def test_a_bad_variable_is_refused_by_its_own_name() -> None:
    with pytest.raises(InvalidInputError, match="GLOSSD_ENGINE__ROWZ"):
        load_settings(environment={"GLOSSD_ENGINE__ROWZ": "1"})


def test_variables_that_orchestrators_set_for_a_service_are_left_alone() -> None:
    environment = {"GLOSSD_PORT": "tcp://10.0.0.1:50051", "GLOSSD_SERVICE_HOST": "10.0.0.1"}
    assert load_settings(environment=environment).settings == Settings()


@pytest.mark.parametrize("content", ["rows = 1", "[engine\n", "[engine]\nrowz = 1\n", "[motor]\nrows = 1\n"])
def test_a_file_that_is_not_understood_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(content)
    with pytest.raises(InvalidInputError):
        load_settings(file=path, environment={})


def test_a_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="cannot read"):
        load_settings(file=tmp_path / "none.toml", environment={})


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        ServerSettings().port = 1


def test_the_engine_settings_are_the_engine_limits() -> None:
    engine = pytest.importorskip("glossd.engine.engine")
    assert engine.EngineLimits(**EngineSettings().model_dump()) == engine.EngineLimits()


def test_the_settings_that_the_page_on_security_names_exist() -> None:
    root = Path(__file__).resolve().parents[2]
    pages = "".join((root / name).read_text(encoding="utf-8") for name in ("docs/security.md", "SECURITY.md"))
    named = set(re.findall(r"`((?:server|engine|models|client|logging|metrics)\.[a-z_]+)(?:=[^`]*)?`", pages))
    names = {row.name for row in load_settings(environment={}).rows()}
    assert len(named) > 20
    assert named <= names
