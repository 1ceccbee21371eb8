"""Requests of every method, made from the descriptors: any value in any field of a request that would be served."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from glossd.v1 import article_service_pb2, model_service_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

TEXT = "The council met on Monday. It decided to build a bridge. The bridge will open in 2027."
DOCUMENT = {"text": TEXT, "language_code": "en"}
TARGET = {"target_language_code": "zh"}
_SERVABLE: dict[str, dict[str, Any]] = {
    "DigestRequest": {"document": DOCUMENT, "translation": TARGET},
    "StreamDigestRequest": {"document": DOCUMENT, "translation": TARGET},
    "BulkDigestRequest": {"key": "one", "request": {"document": DOCUMENT, "translation": TARGET}},
    "SummarizeRequest": {"documents": [DOCUMENT]},
    "TranslateRequest": {"documents": [DOCUMENT], **TARGET},
    "DetectLanguageRequest": {"text": TEXT},
}
METHODS: tuple[MethodDescriptor, ...] = tuple(
    method
    for file in (article_service_pb2, model_service_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
)
ODD_TEXTS = (
    "",
    " \n\t\u3000",
    "\0",
    "\x1b[31mred\x1b[0m",
    "\u202eright to left\u202c",
    "\u200b\u200d\ufeff",
    "e" + "\u0301" * 2_000,
    "\U0001f600" * 50,
    "\ufffe\uffff\U0010ffff",
    "今天天气很好。",
    "xx-klingon",
    "zh-Hans",
    "en",
    "und",
    "../../etc/passwd",
    "%s%n{}",
    "<script>alert(1)</script>",
    "A" * 5_000,
    "1" * 400,
    "?!?!...",
)
NUMBERS = (0, 1, -1, 2, 5, 16, 17, 64, 4096, 4097, 2**31 - 1, -(2**31))
REALS = (0.0, -0.0, 1.0, 0.5, -1.0, 1e308, -1e308, 5e-324, float("nan"), float("inf"), float("-inf"))


@dataclass(frozen=True, slots=True)
class Case:
    """A request of a method."""

    method: MethodDescriptor
    request: Message


def message_class(descriptor: Descriptor) -> Callable[[], Message]:
    """What makes messages of that kind."""
    return GetMessageClass(descriptor)


def servable(descriptor: Descriptor) -> Message:
    """A request that would be served, or an empty one."""
    return ParseDict(_SERVABLE.get(descriptor.name, {}), message_class(descriptor)())


def cases() -> st.SearchStrategy[Case]:
    """A request of any method with one to four fields of any depth set to anything."""
    return st.sampled_from(METHODS).flatmap(_cases_of)


def _cases_of(method: MethodDescriptor) -> st.SearchStrategy[Case]:
    places = _places(method.input_type)
    if not places:
        return st.just(Case(method, message_class(method.input_type)()))
    change = st.sampled_from(places).flatmap(lambda place: st.tuples(st.just(place), _value(place[-1])))
    return st.lists(change, min_size=1, max_size=4).map(lambda changes: Case(method, _changed(method, changes)))


_Place = tuple[FieldDescriptor, ...]


def _places(descriptor: Descriptor, before: _Place = ()) -> list[_Place]:
    """The way to every field of a message and of the messages in it."""
    places: list[_Place] = []
    for field in descriptor.fields:
        if field.message_type is None:
            places.append((*before, field))
        else:
            places += _places(field.message_type, (*before, field))
    return places


def _value(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return st.booleans()
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return st.sampled_from((*range(12), 99, 2**31 - 1, -1))
    if kind in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
        return st.sampled_from(REALS) | st.floats()
    if kind != FieldDescriptor.CPPTYPE_STRING:
        return st.sampled_from(NUMBERS) | st.integers(-(2**31), 2**31 - 1)
    texts = st.sampled_from(ODD_TEXTS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=200) | texts.map(str.encode)
    return texts


def _changed(method: MethodDescriptor, changes: list[tuple[_Place, Any]]) -> Message:
    request = servable(method.input_type)
    for place, value in changes:
        message: Any = request
        for field in place[:-1]:
            inner = getattr(message, field.name)
            message = (inner[0] if len(inner) else inner.add()) if _repeated(field) else inner
        last = place[-1]
        if _repeated(last):
            getattr(message, last.name).extend([value] * 2)
        else:
            setattr(message, last.name, value)
    return request


def _repeated(field: FieldDescriptor) -> bool:
    return bool(field.is_repeated)


def exists(path: str, descriptor: Descriptor) -> bool:
    """Whether a field path such as "documents[0].text" names a field of the message."""
    inner: Descriptor | None = descriptor
    for step in path.split("."):
        field = inner.fields_by_name.get(re.sub(r"\[\d+\]$", "", step)) if inner is not None else None
        if field is None:
            return False
        inner = field.message_type
    return True
