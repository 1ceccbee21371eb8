"""Request bytes that are no message: which field is at fault. The transport alone would answer UNKNOWN."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from google.protobuf.message import DecodeError, Message

from glossd.errors import InvalidInputError

Deserializer = Callable[[bytes], Any]


@dataclass(frozen=True, slots=True)
class Undecodable:
    """Stands in for a request that could not be read. ``field`` is "" when the bytes are no message at all."""

    field: str
    description: str

    def error(self) -> InvalidInputError:
        """What to tell the caller."""
        return InvalidInputError(self.field, self.description)


def tolerant(deserialize: Deserializer, descriptor: Descriptor) -> Deserializer:
    """As ``deserialize``, but answers ``Undecodable`` where that raises."""

    def read(data: bytes) -> Any:
        try:
            return deserialize(data)
        except DecodeError:
            return examine(data, descriptor)

    return read


def examine(data: bytes, descriptor: Descriptor) -> Undecodable:
    """Reads the bytes once more with every string as bytes, and names the first that is not UTF-8."""
    loose = _loose_class(descriptor)()
    try:
        loose.ParseFromString(data)
    except DecodeError:
        return Undecodable("", f"{len(data):,} bytes that are not a {descriptor.full_name}")
    for path, value, is_text in _byte_fields(loose, descriptor, ""):
        if is_text:
            try:
                value.decode("utf-8")
            except UnicodeDecodeError as error:
                return Undecodable(path, f"byte {error.start:,} of {len(value):,} is not UTF-8")
    return Undecodable("", f"{len(data):,} bytes that are not a {descriptor.full_name}")


def _loose_class(descriptor: Descriptor) -> type[Message]:
    """The same message in a pool of its own where each string field is a bytes field."""
    pool = descriptor_pool.DescriptorPool()
    for file in _with_dependencies(descriptor.file):
        proto = descriptor_pb2.FileDescriptorProto()
        file.CopyToProto(proto)
        _strings_to_bytes(list(proto.message_type))
        pool.Add(proto)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(descriptor.full_name))


def _with_dependencies(file: FileDescriptor) -> list[FileDescriptor]:
    """The files that ``file`` needs, each after those it needs itself, and last ``file``."""
    needed: dict[str, FileDescriptor] = {}
    for dependency in file.dependencies:
        needed |= {each.name: each for each in _with_dependencies(dependency)}
    return [*needed.values(), file]


def _strings_to_bytes(messages: list[descriptor_pb2.DescriptorProto]) -> None:
    kinds = descriptor_pb2.FieldDescriptorProto
    for message in messages:
        _strings_to_bytes(list(message.nested_type))
        for field in message.field:
            if field.type == kinds.TYPE_STRING and not message.options.map_entry:  # bytes are no key of a map
                field.type = kinds.TYPE_BYTES


def _byte_fields(loose: Message, descriptor: Descriptor, prefix: str) -> Iterator[tuple[str, bytes, bool]]:
    """Path, value and whether it is text, of every set field of ``loose`` that holds bytes."""
    for field, content in loose.ListFields():
        repeated = isinstance(content, list) or hasattr(content, "extend")
        original = descriptor.fields_by_name[field.name]
        for index, value in enumerate(content if repeated else [content]):
            path = f"{prefix}{field.name}[{index}]" if repeated else f"{prefix}{field.name}"
            if isinstance(value, Message) and original.message_type is not None:
                yield from _byte_fields(value, original.message_type, f"{path}.")
            elif isinstance(value, bytes):
                yield path, value, original.type == FieldDescriptor.TYPE_STRING
