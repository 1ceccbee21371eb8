"""Bytes that are no request: the first field that is not text is named, whatever else is in the message."""

from __future__ import annotations

import pytest
from glossd.server.undecodable import Undecodable, examine, tolerant
from glossd.v1 import article_service_pb2 as articles
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

REQUEST = articles.DigestRequest.DESCRIPTOR


def broken(request: articles.DigestRequest) -> bytes:
    """The request with each "?" made a byte that UTF-8 never has."""
    return request.SerializeToString().replace(b"?", b"\xff")


def test_a_string_is_named_with_the_place_of_the_byte() -> None:
    request = articles.DigestRequest(summary_model="ab?")
    assert examine(broken(request), REQUEST) == Undecodable("summary_model", "byte 2 of 3 is not UTF-8")


def test_a_string_in_a_list_is_named_with_its_index() -> None:
    request = articles.DigestRequest()
    request.options.glossary.add(source="fine", target="fine")
    request.options.glossary.add(source="fine", target="?")
    assert examine(broken(request), REQUEST).field == "options.glossary[1].target"


def test_bytes_fields_may_hold_anything() -> None:
    request = articles.DigestRequest(translation_model="?")
    request.document.content = b"\xff\xfe"
    assert examine(broken(request), REQUEST).field == "translation_model"


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_raise(data: bytes) -> None:
    read = tolerant(articles.DigestRequest.FromString, REQUEST)
    try:
        assert read(data) == articles.DigestRequest.FromString(data)
    except DecodeError:
        assert isinstance(read(data), Undecodable)


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\x0a\x7f"])
def test_what_is_no_message_names_no_field(data: bytes) -> None:
    assert examine(data, REQUEST).field == ""
    assert "not a glossd.v1.DigestRequest" in examine(data, REQUEST).description
