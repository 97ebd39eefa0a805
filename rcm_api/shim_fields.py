"""Every field of a Shim's manifest: what it means, what it may hold, what to write instead.

`shim` parses by it, `crd` publishes it, nothing else says any of this again. Pure.
"""

from __future__ import annotations

from rcm_api import artifact_fields, names
from rcm_api.fields import (
    MAX_WORD,
    Amount,
    Choice,
    Flag,
    List,
    Map,
    Record,
    Rule,
    Text,
    Together,
    Whole,
)

_RESERVED = "|".join((*names.RESERVED_HANDLERS, *(f"{p}.*" for p in names.RESERVED_PREFIXES)))
_QUANTITY = r"([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?"
"""As resource.Quantity of Kubernetes, without a sign."""

NAME = Text(
    "The name, also of the ready label and the metrics.",
    limit=names.MAX_LABEL,
    rules=(
        Rule(
            names.SUBDOMAIN,
            "must consist of a-z, 0-9, '-' and '.', and begin and end with a letter or digit",
            "choose a name like spin-v2",
        ),
    ),
)
_NO_TAINT = "is no key of a taint"
_LIKE_TAINT = "write it like example.com/dedicated"


def _quantity(description: str, example: str) -> Amount:
    rule = Rule(_QUANTITY, "is no quantity", f"write it like {example}")
    return Amount(description, least=0, rule=rule, limit=MAX_WORD)


_TOLERATION = Record(
    "As in a pod.",
    {
        "key": Text(
            "Key of the taint; absent: every key.",
            limit=317,
            rules=(
                Rule(names.LABEL_KEY, _NO_TAINT, _LIKE_TAINT),
                Rule(rf"({names.SUBDOMAIN}/)?[^/]*", _NO_TAINT, _LIKE_TAINT),
            ),
        ),
        "operator": Choice("Default Equal.", ("Equal", "Exists")),
        "value": Text(
            "Value of the taint.",
            limit=names.MAX_LABEL,
            rules=(Rule(names.LABEL_VALUE, "is no value of a taint", "write it like wasm"),),
        ),
        "effect": Choice("Absent: every effect.", ("NoSchedule", "PreferNoSchedule", "NoExecute")),
        "tolerationSeconds": Whole("How long NoExecute is tolerated.", least=0),
    },
    rules=(
        Together(
            "has(self.key) || has(self.operator) && self.operator == 'Exists'",
            lambda found: "key" not in found and found.get("operator") != "Exists",
            "has no key",
            "add key, or operator: Exists",
        ),
        Together(
            "!has(self.value) || self.value == '' || !has(self.operator)"
            " || self.operator != 'Exists'",
            lambda found: bool(found.get("value")) and found.get("operator") == "Exists",
            "has a value beside operator: Exists",
            "take the value out, or write operator: Equal",
        ),
        Together(
            "!has(self.tolerationSeconds) || has(self.effect) && self.effect == 'NoExecute'",
            lambda found: "tolerationSeconds" in found and found.get("effect") != "NoExecute",
            "has tolerationSeconds without effect: NoExecute",
            "take one out, or add the other",
        ),
    ),
)

_CLASS = Record(
    "The RuntimeClass that the controller makes and keeps for the Shim.",
    {
        "name": Text(
            "Name of the RuntimeClass, which pods write as runtimeClassName.",
            limit=names.MAX_SUBDOMAIN,
            rules=(
                Rule(
                    names.SUBDOMAIN,
                    "is no Kubernetes name (a-z, 0-9, '-' and '.')",
                    "write for example wasmtime-spin-v2",
                ),
            ),
        ),
        "handler": Text(
            "Key of the runtime in containerd's configuration. Runtimes that others install"
            " (runc, crun, kata*, nvidia*) cannot be claimed.",
            limit=names.MAX_LABEL,
            rules=(
                Rule(
                    names.LABEL,
                    "must consist of a-z, 0-9 and '-', and begin and end with a letter or digit",
                    "choose a handler like spin-v2",
                ),
                Rule(
                    _RESERVED,
                    "is reserved for another runtime",
                    "choose a handler like spin-v2",
                    refuse=True,
                ),
            ),
        ),
        "tolerations": List(
            "Passed on to the RuntimeClass: pods of it tolerate these taints.",
            _TOLERATION,
            limit=16,
            unique=True,
        ),
        "overhead": Record(
            "Passed on to the RuntimeClass.",
            {
                "podFixed": Record(
                    "What a pod costs beside its containers.",
                    {"cpu": _quantity("CPUs.", "250m"), "memory": _quantity("Bytes.", "64Mi")},
                )
            },
        ),
    },
    required=("name", "handler"),
)

_PERCENT = Rule(
    "([1-9][0-9]?|100)%",
    "is no number of nodes",
    "write a whole number from 1 to 1000000, or a percentage from 1% to 100%",
)

_ROLLOUT = Record(
    "How a change reaches the nodes.",
    {
        "type": Choice(
            "rolling: in waves (default). recreate: all nodes at once.", ("rolling", "recreate")
        ),
        "rolling": Record(
            "The waves.",
            {
                "maxUpdate": Amount(
                    "Most nodes that may be changing or broken at one time, as a number or as a"
                    " percentage of the selected ones (rounded down, at least 1). Default 10%.",
                    least=1,
                    rule=_PERCENT,
                    limit=MAX_WORD,
                ),
                "canary": Record(
                    "The first wave.",
                    {
                        "nodes": Whole(
                            "Nodes of each class (os, arch, distribution, minor version of"
                            " containerd) that go first. Default 1.",
                            least=1,
                        ),
                        "soakSeconds": Whole(
                            "How long they must be ready before the others follow. Default 30.",
                            least=0,
                        ),
                    },
                ),
                "maxFailures": Amount(
                    "Failed nodes, as a number or percentage, at which the rollout stops. Default"
                    " 1 among the canaries, then the larger of 2 and 2%.",
                    least=1,
                    rule=_PERCENT,
                    limit=MAX_WORD,
                ),
            },
        ),
        "paused": Flag("Change no more nodes; what failed is still cleaned up."),
        "disruption": Choice(
            "Where a restart of containerd would end running containers. WaitForIdle: wait until"
            " there are none (default). Allow: stop them.",
            ("WaitForIdle", "Allow"),
        ),
    },
)

SPEC = Record(
    "What the selected nodes shall have.",
    {
        "nodeSelector": Map(
            "Labels of the nodes that shall have the shim; absent: all Linux nodes.",
            key=Rule(names.LABEL_KEY, "is no label key", "write it like example.com/wasm"),
            value=Text(
                "Value of the label.",
                limit=names.MAX_LABEL,
                rules=(
                    Rule(names.LABEL_VALUE, "is no label value", "write it like true, in quotes"),
                ),
            ),
            limit=32,
        ),
        "fetchStrategy": artifact_fields.FETCH,
        "runtimeClass": _CLASS,
        "containerdRuntimeOptions": Map(
            "containerd's options table of the runtime. true, false and whole numbers become TOML"
            " booleans and integers. Without SystemdCgroup, the node's own choice is followed.",
            key=Rule(
                "[A-Za-z][A-Za-z0-9_]{0,63}",
                "is no option of containerd",
                "option keys look like SystemdCgroup",
            ),
            value=Text("The value, in quotes.", limit=1024),
            limit=32,
        ),
        "rolloutStrategy": _ROLLOUT,
        "version": Text("Free text for people: shown in columns and metrics.", limit=MAX_WORD),
    },
    required=("fetchStrategy", "runtimeClass"),
)
