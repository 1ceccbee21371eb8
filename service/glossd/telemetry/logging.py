"""Logs as JSON lines on standard error, each with its request id. Never a user's text."""

from __future__ import annotations

import json
import logging
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import IO

from glossd.config import LoggingSettings

_request_id: ContextVar[str] = ContextVar("glossd_request_id", default="")

# What every record carries; anything else was given as ``extra`` and is written out.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (RFC 3339, UTC), level, logger, message, request id, extra fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one record."""
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id := current_request_id():
            entry["request_id"] = request_id
        entry |= _extra_fields(record)
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """The same for a person: time, level, message, then ``name=value`` pairs."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one record."""
        time = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        fields = _extra_fields(record)
        if request_id := current_request_id():
            fields["request_id"] = request_id
        pairs = "".join(f" {name}={value}" for name, value in fields.items())
        line = f"{time} {record.levelname.lower():7} {record.getMessage()}{pairs}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _extra_fields(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD and name[0] != "_"}


def configure_logging(settings: LoggingSettings, *, stream: IO[str] | None = None) -> None:
    """Send the logs of this process to ``stream`` (standard error). Replaces what was configured before.

    glossd's own loggers speak at the level set; other libraries' at warning or above.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.format == "json" else TextFormatter())
    level = getattr(logging, settings.level.upper())
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)
    logging.getLogger("glossd").setLevel(level)


def new_request_id() -> str:
    """An id for a request that brought none."""
    return uuid.uuid4().hex


def current_request_id() -> str:
    """The id of the request that this task or thread works for, or ""."""
    return _request_id.get()


@contextmanager
def request_context(request_id: str) -> Iterator[None]:
    """Everything logged inside, by this task and those it starts, carries ``request_id``."""
    token = _request_id.set(request_id)
    try:
        yield
    finally:
        _request_id.reset(token)
