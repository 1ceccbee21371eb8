"""Bearer tokens from a file, each with the name of its caller. Knows nothing of calls."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from glossd.errors import InvalidInputError
from glossd.server.watched import Watched

SETTING = "server.token_file"
SHORTEST_TOKEN = 16
LOOK_NS = 1_000_000_000
DEFAULT_NAME = "default"

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TOKEN = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Token:
    """One token, kept only as its hash."""

    name: str
    digest: bytes


class Tokens:
    """The tokens of a file: one a line, "NAME TOKEN" or "TOKEN"; a line that begins with "#" is a comment.

    Two tokens may have one name, so that a token can be renewed. The file is looked at once a second at most.
    Raises ``InvalidInputError`` for a file that does not say any.
    """

    def __init__(self, file: str, *, clock: Callable[[], int] = time.monotonic_ns) -> None:
        path = Path(file)
        self._clock = clock
        self._watched = Watched("tokens", [path], lambda: read_tokens(path))
        self._tokens, _ = self._watched.current()
        self._look_ns = clock() + LOOK_NS

    def name_of(self, authorization: str) -> str | None:
        """The name of the caller with that ``authorization`` header; None for a token that is none of these.

        Takes the same time whichever token it is, and however much of it is right.
        """
        now_ns = self._clock()
        if now_ns >= self._look_ns:
            self._look_ns = now_ns + LOOK_NS
            self._tokens, _ = self._watched.current()
        scheme, _, token = authorization.partition(" ")
        digest = _digest(token.strip())
        name = None
        for known in self._tokens:
            if hmac.compare_digest(digest, known.digest):
                name = known.name
        return name if scheme.lower() == "bearer" else None


def read_tokens(path: Path) -> tuple[Token, ...]:
    """The tokens of a file. Errors name the line and never what stands in it."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InvalidInputError(SETTING, f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidInputError(SETTING, f"{path}: byte {error.start:,} is not UTF-8") from error
    tokens = []
    for number, line in enumerate(lines, 1):
        words = line.split()
        if words and not words[0].startswith("#"):
            tokens.append(_token(words, f"{path}, line {number}"))
    if not tokens:
        raise InvalidInputError(SETTING, f"{path} holds no token")
    if len({token.digest for token in tokens}) < len(tokens):
        raise InvalidInputError(SETTING, f"{path}: the same token stands there twice")
    return tuple(tokens)


def _token(words: list[str], where: str) -> Token:
    if len(words) > 2:
        raise InvalidInputError(SETTING, f"{where}: {len(words)} words; it should be NAME TOKEN or TOKEN")
    *names, token = words
    name = names[0] if names else DEFAULT_NAME
    if not _NAME.fullmatch(name):
        raise InvalidInputError(SETTING, f"{where}: a name is 1 to 64 of A-Z a-z 0-9 . _ -")
    if len(token) < SHORTEST_TOKEN or not _TOKEN.fullmatch(token):
        problem = f"a token of {len(token)} characters; it needs {SHORTEST_TOKEN} or more, printable ASCII"
        raise InvalidInputError(SETTING, f"{where}: {problem}")
    return Token(name, _digest(token))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
