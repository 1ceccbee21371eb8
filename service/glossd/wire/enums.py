"""Enum members and their numbers on the wire. A member's wire name is its enum's prefix and its own name."""

from __future__ import annotations

from enum import Enum
from typing import Generic, TypeVar

from google.protobuf.descriptor import EnumDescriptor

from glossd.digests import Track
from glossd.types import Extraction, FinishReason, ModelState, Priority, SummaryMethod, WarningCode
from glossd.v1 import article_service_pb2, common_pb2, model_service_pb2

Member = TypeVar("Member", bound=Enum)


class WireEnum(Generic[Member]):
    """The numbers of one enum's members. Building it fails when the proto and ``glossd.types`` differ."""

    def __init__(self, prefix: str, members: type[Member], descriptor: EnumDescriptor) -> None:
        numbers = {value.name: value.number for value in descriptor.values}
        self._number_of = {member: numbers.pop(f"{prefix}_{member.name}") for member in members}
        self._member_of = {number: member for member, number in self._number_of.items()}
        if list(numbers) != [f"{prefix}_UNSPECIFIED"]:
            raise ValueError(f"{descriptor.full_name} has values that glossd.types lacks: {sorted(numbers)}")

    def number(self, member: Member) -> int:
        """The number that stands for ``member``."""
        return self._number_of[member]

    def member(self, number: int) -> Member | None:
        """The member of a number; None for 0 (unspecified) and for numbers a newer peer has added."""
        return self._member_of.get(number)


EXTRACTION = WireEnum("EXTRACTION", Extraction, common_pb2.Extraction.DESCRIPTOR)
SUMMARY_METHOD = WireEnum("SUMMARY_METHOD", SummaryMethod, common_pb2.SummaryMethod.DESCRIPTOR)
PRIORITY = WireEnum("PRIORITY", Priority, common_pb2.Priority.DESCRIPTOR)
FINISH_REASON = WireEnum("FINISH_REASON", FinishReason, common_pb2.FinishReason.DESCRIPTOR)
WARNING_CODE = WireEnum("WARNING_CODE", WarningCode, common_pb2.WarningCode.DESCRIPTOR)
TRACK = WireEnum("TRACK", Track, article_service_pb2.Track.DESCRIPTOR)
MODEL_STATE = WireEnum("MODEL_STATE", ModelState, model_service_pb2.ModelState.DESCRIPTOR)
