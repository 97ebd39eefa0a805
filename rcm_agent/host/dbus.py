"""One conversation with systemd over its private socket.

Called by `systemd`, `transient` and `switch`; each of their operations opens one conversation and
closes it. That costs a millisecond and spares us what a kept one needs: systemd sends every
signal to every private connection, and drops them all when it re-executes itself.

There is no bus daemon on this socket: no Hello, no Subscribe, and JobRemoved comes unasked.
"""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from rcm_agent import errors
from rcm_agent.host import wire

SOCKET = "/run/systemd/private"
NAME = "org.freedesktop.systemd1"
MANAGER = "/org/freedesktop/systemd1"

SIGNAL = "JobRemoved"
"""The only one that anybody here waits for."""

CALL_S = 10.0
"""Longest wait for one answer. systemd answers in a millisecond; while it reloads hundreds of
units it may need a few seconds, and its own clients give it 25 s. A guess in between."""

_CHUNK_BYTES = 65536
_SASL_BYTES = 4096
"""Longest greeting that we read; systemd's has 60 bytes."""


class CallRefused(errors.UnitError):
    """systemd answered with an error.

    Attributes:
        name: the D-Bus error's name, for example `org.freedesktop.systemd1.NoSuchUnit`.
    """

    def __init__(self, cause: str, *, name: str, advice: str = "") -> None:
        """Keep the name beside the two lines."""
        super().__init__(cause, advice=advice)
        self.name = name


class Bus:
    """A conversation; a context manager that hangs up at its end."""

    def __init__(self, path: str = SOCKET, *, patience_s: float = CALL_S) -> None:
        """Dial and authenticate; `patience_s` is for that and for each answer.

        Raises:
            UnitError: nothing there, nobody listening, refused, too slow, or not D-Bus.
        """
        self._path = path
        self._patience_s = patience_s
        self._silent: TimeoutExpired | None = None
        self._serial = 0
        self._decoder = wire.Decoder(signal=SIGNAL)
        self._signals: deque[wire.Message] = deque()
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._greet(time.monotonic() + patience_s)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def call(
        self,
        member: str,
        signature: str = "",
        *body: Any,
        path: str = MANAGER,
        interface: str = NAME + ".Manager",
    ) -> tuple[Any, ...]:
        """Call a method and return its results. Descriptors may stand where the signature has h.

        Raises:
            CallRefused: systemd answered with an error.
            UnitError: no answer in time (then no further call is tried), or the conversation
                broke.
        """
        if self._silent is not None:
            raise self._silent
        deadline = time.monotonic() + self._patience_s
        self._serial += 1
        self._send(wire.Call(NAME, path, interface, member, signature, body), deadline)
        while True:
            answer = self._answer(deadline, member)
            if answer.kind == "signal":
                self._signals.append(answer)
            elif answer.reply_to == self._serial:
                return _result(answer, member)

    def ask(self, member: str, signature: str = "", *body: Any, **where: Any) -> Any:
        """Call a method that has one result, and return that."""
        answer = self.call(member, signature, *body, **where)
        try:
            (result,) = answer
        except ValueError as error:
            raise self.nonsense(error) from error
        return result

    def get(self, path: str, interface: str, name: str) -> Any:
        """Return one property of an object; `interface` without its prefix."""
        result = self.ask(
            "Get",
            "ss",
            f"{NAME}.{interface}",
            name,
            path=path,
            interface="org.freedesktop.DBus.Properties",
        )
        try:
            _, value = result
        except (TypeError, ValueError) as error:
            raise self.nonsense(error) from error
        return value

    def wait_signal(
        self, *, wanted: Callable[[tuple[Any, ...]], bool], timeout_s: float
    ) -> tuple[Any, ...] | None:
        """Return the body of the first `SIGNAL` that is wanted, None when none came in time."""
        deadline = time.monotonic() + timeout_s
        while True:
            while self._signals:
                signal = self._signals.popleft()
                if signal.member == SIGNAL and wanted(signal.body):
                    return signal.body
            try:
                message = self._receive(deadline, SIGNAL)
            except TimeoutExpired:
                return None
            if message.kind == "signal":
                self._signals.append(message)

    def _greet(self, deadline: float) -> None:
        """Authenticate as ourselves and ask for descriptor passing.

        All of it goes in one write, and the first message only after the answers: when systemd
        reads BEGIN and a message at once, sd-bus (seen on 252) forgets to look at the message and
        the first call hangs. jeepney's own `prep_socket` runs into that.
        """
        user = str(os.getuid()).encode().hex().encode()
        hello = b"\0AUTH EXTERNAL " + user + b"\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n"
        try:
            self._socket.settimeout(_left(deadline))
            self._socket.connect(self._path)
            self._socket.sendall(hello)
        except OSError as error:
            raise self._unreachable(error) from error
        answer = self._read_lines(2, deadline)
        if not answer.startswith(b"OK ") or b"\r\nAGREE_UNIX_FD\r\n" not in answer:
            raise errors.UnitError(
                f"{self._path} did not let us in: {errors.clip(ascii(answer))}",
                advice="run as root of the host; check what listens on that socket",
            )

    def _read_lines(self, count: int, deadline: float) -> bytes:
        answer = b""
        while answer.count(b"\r\n") < count and len(answer) < _SASL_BYTES:
            answer += self._read(deadline, "greeting")
        return answer

    def _send(self, call: wire.Call, deadline: float) -> None:
        try:
            data, descriptors = wire.encode(call, self._serial)
        except (TypeError, ValueError) as error:
            raise errors.UnitError(
                f"cannot put {call.member} into D-Bus: {errors.clip(str(error))}",
                advice="check names and arguments for odd characters",
            ) from error
        try:
            self._socket.settimeout(_left(deadline))
            sent = socket.send_fds(self._socket, [data], descriptors) if descriptors else 0
            self._socket.sendall(data[sent:])
        except OSError as error:
            raise self._broken(call.member, error) from error

    def _answer(self, deadline: float, member: str) -> wire.Message:
        try:
            return self._receive(deadline, member)
        except TimeoutExpired as error:
            self._silent = error
            raise

    def _receive(self, deadline: float, member: str) -> wire.Message:
        while True:
            try:
                message = self._decoder.next()
            except wire.NotDBus as error:
                raise self.nonsense(error) from error
            if message is not None:
                return message
            self._decoder.feed(self._read(deadline, member))

    def _read(self, deadline: float, member: str) -> bytes:
        try:
            self._socket.settimeout(_left(deadline))
            data = self._socket.recv(_CHUNK_BYTES)
        except TimeoutError as error:
            raise TimeoutExpired(
                f"systemd did not answer to {member} in time",
                advice="see whether the host's systemd hangs: systemctl status",
            ) from error
        except OSError as error:
            raise self._broken(member, error) from error
        if not data:
            raise self._broken(member, None)
        return data

    def _unreachable(self, error: OSError) -> errors.UnitError:
        return errors.UnitError(
            f"cannot reach systemd at {self._path}: {error.strerror or error}",
            advice="this needs a host with systemd, and root; in a container, mount "
            "/run/systemd/private and see that --root is right",
        )

    def nonsense(self, error: Exception) -> errors.UnitError:
        """Return what to raise when an answer is not of the form that systemd's have."""
        return errors.UnitError(
            f"{self._path} does not speak systemd's D-Bus: {errors.clip(repr(error))}",
            advice="check what listens on that socket",
        )

    def _broken(self, member: str, error: OSError | None) -> errors.UnitError:
        reason = "hung up" if error is None else error.strerror
        return errors.UnitError(
            f"systemd broke off during {member}: {reason}",
            advice="run the command again; systemd may have re-executed itself",
        )


class TimeoutExpired(errors.UnitError):
    """No message came before the deadline."""


def _left(deadline: float) -> float:
    """Seconds until `deadline`, never 0: that would make the socket non-blocking."""
    return max(deadline - time.monotonic(), 0.001)


def _result(answer: wire.Message, member: str) -> tuple[Any, ...]:
    if answer.kind != "error":
        return answer.body
    text = str(answer.body[0]) if answer.body else answer.error
    raise CallRefused(
        f"systemd refused {member}: {errors.clip(text)}",
        name=answer.error,
        advice="see the unit on the host: systemctl status",
    )
