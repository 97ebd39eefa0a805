"""Writes `manifests/crd/` from the records: `python -m rcm_api.crd`.

The results are in git. With `--check` nothing is written, and the exit code says whether they are
what the records say now; CI runs that. The one module of the package that touches files.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from rcm_api import names, noderuntime, schema, shim_fields, shim_status
from rcm_api.schema import Schema

FOLDER = Path(__file__).resolve().parents[1] / "manifests" / "crd"
HEADER = "# Made by python -m rcm_api.crd from the records in rcm_api; edit those.\n"


def main(arguments: list[str]) -> int:
    """Write the CRDs, or compare."""
    made = {FOLDER / f"{crd['spec']['names']['plural']}.yaml": text(crd) for crd in documents()}
    if arguments == ["--check"]:
        return _compare(made)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, content in made.items():
        path.write_text(content, encoding="utf-8")
    return 0


def documents() -> tuple[Schema, ...]:
    """Return both CRDs."""
    return _shims(), _noderuntimes()


def text(document: Schema) -> str:
    """Print one as it is kept in git."""
    return HEADER + yaml.dump(
        document, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True
    )


def _compare(made: dict[Path, str]) -> int:
    stale = [path.name for path, content in made.items() if _kept(path) != content]
    for name in stale:
        sys.stderr.write(f"{name} is stale: run python -m rcm_api.crd\n")
    return 1 if stale else 0


def _kept(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


class _Dumper(yaml.SafeDumper):
    """Without anchors: people read these files."""

    def ignore_aliases(self, data: object) -> bool:
        """Write a list that occurs twice twice."""
        del data
        return True


def _shims() -> Schema:
    limit = shim_fields.NAME.limit
    return _crd(
        kind="Shim",
        plural="shims",
        short="shim",
        description="A containerd shim that selected nodes shall have, proven and in steps.",
        spec=schema.of_kind(shim_fields.SPEC),
        status=schema.of_record(shim_status.ShimStatus),
        columns=_SHIM_COLUMNS,
        extra={
            "required": ["spec"],
            "x-kubernetes-validations": [
                {
                    "rule": f"self.metadata.name.size() <= {limit}",
                    "message": f"the name has more than {limit} characters; write at most {limit}",
                }
            ],
        },
    )


def _noderuntimes() -> Schema:
    return _crd(
        kind="NodeRuntime",
        plural="noderuntimes",
        short="nr",
        description="What one node shall have, from the controller, and what it has, from its"
        " agent. Named after the Node.",
        spec={**schema.of_record(noderuntime.Spec), **_ONE_VALUE},
        status={**schema.of_record(noderuntime.Status), **_ONE_VALUE},
        columns=_NODE_COLUMNS,
    )


_ONE_VALUE = {"x-kubernetes-map-type": "atomic"}
"""Each has one writer. The API server need not remember the owner of every field below, which
took 1.7 of the object's 4.1 KB (measured with one Shim; 0.5 KB so)."""


def _column(name: str, path: str, kind: str = "string", *, wide: bool = False) -> Schema:
    priority = {"priority": 1} if wide else {}
    return {"name": name, "type": kind, "jsonPath": path, **priority}


_AGE = _column("Age", ".metadata.creationTimestamp", "date")


def _condition(kind: str, field: str) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].{field}'


_SHIM_COLUMNS = (
    _column("Ready", ".status.nodesReady", "integer"),
    _column("Selected", ".status.nodes", "integer"),
    _column("Updating", ".status.nodesUpdating", "integer"),
    _column("Waiting", ".status.nodesWaiting", "integer"),
    _column("Failed", ".status.nodesFailed", "integer"),
    _column("Version", ".spec.version"),
    _column("Reason", _condition("Progressing", "reason")),
    _AGE,
    _column("Outdated", ".status.nodesOutdated", "integer", wide=True),
    _column("Unsupported", ".status.nodesUnsupported", "integer", wide=True),
    _column("Draining", ".status.nodesDraining", "integer", wide=True),
    _column("RuntimeClass", ".spec.runtimeClass.name", wide=True),
    _column("Handler", ".spec.runtimeClass.handler", wide=True),
    _column("Message", _condition("Ready", "message"), wide=True),
)
_NODE_COLUMNS = (
    _column("State", ".status.state"),
    _column("Shims", ".status.summary"),
    _column("containerd", ".status.facts.containerd"),
    _column("Reason", ".status.reason"),
    _AGE,
    _column("Distribution", ".status.facts.distribution", wide=True),
    _column("Strategy", ".status.facts.strategy", wide=True),
    _column("Restarts", ".status.restarts", "integer", wide=True),
    _column("Rollbacks", ".status.rollbacks", "integer", wide=True),
    _column("Agent", ".status.facts.agent", wide=True),
)


def _crd(  # noqa: PLR0913 - the parts in which two CRDs differ
    *,
    kind: str,
    plural: str,
    short: str,
    description: str,
    spec: Schema,
    status: Schema,
    columns: tuple[Schema, ...],
    extra: dict[str, Any] | None = None,
) -> Schema:
    properties: Schema = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": spec,
        "status": status,
    }
    root = {"description": description, "type": "object", **(extra or {}), "properties": properties}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{names.GROUP}",
            "labels": {"app.kubernetes.io/part-of": names.MANAGER},
        },
        "spec": {
            "group": names.GROUP,
            "scope": "Cluster",
            "names": _names(kind=kind, plural=plural, short=short),
            "versions": [_version(root, columns)],
        },
    }


def _names(*, kind: str, plural: str, short: str) -> Schema:
    return {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": plural,
        "singular": kind.lower(),
        "shortNames": [short],
        "categories": ["rcm"],
    }


def _version(root: Schema, columns: tuple[Schema, ...]) -> Schema:
    return {
        "name": names.VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": list(columns),
        "schema": {"openAPIV3Schema": root},
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
