"""Logs: one JSON object a line, with the id of the request, and nothing that was not given to them."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator

import pytest
from glossd.config import LoggingSettings
from glossd.telemetry.logging import configure_logging, current_request_id, new_request_id, request_context


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root, logger = logging.getLogger(), logging.getLogger("glossd")
    handlers, level, own_level = list(root.handlers), root.level, logger.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    logger.setLevel(own_level)


def test_a_line_is_an_object_with_its_extra_fields(stream: io.StringIO) -> None:
    configure_logging(LoggingSettings(), stream=stream)
    logging.getLogger("glossd.test").info("done", extra={"seconds": 1.5, "model": "toy"})
    entry = json.loads(stream.getvalue())
    assert (entry["message"], entry["level"], entry["logger"]) == ("done", "info", "glossd.test")
    assert (entry["seconds"], entry["model"]) == (1.5, "toy")
    assert entry["time"].endswith("+00:00")
    assert "request_id" not in entry


def test_everything_inside_a_request_carries_its_id(stream: io.StringIO) -> None:
    configure_logging(LoggingSettings(), stream=stream)

    async def work() -> None:
        logging.getLogger("glossd.test").info("inside")

    async def call() -> None:
        with request_context("abc"):
            await asyncio.gather(work(), asyncio.to_thread(logging.getLogger("glossd.test").info, "in a thread"))
        logging.getLogger("glossd.test").info("after")

    asyncio.run(call())
    entries = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [entry.get("request_id") for entry in entries] == ["abc", "abc", None]
    assert current_request_id() == ""


def test_the_level_is_glossd_s_own_and_libraries_speak_from_warning_on(stream: io.StringIO) -> None:
    configure_logging(LoggingSettings(level="debug"), stream=stream)
    logging.getLogger("glossd.test").debug("ours")
    logging.getLogger("library").info("theirs")
    logging.getLogger("library").warning("theirs too")
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["ours", "theirs too"]


def test_an_exception_is_one_line_too(stream: io.StringIO) -> None:
    configure_logging(LoggingSettings(), stream=stream)
    try:
        raise ValueError("odd")
    except ValueError:
        logging.getLogger("glossd.test").exception("failed")
    assert stream.getvalue().count("\n") == 1
    assert "ValueError: odd" in json.loads(stream.getvalue())["exception"]


def test_text_is_for_people(stream: io.StringIO) -> None:
    configure_logging(LoggingSettings(format="text"), stream=stream)
    with request_context("abc"):
        logging.getLogger("glossd.test").info("done", extra={"seconds": 1.5})
    assert stream.getvalue().rstrip().endswith("info    done seconds=1.5 request_id=abc")


def test_request_ids_differ() -> None:
    assert len({new_request_id() for _ in range(100)}) == 100


def test_what_other_libraries_hide_in_a_record_is_left_out(stream: io.StringIO) -> None:
    configure_logging(LoggingSettings(format="json"), stream=stream)
    logging.getLogger("glossd.test").info("done", extra={"_hidden_by_another": 1, "seconds": 2.5})
    written = stream.getvalue()
    assert "seconds" in written
    assert "hidden" not in written
