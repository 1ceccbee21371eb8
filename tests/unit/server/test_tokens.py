"""The file of tokens: what may stand in it, how it is renewed, and that nothing of it is ever said."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from glossd.errors import InvalidInputError
from glossd.server.tokens import LOOK_NS, Tokens

OLD, NEW = "old-0123456789abcdef", "new-0123456789abcdef"


class Clock:
    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


def tokens_of(path: Path, content: str, clock: Clock | None = None) -> Tokens:
    path.write_text(content)
    return Tokens(str(path), clock=clock or Clock())


def test_a_caller_is_known_by_its_token_alone(tmp_path: Path) -> None:
    tokens = tokens_of(tmp_path / "t", f"  # comment\n\nteam.a {OLD}\n{NEW}\n")
    names = [tokens.name_of(f"Bearer {token}") for token in (OLD, NEW, "", OLD[:-1], OLD + "x", f"team.a {OLD}")]
    assert names == ["team.a", "default", None, None, None, None]
    assert tokens.name_of(OLD) is None
    assert tokens.name_of(f"Basic {OLD}") is None
    assert tokens.name_of("Bearer \udcff") is None


def test_two_tokens_of_one_name_are_both_good_so_that_one_can_be_renewed(tmp_path: Path) -> None:
    tokens = tokens_of(tmp_path / "t", f"a {OLD}\na {NEW}\n")
    assert {tokens.name_of(f"Bearer {token}") for token in (OLD, NEW)} == {"a"}


def test_a_changed_file_counts_within_a_second_and_not_before(tmp_path: Path) -> None:
    clock = Clock()
    tokens = tokens_of(tmp_path / "t", f"a {OLD}", clock)
    (tmp_path / "t").write_text(f"longer-name {NEW}")
    assert tokens.name_of(f"Bearer {NEW}") is None
    clock.now_ns = LOOK_NS
    assert tokens.name_of(f"Bearer {NEW}") == "longer-name"
    assert tokens.name_of(f"Bearer {OLD}") is None


def test_a_change_that_cannot_be_read_leaves_the_tokens_and_is_logged_without_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    tokens = tokens_of(tmp_path / "t", f"a {OLD}", clock)
    with caplog.at_level(logging.DEBUG):
        for number, content in enumerate(("", "short", f"b {NEW} extra words"), 1):
            (tmp_path / "t").write_text(content)
            clock.now_ns = number * LOOK_NS
            assert tokens.name_of(f"Bearer {OLD}") == "a"
    assert len(caplog.records) == 3
    assert not any(word in f"{vars(record)}" for record in caplog.records for word in (OLD, NEW, "extra"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "holds no token"),
        ("# only a comment\n", "holds no token"),
        ("short\n", "line 1: a token of 5 characters; it needs 16 or more"),
        (f"a {OLD}\nb\u00e9 {NEW}\n", "line 2: a name is"),
        (f"a b {OLD}", "line 1: 3 words"),
        (f"a {OLD}\nb {OLD}", "the same token stands there twice"),
        ("0123456789abcd\u00e9f", "printable ASCII"),
    ],
)
def test_a_file_that_holds_no_good_tokens_is_refused(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said) as caught:
        tokens_of(tmp_path / "t", content)
    assert caught.value.field == "server.token_file"
    assert OLD not in str(caught.value)


def test_a_file_that_is_not_text_or_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"\xff\xfe")
    for name, said in (("t", "byte 0 is not UTF-8"), ("none", "cannot read")):
        with pytest.raises(InvalidInputError, match=said):
            Tokens(str(tmp_path / name))
