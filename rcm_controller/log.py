"""The controller's log, which is that of both programs; never a line per node or write."""

from __future__ import annotations

from rcm_api.log import configure

__all__ = ["configure"]
