"""One gRPC channel to containerd's socket, and its failures as `errors.CriError`.

Called by `cri` and `tasks`. grpc is imported when the first call is made: it takes 0.1 s and
27 MB, which a command that never asks containerd need not pay.
"""

# grpc's stubs come with pyright; for mypy they would be one more package.
# mypy: disable-error-code="import-untyped"

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from rcm_agent import errors

MESSAGE_BYTES = 16 << 20
"""containerd's own limit for a message."""

_OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    # containerd's restart takes 0.1 to 0.3 s: the default of 1 s would be most of the wait.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
    # http_proxy of the caller's environment is not meant for a local socket.
    ("grpc.enable_http_proxy", 0),
    # Two agents in one process (tests) must not share a connection.
    ("grpc.use_local_subchannel_pool", 1),
    # Go's server refuses a path as :authority.
    ("grpc.default_authority", "localhost"),
)

_ADVICE = {
    "UNAVAILABLE": "see whether containerd runs, and that this is its socket: "
    "systemctl status containerd",
    "UNIMPLEMENTED": "containerd runs without this plugin (for CRI: it is disabled or its "
    "configuration is wrong): ctr plugins ls; journalctl -u containerd",
    "DEADLINE_EXCEEDED": "see what containerd is busy with: journalctl -u containerd",
}


class Message(Protocol):
    """What a generated message offers."""

    def SerializeToString(self) -> bytes:  # noqa: N802 - protobuf's name
        """Return the message's bytes."""
        ...


EARLY = "server is not initialized yet"
"""CRI's answer, before it looks at the call, for some milliseconds after a start (1.6 to 2.x)."""

EARLY_S = 0.005

Answer = TypeVar("Answer")
Parse = Callable[[bytes], Answer]
"""`FromString` of a generated message."""


class Channel:
    """Calls to one socket; dials when first used, and anew after `close` or a lost connection."""

    def __init__(self, socket: str) -> None:
        """Serve the containerd at `socket` (a path in our own file system)."""
        self._socket = socket
        self._grpc: Any = None
        self._channel: Any = None
        self._early = threading.Event()
        """Never set: waiting for it lets time pass."""

    def call(
        self,
        method: str,
        request: Message,
        parse: Parse[Answer],
        *,
        timeout_s: float,
        namespace: str = "",
    ) -> Answer:
        """Make one call; `method` as in `runtime.v1.RuntimeService/Version`.

        Raises:
            CriError: with the gRPC status and containerd's own words.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            left_s = deadline - time.monotonic()
            try:
                return self.gather(method, [request], parse, timeout_s=left_s, namespace=namespace)[
                    0
                ]()
            except errors.CriError as error:
                if EARLY not in error.cause or left_s < EARLY_S:
                    raise
            self._early.wait(EARLY_S)

    def gather(
        self,
        method: str,
        requests: Sequence[Message],
        parse: Parse[Answer],
        *,
        timeout_s: float,
        namespace: str = "",
    ) -> list[Callable[[], Answer]]:
        """Make many calls side by side; each result is a function that waits, and may raise."""
        metadata = [("containerd-namespace", namespace)] if namespace else None
        invoke = self._open().unary_unary(
            "/" + method, request_serializer=_bytes, response_deserializer=parse
        )
        calls = [
            invoke.future(request, timeout=max(timeout_s, 0.001), metadata=metadata)
            for request in requests
        ]
        return [self._result(call, method) for call in calls]

    def close(self) -> None:
        """Drop the connection; the next call dials anew."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _open(self) -> Any:
        if self._channel is None:
            # Read when grpc is loaded: it would print about every refused connection.
            os.environ.setdefault("GRPC_VERBOSITY", "NONE")
            import grpc  # noqa: PLC0415 - see the module's first lines

            self._grpc = grpc
            self._channel = grpc.insecure_channel(f"unix:{self._socket}", options=_OPTIONS)
        return self._channel

    def _result(self, call: Any, method: str) -> Callable[[], Any]:
        def result() -> Any:
            try:
                return call.result()
            except self._grpc.RpcError as error:
                raise self._failed(error, method) from error

        return result

    def _failed(self, error: Any, method: str) -> errors.CriError:
        code = str(error.code().name)
        if code == "UNAVAILABLE":
            self.close()
        return errors.CriError(
            f"containerd failed {method.rpartition('/')[2]} ({code}): "
            f"{errors.clip(error.details() or '')}",
            code=code,
            advice=_ADVICE.get(code, ""),
        )


def _bytes(message: Message) -> bytes:
    return message.SerializeToString()
