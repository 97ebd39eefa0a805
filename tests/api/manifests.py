"""Shim manifests, good and bad: one table for the parser and for the real API server.

`test_shim.py` asks the parser, `tests/cluster/test_crd_admission.py` the API server: whatever one
refuses, the other refuses, too (faults.md E). What only one of them can see is at the end.
"""

from dataclasses import dataclass
from typing import Any

import pytest

SHA = "eec8df96fa3a4fe5dbc57ffb706461692c055299dd6d22dff9444863a2a12281"
OTHER = SHA[::-1]


@dataclass(frozen=True, slots=True)
class Case:
    """A manifest, and the field that is wrong in it: a part of its path; empty: none is."""

    name: str
    document: Any
    where: str = ""


def manifest(**spec):
    """A valid manifest whose spec fields can be replaced."""
    return {
        "apiVersion": "runtime.spinkube.dev/v1alpha1",
        "kind": "Shim",
        "metadata": {"name": "spin-v2"},
        "spec": {
            "fetchStrategy": {"platforms": [entry()]},
            "runtimeClass": {"name": "wasmtime-spin-v2", "handler": "spin-v2"},
            **spec,
        },
    }


def entry(**fields):
    """One of platforms."""
    location = "https://example.com/shim.tar.gz"
    base = {"os": "linux", "arch": "amd64", "location": location, "sha256": SHA}
    return {key: value for key, value in {**base, **fields}.items() if value is not ...}


def platform(**fields):
    return manifest(fetchStrategy={"platforms": [entry(**fields)]})


def platforms(*entries):
    return manifest(fetchStrategy={"platforms": list(entries)})


def legacy(location):
    return manifest(fetchStrategy={"type": "anonymousHttp", "anonHttp": {"location": location}})


def runtime_class(**fields):
    return manifest(runtimeClass={"name": "a", "handler": "spin", **fields})


def toleration(**fields):
    return runtime_class(tolerations=[fields])


def pod_fixed(**fields):
    return runtime_class(overhead={"podFixed": fields})


def options(**values):
    return manifest(containerdRuntimeOptions=values)


def selector(labels):
    return manifest(nodeSelector=labels)


def rollout(**fields):
    return manifest(rolloutStrategy=fields)


def rolling(**fields):
    return rollout(type="rolling", rolling=fields)


def canary(**fields):
    return rolling(canary=fields)


def named(name):
    return {**manifest(), "metadata": {"name": name}}


def without(field):
    document = manifest()
    del document["spec"][field]
    return document


UPSTREAM = manifest(
    nodeSelector={"spin": "true"},
    fetchStrategy={
        "type": "anonymousHttp",
        "platforms": [
            entry(arch=arch, location=f"https://example.com/{arch}.tar.gz")
            for arch in ("amd64", "arm64", "aarch64")
        ],
    },
    containerdRuntimeOptions={"SystemdCgroup": "true"},
    rolloutStrategy={"type": "rolling", "rolling": {"maxUpdate": 5}},
)

GOOD = (
    Case("the smallest", manifest()),
    Case("upstream", UPSTREAM),
    Case("upstream, recreate", rollout(type="recreate")),
    Case("upstream, anonHttp", legacy("https://example.com/shim.tar.gz")),
    Case(
        "both sources",
        manifest(
            fetchStrategy={
                "platforms": [entry()],
                "anonHttp": {"location": "https://example.com/any"},
            }
        ),
    ),
    Case("x86_64 and amd64 with one content", platforms(entry(), entry(arch="x86_64"))),
    Case(
        "one content from two places",
        platforms(entry(), entry(arch="x86_64", location="https://example.org/x", sha256=SHA)),
    ),
    Case(
        "one content, digest in another case",
        platforms(entry(), entry(arch="x86_64", sha256=SHA.upper())),
    ),
    Case("no sha256", platform(sha256=...)),
    Case("sha256 null", platform(sha256=None)),
    Case("sha256 in upper case", platform(sha256=SHA.upper())),
    Case("http with sha256", platform(location="http://example.com/x")),
    Case("file", platform(location="file:///opt/shims/a b".replace(" ", "%20"))),
    Case("port and query", platform(location="https://example.com:8443/x?a=b&c=%20@d")),
    Case("IPv6", platform(location="https://[2001:db8::1]:8443/x")),
    Case("no path", platform(location="https://example.com")),
    Case("a long location", platform(location="https://e.com/" + "a" * (2048 - 14))),
    Case("member", platform(binary="./bin/containerd-shim-spin-v2")),
    Case("handler of 63 characters", runtime_class(handler="a" * 63)),
    Case("handler that begins like runc", runtime_class(handler="runc-wasm")),
    Case("class name with dots", runtime_class(name="a.b-c.d")),
    Case("toleration", toleration(key="example.com/wasm", value="x", effect="NoSchedule")),
    Case("toleration of everything", toleration(operator="Exists")),
    Case(
        "toleration for a time",
        toleration(key="a", operator="Exists", effect="NoExecute", tolerationSeconds=5),
    ),
    Case("overhead", pod_fixed(cpu="250m", memory="64Mi")),
    Case("overhead, whole", pod_fixed(cpu=1, memory="1e9")),
    Case("option of 1024 letters of two bytes", options(K="é" * 1024)),
    Case("no options", options()),
    Case("option with brackets and quotes", options(K="a\"]'b\\")),
    Case("option that is empty", options(K="")),
    Case("option beyond ASCII", options(K="Grüße 🙂")),
    Case("option null", options(K=None)),
    Case("selector null", selector(None)),
    Case("selector of nothing", selector({})),
    Case("selector of control planes", selector({"node-role.kubernetes.io/control-plane": ""})),
    Case("selector, long key", selector({"a" * 253 + "/" + "b" * 63: "c" * 63})),
    Case("maxUpdate 100 %", rolling(maxUpdate="100%")),
    Case("maxUpdate 1 %", rolling(maxUpdate="1%")),
    Case("maxUpdate a million", rolling(maxUpdate=1_000_000)),
    Case("canary nodes 1.0", canary(nodes=1.0)),
    Case("maxFailures", rolling(maxFailures="5%")),
    Case("canary", canary(nodes=3, soakSeconds=0)),
    Case("rolling null", rollout(type="rolling", rolling=None)),
    Case("paused, may disturb", rollout(paused=True, disruption="Allow")),
    Case("version", manifest(version="v0.25.1, geprüft")),
    Case("version empty", manifest(version="")),
    Case("name with a dot", named("spin.v2")),
    Case("name of 63 characters", named("a" * 63)),
    Case("status is not asked about", {**manifest(), "status": {"nodes": 1, "nodesReady": 1}}),
)

BAD = (
    Case("short sha256", platform(sha256="abc"), "platforms[0].sha256"),
    Case("sha256 one short", platform(sha256=SHA[:-1]), "platforms[0].sha256"),
    Case("sha256 one long", platform(sha256=SHA + "0"), "platforms[0].sha256"),
    Case("sha256 empty", platform(sha256=""), "platforms[0].sha256"),
    Case("sha256 not hex", platform(sha256=SHA[:-1] + "g"), "platforms[0].sha256"),
    Case("sha256 a number", platform(sha256=5), "platforms[0].sha256"),
    Case("sha256 and a line end", platform(sha256=SHA + "\n"), "platforms[0].sha256"),
    Case("sha256 very long", platform(sha256=SHA * 3), "platforms[0].sha256"),
    Case("sha256 with its name", platform(sha256=f"sha256:{SHA}"), "platforms[0].sha256"),
    Case("windows", platform(os="windows"), "platforms[0].os"),
    Case("no os", platform(os=...), "platforms[0].os"),
    Case("unknown arch", platform(arch="riscv64"), "platforms[0].arch"),
    Case("arch in upper case", platform(arch="AMD64"), "platforms[0].arch"),
    Case("no arch", platform(arch=...), "platforms[0].arch"),
    Case("no location", platform(location=...), "platforms[0].location"),
    Case("location null", platform(location=None), "platforms[0].location"),
    Case("location empty", platform(location=""), "platforms[0].location"),
    Case("ftp", platform(location="ftp://e.com/x"), "platforms[0].location"),
    Case("oci", platform(location="oci://e.com/x:1"), "platforms[0].location"),
    Case("a path", platform(location="/opt/shim"), "platforms[0].location"),
    Case("no host", platform(location="https:///x"), "platforms[0].location"),
    Case("password", platform(location="https://u:p@e.com/x"), "platforms[0].location"),
    Case("user", platform(location="https://u@e.com/x"), "platforms[0].location"),
    Case("user of a file", platform(location="file://u@/x"), "platforms[0].location"),
    Case("http without sha256", platform(location="http://e.com/x", sha256=...), "[0].location"),
    Case("http, sha256 null", platform(location="http://e.com/x", sha256=None), "[0].location"),
    Case("file with a host", platform(location="file://e.com/x"), "platforms[0].location"),
    Case("file, relative", platform(location="file:x"), "platforms[0].location"),
    Case("long URL", platform(location="https://e.com/" + "a" * 2048), "platforms[0].location"),
    Case("newline in URL", platform(location="https://e.com/a\nb"), "platforms[0].location"),
    Case("space in URL", platform(location="https://e.com/a b"), "platforms[0].location"),
    Case("look-alike host", platform(location="https://ex\u0430mple.com/"), "[0].location"),
    Case("broken IPv6", platform(location="https://[::1/x"), "platforms[0].location"),
    Case("binary with ..", platform(binary="../x"), "platforms[0].binary"),
    Case("binary with .. inside", platform(binary="a/../x"), "platforms[0].binary"),
    Case("absolute binary", platform(binary="/x"), "platforms[0].binary"),
    Case("binary empty", platform(binary=""), "platforms[0].binary"),
    Case("binary long", platform(binary="a" * 256), "platforms[0].binary"),
    Case("unknown platform field", platform(extra=1), "platforms[0].extra"),
    Case("platform null", platforms(None), "platforms[0]"),
    Case("a platform twice", platforms(entry(), entry()), "platforms"),
    Case(
        "two artifacts for one platform",
        platforms(entry(), entry(arch="x86_64", sha256=OTHER)),
        "platforms",
    ),
    Case(
        "two locations without digest",
        platforms(
            entry(arch="arm64", sha256=...),
            entry(arch="aarch64", location="https://example.org/x", sha256=...),
        ),
        "platforms",
    ),
    Case("two members", platforms(entry(), entry(arch="x86_64", binary="b")), "platforms"),
    Case("many platforms", platforms(*[entry()] * 17), "platforms"),
    Case("no source", manifest(fetchStrategy={}), "spec.fetchStrategy"),
    Case("type only", manifest(fetchStrategy={"type": "anonymousHttp"}), "spec.fetchStrategy"),
    Case("no platform", platforms(), "spec.fetchStrategy"),
    Case("anonHttp null", manifest(fetchStrategy={"anonHttp": None}), "spec.fetchStrategy"),
    Case("anonHttp without location", manifest(fetchStrategy={"anonHttp": {}}), "location"),
    Case("anonHttp over http", legacy("http://e.com/x"), "anonHttp.location"),
    Case("anonHttp with a password", legacy("https://u:p@e.com/x"), "anonHttp.location"),
    Case("fetchStrategy null", manifest(fetchStrategy=None), "spec.fetchStrategy"),
    Case("no fetchStrategy", without("fetchStrategy"), "spec.fetchStrategy"),
    Case("platforms a map", manifest(fetchStrategy={"platforms": {}}), "platforms"),
    Case("no runtimeClass", without("runtimeClass"), "spec.runtimeClass"),
    Case("runtimeClass a string", manifest(runtimeClass="spin"), "spec.runtimeClass"),
    Case("handler runc", runtime_class(handler="runc"), "runtimeClass.handler"),
    Case("handler crun", runtime_class(handler="crun"), "runtimeClass.handler"),
    Case("handler kata", runtime_class(handler="kata-qemu"), "runtimeClass.handler"),
    Case("handler nvidia", runtime_class(handler="nvidia"), "runtimeClass.handler"),
    Case("handler nvidia-cdi", runtime_class(handler="nvidia-cdi"), "runtimeClass.handler"),
    Case("handler a path", runtime_class(handler="../x"), "runtimeClass.handler"),
    Case("handler 64 long", runtime_class(handler="a" * 64), "runtimeClass.handler"),
    Case("handler 300 long", runtime_class(handler="a" * 300), "runtimeClass.handler"),
    Case("handler look-alike", runtime_class(handler="sp\u0456n"), "runtimeClass.handler"),
    Case("handler upper case", runtime_class(handler="Spin"), "runtimeClass.handler"),
    Case("handler with a dot", runtime_class(handler="a.b"), "runtimeClass.handler"),
    Case("handler with a dash at the end", runtime_class(handler="a-"), "runtimeClass.handler"),
    Case("handler and a line end", runtime_class(handler="spin\n"), "runtimeClass.handler"),
    Case("handler empty", runtime_class(handler=""), "runtimeClass.handler"),
    Case("handler null", runtime_class(handler=None), "runtimeClass.handler"),
    Case("handler a number", runtime_class(handler=2), "runtimeClass.handler"),
    Case("handler TOML", runtime_class(handler='x"]'), "runtimeClass.handler"),
    Case("class name", runtime_class(name="A_B"), "runtimeClass.name"),
    Case("class name long", runtime_class(name="a" * 254), "runtimeClass.name"),
    Case("toleration without key", toleration(effect="NoSchedule"), "tolerations[0]"),
    Case("toleration operator", toleration(key="a", operator="Is"), "tolerations[0].operator"),
    Case("toleration effect", toleration(key="a", effect="Never"), "tolerations[0].effect"),
    Case("toleration key", toleration(key="a b"), "tolerations[0].key"),
    Case("toleration value", toleration(key="a", value="b c"), "tolerations[0].value"),
    Case(
        "toleration Exists with value",
        toleration(key="a", operator="Exists", value="b"),
        "tolerations[0]",
    ),
    Case("toleration seconds", toleration(key="a", tolerationSeconds=1), "tolerations[0]"),
    Case(
        "toleration twice",
        runtime_class(tolerations=[{"key": "a"}, {"key": "b"}, {"key": "a"}]),
        "tolerations",
    ),
    Case("toleration key, odd domain", toleration(key="a..b/c"), "tolerations[0].key"),
    Case("overhead quantity", pod_fixed(cpu="much"), "podFixed.cpu"),
    Case("overhead negative", pod_fixed(cpu="-1"), "podFixed.cpu"),
    Case("overhead fraction", pod_fixed(cpu=0.5), "podFixed.cpu"),
    Case("overhead resource", pod_fixed(gpu="1"), "podFixed.gpu"),
    Case("option key", manifest(containerdRuntimeOptions={"a.b": "1"}), "containerdRuntimeOptions"),
    Case("option key long", options(**{"a" * 65: "1"}), "containerdRuntimeOptions"),
    Case("option key empty", options(**{"": "1"}), "containerdRuntimeOptions"),
    Case("option newline", options(K="a\n[x]"), "containerdRuntimeOptions.K"),
    Case("option NUL", options(K="a\0"), "containerdRuntimeOptions.K"),
    Case("option long", options(K="a" * 1025), "containerdRuntimeOptions.K"),
    Case("option a list", options(K=["a"]), "containerdRuntimeOptions.K"),
    Case("option a boolean", options(K=True), "containerdRuntimeOptions.K"),
    Case("option a number", options(K=1), "containerdRuntimeOptions.K"),
    Case("many options", options(**{f"k{i}": "" for i in range(33)}), "containerdRuntimeOptions"),
    Case("selector a list", selector(["a"]), "nodeSelector"),
    Case("selector key", selector({"a b": "c"}), "nodeSelector"),
    Case("selector key long", selector({"a" * 64: "c"}), "nodeSelector"),
    Case("selector value", selector({"a": "b c"}), "nodeSelector.a"),
    Case("selector value long", selector({"a": "b" * 64}), "nodeSelector.a"),
    Case("selector value a boolean", selector({"spin": True}), "nodeSelector.spin"),
    Case("maxUpdate 0", rolling(maxUpdate=0), "maxUpdate"),
    Case("maxUpdate 0 %", rolling(maxUpdate="0%"), "maxUpdate"),
    Case("maxUpdate 101 %", rolling(maxUpdate="101%"), "maxUpdate"),
    Case("maxUpdate 010 %", rolling(maxUpdate="010%"), "maxUpdate"),
    Case("maxUpdate -1", rolling(maxUpdate=-1), "maxUpdate"),
    Case("maxUpdate abc", rolling(maxUpdate="abc"), "maxUpdate"),
    Case("maxUpdate 5 as text", rolling(maxUpdate="5"), "maxUpdate"),
    Case("maxUpdate long", rolling(maxUpdate="1" * 100 + "%"), "maxUpdate"),
    Case("maxUpdate 1e9", rolling(maxUpdate=10**9), "maxUpdate"),
    Case("maxUpdate a fraction", rolling(maxUpdate=1.5), "maxUpdate"),
    Case("maxUpdate 5.0", rolling(maxUpdate=5.0), "maxUpdate"),
    Case("maxUpdate true", rolling(maxUpdate=True), "maxUpdate"),
    Case("maxFailures 0", rolling(maxFailures=0), "maxFailures"),
    Case("canary nodes 0", canary(nodes=0), "canary.nodes"),
    Case("canary nodes a percentage", canary(nodes="1%"), "canary.nodes"),
    Case("soak below 0", canary(soakSeconds=-1), "canary.soakSeconds"),
    Case("soak a fraction", canary(soakSeconds=0.5), "canary.soakSeconds"),
    Case("unknown canary field", canary(count=1), "canary.count"),
    Case("rollout type", rollout(type="yolo"), "rolloutStrategy.type"),
    Case("disruption word", rollout(disruption="yes"), "disruption"),
    Case("paused a word", rollout(paused="yes"), "paused"),
    Case("version a number", manifest(version=0.25), "spec.version"),
    Case("version long", manifest(version="a" * 129), "spec.version"),
    Case("version with a tab", manifest(version="a\tb"), "spec.version"),
    Case("misspelt field", manifest(nodeselector={}), "spec.nodeselector"),
    Case("misspelt field that is null", manifest(nodeselector=None), "spec.nodeselector"),
    Case("unknown top field", {**manifest(), "specs": {}}, "specs"),
    Case("no spec", {k: v for k, v in manifest().items() if k != "spec"}, "spec"),
    Case("kind", {**manifest(), "kind": "Shims"}, "kind"),
    Case("old API version", {**manifest(), "apiVersion": "v1"}, "apiVersion"),
    Case("name upper case", named("Spin-V2"), "metadata.name"),
    Case("long name", named("a" * 64), "metadata.name"),
    Case("name a path", named("../x"), "metadata.name"),
    Case("name empty", named(""), "metadata.name"),
    Case("a list", [], "manifest"),
    Case("a string", "text", "manifest"),
)

PARSER_ONLY = (Case("key not a string", {**manifest(), 1: 2}, "manifest"),)
"""JSON has no such keys."""

SERVER_ONLY = (
    Case(
        "an annotation of 1 MB",
        {**manifest(), "metadata": {"name": "spin-v2", "annotations": {"a": "b" * (1 << 20)}}},
        "metadata.annotations",
    ),
    Case(
        "misspelt metadata",
        {**manifest(), "metadata": {"name": "spin-v2", "label": {"a": "b"}}},
        "metadata.label",
    ),
)
"""Of the metadata, the parser reads the name."""

CONTROLLER_ONLY = (
    Case("an address that is none", platform(location="https://[::::1]:99999/x")),
    Case("nothing for arm64 nodes", platform()),
)
"""Accepted by both; the nodes' status says what is wrong. So are two Shims with one handler."""


def rows(cases):
    """The cases as rows of a parametrized test."""
    return [pytest.param(case, id=case.name) for case in cases]
