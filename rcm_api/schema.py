"""Structural schemas of Kubernetes, from the kinds of `fields` and from records of the wire.

`crd` calls it. Structural means: no references, a type everywhere, no unions but int-or-string
(kubernetes.io, "Specifying a structural schema"). Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never, cast

import msgspec

from rcm_api.fields import (
    MAX_WHOLE,
    Amount,
    Choice,
    Flag,
    Kind,
    List,
    Map,
    Record,
    Rule,
    Text,
    Together,
    Whole,
)

Schema = dict[str, Any]


def of_kind(kind: Kind) -> Schema:
    """Return the schema of a described field."""
    return {"description": kind.description, **_of_kind(kind)}


def of_record(record: type[msgspec.Struct]) -> Schema:
    """Return the schema of a struct, its limits and descriptions included."""
    (_top,), definitions = msgspec.json.schema_components([record])
    return _structural(definitions[record.__name__], definitions)


def _of_kind(kind: Kind) -> Schema:
    match kind:
        case Text():
            return {
                "type": "string",
                "maxLength": kind.limit,
                "x-kubernetes-validations": [_rule(rule) for rule in kind.rules],
            }
        case Choice():
            return {"type": "string", "enum": list(kind.words)}
        case Flag():
            return {"type": "boolean"}
        case Whole():
            return {"type": "integer", "minimum": kind.least, "maximum": MAX_WHOLE}
        case Amount():
            return _amount(kind)
        case Map():
            return _map(kind)
        case List():
            return _list(kind)
        case Record():
            return _record(kind)
        case _:
            assert_never(kind)


def _amount(kind: Amount) -> Schema:
    whole = f"self >= {kind.least} && self <= {MAX_WHOLE}"
    return {
        "x-kubernetes-int-or-string": True,
        "maxLength": kind.limit,
        "x-kubernetes-validations": [
            {
                "rule": f"type(self) == int ? {whole} : {_matches('self', kind.rule)}",
                "message": f"{kind.rule.problem}; {kind.rule.advice}",
            }
        ],
    }


def _map(kind: Map) -> Schema:
    return {
        "type": "object",
        "maxProperties": kind.limit,
        "additionalProperties": of_kind(kind.value),
        "x-kubernetes-validations": [
            {
                "rule": f"self.all(key, {_matches('key', kind.key)})",
                "message": f"has a key that {kind.key.problem}; {kind.key.advice}",
            }
        ],
    }


def _list(kind: List) -> Schema:
    merged: Schema = {"x-kubernetes-list-type": "atomic"}
    item = of_kind(kind.item)
    if kind.keys:
        merged = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(kind.keys)}
    if kind.unique:
        merged = {"x-kubernetes-list-type": "set"}
        item |= {"x-kubernetes-map-type": "atomic"}  # members of sets must be
    return {
        "type": "array",
        "maxItems": kind.limit,
        **merged,
        "items": item,
        **_together(kind.rules),
    }


def _record(kind: Record) -> Schema:
    required = {"required": list(kind.required)} if kind.required else {}
    return {
        "type": "object",
        **required,
        "properties": {name: of_kind(field) for name, field in kind.fields.items()},
        **_together(kind.rules),
    }


def _together(rules: tuple[Together, ...]) -> Schema:
    found = [
        {
            "rule": rule.cel,
            "message": f"{rule.problem}; {rule.advice}",
            **({"fieldPath": f".{rule.at}"} if rule.at else {}),
        }
        for rule in rules
    ]
    return {"x-kubernetes-validations": found} if found else {}


def _rule(rule: Rule) -> Schema:
    return {"rule": _matches("self", rule), "message": f"{rule.problem}; {rule.advice}"}


def _matches(subject: str, rule: Rule) -> str:
    sign = "!" if rule.refuse else ""
    return f"{sign}{subject}.matches(r'^(?:{rule.pattern})$')"


def _structural(found: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    """Replace references by what they name, and unions by what Kubernetes has instead."""
    if "$ref" in found:
        inner = definitions[found["$ref"].rpartition("/")[2]]
        said = {"description": found["description"]} if "description" in found else {}
        return _structural({**inner, **said}, definitions)
    if "anyOf" in found:
        return _union(found, definitions)
    kept: Schema = {
        key: value for key, value in found.items() if key in _KEPT or key.startswith("x-")
    }
    if "enum" in kept:
        kept = {"type": "string", **kept}
    if "properties" in kept:
        kept["properties"] = {k: _structural(v, definitions) for k, v in kept["properties"].items()}
    for nested in ("items", "additionalProperties"):
        if isinstance(kept.get(nested), Mapping):
            kept[nested] = _structural(kept[nested], definitions)
    return {key: value for key, value in kept.items() if value != []}


_KEPT = frozenset(
    {
        "description", "type", "enum", "format", "properties", "required", "items",
        "additionalProperties", "minimum", "maximum", "minLength", "maxLength", "maxItems",
        "maxProperties", "pattern",
    }
)  # fmt: skip
"""Not `title`, which is the class's name, and not `default`: the API server would write defaults
into every object."""


def _union(found: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    members = cast("list[Schema]", found["anyOf"])
    kinds = [member for member in members if member.get("type") != "null"]
    rest = {key: value for key, value in found.items() if key != "anyOf"}
    if len(kinds) > 1:
        # A union of scalars with booleans in it: the API server knows none, and takes anything.
        return _structural({**rest, "x-kubernetes-preserve-unknown-fields": True}, definitions)
    nullable = {"nullable": True} if len(kinds) < len(members) else {}
    return {**_structural({**kinds[0], **rest}, definitions), **nullable}
