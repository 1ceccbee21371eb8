"""No connection is opened at run time: loading the embedded model and a whole digest need no network at all."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from glossd.config import Settings
from glossd.digests import DigestTask
from glossd.tasks.api import build_services
from glossd.types import DocumentInput, Extraction, FinishReason

ARTICLE = (
    "Council approves the bridge\n\nThe council met on Monday. It decided to build a bridge over the river.\n\n"
    "Work begins in March. The old ferry stops when the bridge opens in 2027."
)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Connecting and asking for a name raise, and are noted."""
    tried: list[str] = []

    def refuse(*arguments: Any, **options: Any) -> Any:
        tried.append(repr(arguments))
        raise OSError("there is no network in this test")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("getaddrinfo", "gethostbyname", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)
    return tried


async def test_a_model_is_loaded_and_an_article_digested_without_a_connection(no_network: list[str]) -> None:
    settings = Settings.model_validate({"engine": {"workers": 1, "threads": 1}})
    services = build_services(settings)
    try:
        await services.start()
        task = DigestTask(DocumentInput(ARTICLE, extraction=Extraction.MAIN_CONTENT), "zh")
        digest = await services.digester.digest(task)
    finally:
        await services.close()
    assert digest.source_language.language_code == "en"
    assert digest.translated_body.finish_reason is FinishReason.COMPLETE
    assert no_network == []


def test_the_test_itself_would_notice(no_network: list[str]) -> None:
    with pytest.raises(OSError, match="no network in this test"):
        socket.create_connection(("127.0.0.1", 9))
    with socket.socket() as plain, pytest.raises(OSError, match="no network in this test"):
        plain.connect(("127.0.0.1", 9))
    assert len(no_network) == 2
