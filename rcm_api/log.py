"""The programs' log: structured lines on one stream, JSON for programs, columns for people.

Configured once by each program's `cli`. Info is for the person on call: one line per change that
means something.
"""

from __future__ import annotations

import logging
from typing import TextIO

import structlog


def configure(stream: TextIO, *, as_json: bool, debug: bool) -> None:
    """Send every line to `stream`."""
    level = logging.DEBUG if debug else logging.INFO
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            *(_for_programs() if as_json else _for_people(stream)),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
    )


def _for_programs() -> list[structlog.typing.Processor]:
    return [
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("message"),
        structlog.processors.JSONRenderer(),
    ]


def _for_people(stream: TextIO) -> list[structlog.typing.Processor]:
    return [structlog.dev.ConsoleRenderer(colors=stream.isatty(), timestamp_key="time")]
