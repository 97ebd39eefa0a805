"""D-Bus messages as bytes: the only module that knows jeepney, which has no types of its own.

Called by `dbus`, which moves the bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Literal

import jeepney  # type: ignore[import-untyped]  # it has none

_GARBAGE = (ValueError, KeyError, IndexError, TypeError, AttributeError, struct.error)
"""What the parser raises on bytes that are not D-Bus."""


class NotDBus(ValueError):  # noqa: N818 - reads as what it is
    """The bytes are not a D-Bus message."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message that came in.

    Attributes:
        reply_to: serial number of the call that it answers.
        member: name of the signal.
        error: name of the error; empty when it is none.
        body: its values.
    """

    kind: Literal["answer", "error", "signal", "call"]
    reply_to: int | None
    member: str
    error: str
    body: tuple[Any, ...]


_PREFIX = 16
"""So many bytes tell how long a message is."""

_SIGNAL = 4
"""The second byte of a signal."""

_jeepney: Any = jeepney
_low_level: Any = _jeepney.low_level
_KINDS: dict[Any, Literal["answer", "error", "signal", "call"]] = {
    _jeepney.MessageType.method_return: "answer",
    _jeepney.MessageType.error: "error",
    _jeepney.MessageType.signal: "signal",
    _jeepney.MessageType.method_call: "call",
}


@dataclass(frozen=True, slots=True)
class Call:
    """A method call that goes out: whose method it is, and what it is told."""

    bus_name: str
    path: str
    interface: str
    member: str
    signature: str
    body: tuple[Any, ...]


def encode(call: Call, serial: int) -> tuple[bytes, list[int]]:
    """Return the message's bytes, and the descriptors that must travel with them."""
    address = _jeepney.DBusAddress(call.path, bus_name=call.bus_name, interface=call.interface)
    message = _jeepney.new_method_call(address, call.member, call.signature or None, call.body)
    descriptors: list[int] = []
    return message.serialise(serial=serial, fds=descriptors), descriptors


class Decoder:
    """Takes bytes as they come, gives messages: of the signals only those of one name.

    systemd tells every private connection about every change of every unit: three of four
    messages. Taking them apart was a third of the agent's processor time in an installation.
    """

    def __init__(self, *, signal: str) -> None:
        """Start at the beginning of a message."""
        self._signal = signal.encode()
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take some more bytes."""
        self._buffer += data

    def next(self) -> Message | None:
        """Return a message if one is complete.

        Raises:
            NotDBus: what came is no message.
        """
        try:
            while (raw := self._take()) is not None:
                if raw[1] != _SIGNAL or self._signal in raw:
                    return _message(_low_level.Message.from_buffer(raw))
        except _GARBAGE as error:
            raise NotDBus(repr(error)) from error
        return None

    def _take(self) -> bytes | None:
        """Return the bytes of the first message and drop them, None when it is not complete."""
        if len(self._buffer) < _PREFIX:
            return None
        size: int = _low_level.calc_msg_size(bytes(self._buffer[:_PREFIX]))
        if len(self._buffer) < size:
            return None
        raw = bytes(self._buffer[:size])
        del self._buffer[:size]
        return raw


def _message(message: Any) -> Message:
    fields = message.header.fields
    names = _jeepney.HeaderFields
    return Message(
        kind=_KINDS[message.header.message_type],
        reply_to=fields.get(names.reply_serial),
        member=str(fields.get(names.member, "")),
        error=str(fields.get(names.error_name, "")),
        body=tuple(message.body),
    )
