"""Protocol buffers without a schema: as much of the wire format as a test pod needs.

The agent's own CRI messages are kept to what the agent asks; it never creates a container. A
message here is a mapping of field numbers, as in the CRI's api.proto, to values.
"""

import collections.abc
import typing

Message = collections.abc.Mapping[int, typing.Any]

_VARINT = 0
_BYTES = 2


def encode(message: Message) -> bytes:
    """Return the message's bytes."""
    return b"".join(_field(number, value) for number, value in message.items())


def decode(data: bytes) -> dict[int, int | bytes]:
    """Return the fields of a message; of a repeated field the last one."""
    fields: dict[int, int | bytes] = {}
    while data:
        tag, data = _read_varint(data)
        number, kind = tag >> 3, tag & 7
        length_or_value, data = _read_varint(data)
        if kind == _VARINT:
            fields[number] = length_or_value
        elif kind == _BYTES:
            fields[number], data = data[:length_or_value], data[length_or_value:]
        else:
            raise ValueError(f"field {number} has wire type {kind}, which no CRI message uses")
    return fields


def text(message: bytes, *path: int) -> str:
    """Return the string at a path of field numbers; empty when it is not there."""
    *outer, last = path
    for number in outer:
        message = typing.cast("bytes", decode(message).get(number, b""))
    return typing.cast("bytes", decode(message).get(last, b"")).decode()


def number(message: bytes, *path: int) -> int:
    """Return the number at a path of field numbers; 0 when it is not there."""
    *outer, last = path
    for field in outer:
        message = typing.cast("bytes", decode(message).get(field, b""))
    return typing.cast("int", decode(message).get(last, 0))


def _field(number: int, value: typing.Any) -> bytes:
    if isinstance(value, list):
        return b"".join(_field(number, item) for item in value)
    if isinstance(value, int):
        return _varint(number << 3 | _VARINT) + _varint(value)
    data = value.encode() if isinstance(value, str) else encode(value)
    return _varint(number << 3 | _BYTES) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _read_varint(data: bytes) -> tuple[int, bytes]:
    value = 0
    for position, byte in enumerate(data):
        value |= (byte & 0x7F) << 7 * position
        if byte < 0x80:
            return value, data[position + 1 :]
    raise ValueError("the message ends within a number")
