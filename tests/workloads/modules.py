"""WASI preview 1 modules."""

from tests.workloads import text

_HOUR_S = 3600.0

# Memory: an iovec at 0, fd_write's answer at 8, a clock subscription at 16, its event at 64,
# poll_oneoff's answer at 96, the text at 128.
_MODULE = """
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 128) {literal})
  (func $print
    (i32.store (i32.const 0) (i32.const 128))
    (i32.store (i32.const 4) (i32.const {length}))
    (if (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))
      (then unreachable)))
  (func $sleep
    (i32.store (i32.const 32) (i32.const 1))            ;; the monotonic clock
    (i64.store (i32.const 40) (i64.const {nanoseconds}))
    (if (call $poll_oneoff (i32.const 16) (i32.const 64) (i32.const 1) (i32.const 96))
      (then unreachable)))
  (func (export "_start") {body}))
"""


def say(what: str, *, exit_code: int = 0) -> bytes:
    """Print `what` to stdout and exit."""
    return _assemble(what, f"(call $print) (call $proc_exit (i32.const {exit_code}))")


def say_and_stay(what: str) -> bytes:
    """Print `what` to stdout and sleep until killed."""
    return _assemble(what, "(call $print) (loop (call $sleep) (br 0))")


def repeat(what: str, *, interval_s: float) -> bytes:
    """Print `what` to stdout again and again until killed."""
    return _assemble(what, "(loop (call $print) (call $sleep) (br 0))", interval_s=interval_s)


def trap(what: str) -> bytes:
    """Print `what` to stdout and fail as a panic does."""
    return _assemble(what, "(call $print) unreachable")


def spin(what: str) -> bytes:
    """Print `what` to stdout and compute until killed, without a pause."""
    return _assemble(what, "(call $print) (loop (br 0))")


def _assemble(what: str, body: str, *, interval_s: float = _HOUR_S) -> bytes:
    return text.assemble(
        _MODULE.format(
            literal=text.literal(what),
            length=text.length(what),
            nanoseconds=round(interval_s * 1e9),
            body=body,
        )
    )
