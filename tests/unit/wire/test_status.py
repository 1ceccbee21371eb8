"""Errors travel as a status with details and arrive as the client's error."""

from __future__ import annotations

import pytest
from glossd import errors
from glossd.errors import GlossdError, InvalidInputError, OverloadedError
from glossd.wire.status import code_name, error_to_status, status_to_error
from google.protobuf.wrappers_pb2 import StringValue
from google.rpc.status_pb2 import Status


def every_error() -> list[GlossdError]:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, GlossdError)]
    special: dict[type, GlossdError] = {
        errors.InvalidInputError: InvalidInputError("a.b", "why"),
        errors.UnsupportedLanguageError: errors.UnsupportedLanguageError("a.b", "why"),
        errors.OverloadedError: OverloadedError("why", retry_after_seconds=0.25),
    }
    return [special.get(kind) or kind("why") for kind in kinds if kind is not errors.RemoteError]


@pytest.mark.parametrize("error", every_error(), ids=lambda error: type(error).__name__)
def test_every_error_of_the_tree_arrives_with_its_code_and_reason(error: GlossdError) -> None:
    arrived = status_to_error(error_to_status(error, request_id="id"))
    assert (arrived.code, arrived.remote_reason) == (error.status, error.reason)
    assert arrived.message == ("internal error; request id" if error.status == "INTERNAL" else str(error))


def test_fields_and_pauses_arrive() -> None:
    assert status_to_error(error_to_status(InvalidInputError("a.b", "why"))).fields == (("a.b", "why"),)
    status = error_to_status(OverloadedError("busy", retry_after_seconds=1.25))
    assert status_to_error(status).retry_after_seconds == 1.25


def test_details_of_unknown_kinds_are_skipped() -> None:
    status = Status(code=3, message="m")
    status.details.add().Pack(StringValue(value="x"))
    assert status_to_error(status).message == "m"


def test_a_code_that_is_none_reads_as_unknown() -> None:
    assert (code_name(8), code_name(99)) == ("RESOURCE_EXHAUSTED", "UNKNOWN")


def test_long_text_is_cut_at_a_whole_character() -> None:
    status = error_to_status(InvalidInputError("f" * 5000, "译" * 5000))
    assert status.message.endswith("...")
    assert len(status.SerializeToString()) < 4000
