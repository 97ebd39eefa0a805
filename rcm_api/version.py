"""The version of both programs, as `pyproject.toml` has it. Reported in status and metrics."""

VERSION = "0.1.0"
