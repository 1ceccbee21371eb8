"""The command line against a server with TLS, clients' certificates and tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from glossd.cli.corpus_engines import EngineChoice, build_engine
from glossd.cli.reach import connection_of
from glossd.config import ClientSettings, Settings
from glossd.corpus.recipe import Recipe
from glossd.errors import InvalidInputError

from tests.e2e.certificates import Authority
from tests.unit.cli.conftest import Run, toy_server

TOKEN = "a-token-0123456789"


@dataclass(frozen=True, slots=True)
class Secured:
    """Where the server is, and the flags that let a command in."""

    endpoint: str
    ca: list[str]
    token: list[str]
    certificate: list[str]

    @property
    def flags(self) -> list[str]:
        return ["--endpoint", self.endpoint, *self.ca, *self.token, *self.certificate]


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    authority = Authority()
    certificate, key = authority.sign().write(folder)
    mine, my_key = authority.sign("me").write(folder, "client")
    ca, tokens = folder / "ca.crt", folder / "tokens"
    ca.write_bytes(authority.root)
    tokens.write_text(f"# comment\nme {TOKEN}\n")
    settings = {"tls_certificate": certificate, "tls_key": key, "tls_client_ca": str(ca), "token_file": str(tokens)}
    with toy_server(**settings, open_health=False) as address:
        yield Secured(
            address,
            ["--tls-ca", str(ca), "--set", "client.tls_name=localhost"],
            ["--token-file", str(tokens)],
            ["--set", f"client.tls_certificate={mine}", "--set", f"client.tls_key={my_key}"],
        )


def test_every_command_that_talks_to_a_server_can_talk_to_a_secured_one(
    run: Run, secured: Secured, article: str
) -> None:
    assert run("health", *secured.flags).out == "SERVING\n"
    assert "toy-en-zh" in run("models", "list", *secured.flags).out
    for command in ("digest", "translate", "summarize"):
        ran = run(command, article, *secured.flags)
        assert (ran.code, bool(ran.out.strip())) == (0, True), ran.err


def test_who_lacks_the_token_the_authority_or_the_certificate_is_told_so_in_a_line(run: Run, secured: Secured) -> None:
    endpoint = ["--endpoint", secured.endpoint]
    without_token = run("health", *endpoint, *secured.ca, *secured.certificate)
    assert (without_token.code, without_token.err.count("\n")) == (1, 1)
    assert "UNAUTHENTICATED" in without_token.err
    for flags in ([*secured.ca, *secured.token], [*secured.certificate, *secured.token], []):
        ran = run("health", *endpoint, *flags, "--timeout", "20")
        assert (ran.code, ran.err.count("\n")) == (1, 1)
        assert f"no server at {secured.endpoint}" in ran.err or "the TLS handshake failed" in ran.err
    wrong_authority = run("health", *endpoint, *secured.certificate, *secured.token, "--timeout", "20")
    assert (
        f"no secure connection to {secured.endpoint}: the TLS handshake failed; check --tls-ca" in wrong_authority.err
    )


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--tls-ca", "/nowhere.pem"], "client.tls_ca: cannot read /nowhere.pem"),
        (["--token-file", "/nowhere"], "client.token_file: cannot read /nowhere"),
        (["--token-file", "/dev/null"], "holds no token"),
        (["--token-file", "TOKENS", "--endpoint", "example.org:1"], "over TLS or to this machine only"),
    ],
)
def test_flags_that_cannot_work_are_a_usage_error(flags: list[str], said: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(TOKEN)
    ran = run("health", *(str(tmp_path / "tokens") if flag == "TOKENS" else flag for flag in flags))
    assert ran.code == 2
    assert said in ran.err
    assert TOKEN not in ran.err


def test_a_corpus_over_a_fleet_uses_the_client_settings_too(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(TOKEN)
    (tmp_path / "ca.crt").write_bytes(Authority().root)
    client = ClientSettings(token_file=str(tmp_path / "tokens"))
    choice = EngineChoice("grpc", Settings(client=client), Recipe("zh-Hans"), ("dns:///example.org:1",))
    with pytest.raises(InvalidInputError, match="over TLS only"):
        build_engine(choice)
    secured = client.model_copy(update={"tls_ca": str(tmp_path / "ca.crt")})
    assert connection_of(secured).tls
    assert connection_of(secured).token == TOKEN
