"""The command line as a whole: help, version, settings, models, health, and what it loads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from glossd import __version__

from tests.conftest import ROOT, Checkpoints
from tests.unit.cli.conftest import Run


def test_the_version_is_the_package_s(run: Run) -> None:
    assert run("--version").out == f"glossd {__version__}\n"


@pytest.mark.parametrize("command", ["digest", "summarize", "translate", "serve", "health", "demo", "metrics", "top"])
def test_every_command_explains_itself_with_an_example(run: Run, command: str) -> None:
    ran = run(command, "--help")
    assert ran.code == 0
    assert f"glossd {command}" in ran.out.split("Options")[0].split("Usage:")[1].partition("\n")[2]


def test_the_shell_can_complete_it(run: Run) -> None:
    assert "--install-completion" in run("--help").out


def test_help_loads_neither_torch_nor_grpc() -> None:
    script = (
        "import sys\nsys.argv = ['glossd', '--help']\nfrom glossd.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'transformers', 'grpc', 'lingua', 'numpy'} & set(sys.modules)\nsys.exit(str(heavy or ''))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT / "service")
    assert done.stderr.strip() == ""


def test_every_setting_is_shown_with_its_origin(run: Run) -> None:
    ran = run("config", "show", "--set", "engine.rows=3")
    rows = {line.split()[0]: line.split()[1:3] for line in ran.out.splitlines()}
    assert rows["engine.rows"] == ["3", "flag"]
    assert rows["server.port"] == ["50051", "default"]


def test_settings_are_shown_as_json(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOSSD_ENGINE__ROWS", "5")
    shown = json.loads(run("config", "show", "--format", "json").out)
    assert shown["engine.rows"]["value"] == 5
    assert shown["engine.rows"]["origin"] == "environment GLOSSD_ENGINE__ROWS"


def test_a_settings_file_is_read(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "glossd.toml"
    file.write_text("[engine]\nrows = 7\n")
    assert f"file {file}" in run("config", "show", "--config", str(file)).out


def test_a_healthy_server_is_serving(run: Run, endpoint: str) -> None:
    ran = run("health", "--endpoint", endpoint, "--timeout", "10")
    assert (ran.code, ran.out) == (0, "SERVING\n")
    assert run("health", "--endpoint", endpoint, "--service", "models/toy-en-zh").code == 0


def test_a_service_that_is_not_there_or_a_server_that_is_not_is_a_failure(run: Run, endpoint: str) -> None:
    assert run("health", "--endpoint", endpoint, "--service", "nobody").code == 1
    gone = run("health", "--endpoint", "127.0.0.1:1", "--timeout", "5")
    assert gone.code == 1
    assert gone.err == "glossd: no server at 127.0.0.1:1 (Connection refused); start one with `glossd serve`\n"


def test_the_models_of_a_server_are_listed(run: Run, endpoint: str) -> None:
    assert "toy-en-zh  ready  translation" in run("models", "list", "--endpoint", endpoint).out
    shown = json.loads(run("models", "list", "--endpoint", endpoint, "--format", "json").out)
    assert shown["models"][0]["name"] == "toy-en-zh"


def test_the_models_of_the_settings_are_listed(run: Run, tmp_path: Path) -> None:
    cache = f"models.cache_dir={tmp_path}"
    out = run(
        "models", "list", "--set", cache, "--model", "opus=Helsinki-NLP/opus-mt-en-zh", "--summary-model", "a/b"
    ).out
    assert out.splitlines()[1].split() == ["opus", "translation", "Helsinki-NLP/opus-mt-en-zh", "missing"]
    assert out.splitlines()[2].split() == ["a/b", "summarization", "a/b", "missing"]


def test_a_model_is_verified_and_a_missing_one_named(run: Run, checkpoints: Checkpoints) -> None:
    fit = run("models", "verify", "--model", str(checkpoints("marian")), "--set", "models.canary=false")
    assert fit.code == 0, fit.err
    assert "fit to be served: marian, en to zh-Hans" in fit.out
    missing = run("models", "verify", "--model", "nobody/nothing")
    assert missing.code == 1
    assert "run `glossd models fetch nobody/nothing`" in missing.err


def test_a_download_that_is_forbidden_says_why(run: Run) -> None:
    ran = run("models", "fetch", "nobody/nothing")
    assert ran.code == 1
    assert "HF_HUB_OFFLINE" in ran.err


def test_the_sample_article_is_the_one_among_the_examples() -> None:
    sample = ROOT / "service" / "glossd" / "cli" / "sample_article.txt"
    assert sample.read_text() == (ROOT / "examples" / "article.txt").read_text()
