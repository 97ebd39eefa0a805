"""Keeps the process small: what glibc's allocator holds back is given to the system.

Called by the agent in a cluster, which lives for months and works for seconds. Elsewhere than on
glibc nothing happens.
"""

from __future__ import annotations

import ctypes
import gc

_ARENA_MAX = -8
"""M_ARENA_MAX of mallopt(3)."""
ARENAS = 2
"""Heaps of their own for threads. The default is eight for each core: a download in a new thread
leaves megabytes in one that nobody uses again."""


def few_arenas() -> None:
    """Let threads share heaps; to be called before there are any."""
    call = getattr(ctypes.CDLL(None), "mallopt", None)
    if call is not None:
        call(_ARENA_MAX, ARENAS)


def give_back() -> None:
    """Collect garbage and return free memory to the system; takes some milliseconds."""
    gc.collect()
    call = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if call is not None:
        call(0)
