"""WebAssembly text to bytes."""

import wasmtime


def assemble(source: str) -> bytes:
    """Return the binary form of a module or a component.

    Raises:
        wasmtime.WasmtimeError: The text is not WebAssembly; the message has line and column.
    """
    return bytes(wasmtime.wat2wasm(source))


def literal(data: str) -> str:
    """Return a string literal of WebAssembly text with the UTF-8 bytes of `data`."""
    return '"' + "".join(f"\\{byte:02x}" for byte in data.encode()) + '"'


def length(data: str) -> int:
    """Return how many bytes `data` takes."""
    return len(data.encode())
