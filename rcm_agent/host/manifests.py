"""Reads Shim manifests from files, directories or standard input.

Called by `cli`. The files belong to whoever runs the command, not to the host that is changed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from rcm_agent import errors
from rcm_api import shim as shims
from rcm_api.fields import InvalidShim

MAX_BYTES = 1 << 20
"""More than etcd lets an object be (1.5 MiB with its metadata): no manifest is larger."""
SUFFIXES = (".yaml", ".yml", ".json")


def load(paths: Sequence[str]) -> tuple[shims.Shim, ...]:
    """Return every Shim in the files, in order; documents of other kinds are passed over.

    Raises:
        ManifestError: unreadable, no YAML, a wrong Shim, or none at all.
    """
    found = tuple(
        _parse(document, f"{name}, document {number}")
        for name, text in _texts(paths)
        for number, document in enumerate(_documents(text, name), start=1)
        if _is_shim(document)
    )
    if not found:
        raise errors.ManifestError(
            f"no Shim in {', '.join(paths)}", advice="give a file with 'kind: Shim' in it"
        )
    return found


def _texts(paths: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    for name in paths:
        if name == "-":
            yield "standard input", sys.stdin.buffer.read(MAX_BYTES + 1)
            continue
        path = Path(name)
        inside = (
            sorted(p for p in path.iterdir() if p.suffix in SUFFIXES) if path.is_dir() else [path]
        )
        for file in inside:
            try:
                with file.open("rb") as stream:
                    yield str(file), stream.read(MAX_BYTES + 1)
            except OSError as error:
                raise errors.ManifestError(
                    f"cannot read {file}: {error.strerror}", advice="check the path after -f"
                ) from error


def _documents(text: bytes, name: str) -> list[Any]:
    import yaml  # noqa: PLC0415 - 60 ms that only commands with manifests pay

    if len(text) > MAX_BYTES:
        raise errors.ManifestError(
            f"{name} is larger than {MAX_BYTES} bytes", advice="give Shim manifests only"
        )
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return [d for d in yaml.load_all(text, Loader=loader) if d is not None]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise errors.ManifestError(
            f"{name} is no YAML: {errors.clip(str(error))}", advice="mend the line that it names"
        ) from error


def _is_shim(document: object) -> bool:
    if not isinstance(document, dict):
        return True
    return cast("dict[object, object]", document).get("kind") in {"Shim", None}


def _parse(document: object, name: str) -> shims.Shim:
    try:
        return shims.parse(document)
    except InvalidShim as error:
        raise errors.ManifestError(f"{name}: {error}", advice=error.advice) from error
