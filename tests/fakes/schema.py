"""What containerd's releases know of their configuration: ids, keys, defaults, migrations.

Called by `config` only. Kept to what a containerd with CRI shows in `config dump`; CRI's own many
settings are here as far as nodes commonly set them, others pass through as written.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

Table = dict[str, Any]
Release = tuple[int, int, int]

OLD = "io.containerd.grpc.v1.cri"
RUNTIME = "io.containerd.cri.v1.runtime"
IMAGES = "io.containerd.cri.v1.images"
FIRST_WITH_URIS = 2
"""Configuration version in which plugins are named by their whole id."""

REPLACED = frozenset({"stream_processors", "proxy_plugins", "timeouts"})
"""Their entries are replaced per key in a merge, never merged themselves."""

_STREAMING = frozenset(
    {"disable_tcp_service", "stream_server_address", "stream_server_port", "stream_idle_timeout"}
)
_IMAGE_KEYS = frozenset(
    {"registry", "image_decryption", "max_concurrent_downloads", "image_pull_progress_timeout"}
)
_RUNC_OPTIONS: Table = {"BinaryName": "", "Root": "", "ShimCgroup": "", "SystemdCgroup": False}
_TOP: Table = {
    "disabled_plugins": [],
    "oom_score": 0,
    "required_plugins": [],
    "root": "/var/lib/containerd",
    "state": "/run/containerd",
    "temp": "",
}


def newest_version(release: Release) -> int:
    if release < (2,):
        return 2
    return 3 if release < (2, 3) else 4


def runtime_keys(release: Release) -> Table:
    """Return the keys of a runtime's table with their defaults."""
    keys: Table = {
        "runtime_type": "",
        "runtime_path": "",
        "pod_annotations": [],
        "container_annotations": [],
        "privileged_without_host_devices": False,
        "base_runtime_spec": "",
        "cni_conf_dir": "",
        "cni_max_conf_num": 0,
        "snapshotter": "",
    }
    if release >= (1, 7):
        keys["privileged_without_host_devices_all_devices_allowed"] = False
    if release < (2,):
        keys |= {"runtime_engine": "", "runtime_root": ""}
    if (1, 7) <= release < (2,):
        keys["sandbox_mode"] = ""
    if release >= (2,):
        keys |= {"sandboxer": "", "io_type": ""}
    if release >= (2, 1):
        keys["cgroup_writable"] = False
    return {**keys, "options": {}}


def _runc(release: Release) -> Table:
    sandboxed = {"sandboxer": "podsandbox"} if release >= (2,) else {}
    return {
        **runtime_keys(release),
        **sandboxed,
        "runtime_type": "io.containerd.runc.v2",
        "options": dict(_RUNC_OPTIONS),
    }


def top(release: Release, found: Table) -> tuple[Table, str]:
    """Return the top level with defaults, and what has a wrong type."""
    result = {**copy.deepcopy(_TOP), "version": newest_version(release), **found}
    wrong = next((k for k, v in _TOP.items() if type(result[k]) is not type(v)), "")
    return result, f"({wrong}): incompatible types" if wrong else ""


def disabled(found: Table) -> str:
    hits = {"cri", OLD, RUNTIME}.intersection(found["disabled_plugins"])
    return f"plugin {min(hits)} is disabled" if hits else ""


def migrate_cri(found: Table) -> Table:
    """Split the CRI table of version 2; where a new one exists already, the old one is dropped."""
    plugins = {k: v for k, v in found.items() if k != OLD}
    old = found.get(OLD)
    if not isinstance(old, dict):
        return dict(found)
    streaming = {k: v for k, v in old.items() if k in _STREAMING}
    if streaming:
        plugins[OLD] = streaming
    if IMAGES not in found:
        plugins[IMAGES] = _images(old)
    if RUNTIME not in found:
        drop = {*_STREAMING, *_IMAGE_KEYS, "sandbox_image"}
        runtime = {k: v for k, v in old.items() if k not in drop}
        runtime["containerd"] = {
            k: v for k, v in old.get("containerd", {}).items() if k != "snapshotter"
        }
        plugins[RUNTIME] = runtime
    return plugins


def _images(old: Table) -> Table:
    images = {k: v for k, v in old.items() if k in _IMAGE_KEYS}
    if "sandbox_image" in old:
        images["pinned_images"] = {"sandbox": old["sandbox_image"]}
    if "snapshotter" in old.get("containerd", {}):
        images["snapshotter"] = old["containerd"]["snapshotter"]
    return images


def plugins(release: Release, found: Table) -> tuple[Table, str]:
    """Return CRI's tables with defaults and other plugins as they are, and CRI's error."""
    result = dict(found)
    errors: list[str] = []
    for name, defaults in _defaults(release).items():
        written = found.get(name, {})
        result[name] = _filled(defaults, written, name, errors)
    table = result[OLD if release < (2,) else RUNTIME].get("containerd")
    if isinstance(table, dict):
        table["runtimes"] = _runtimes(release, table.get("runtimes"), errors)
    return result, errors[0] if errors else ""


def _defaults(release: Release) -> Mapping[str, Table]:
    containerd = {
        "default_runtime_name": "runc",
        "ignore_rdt_not_enabled_errors": False,
        "runtimes": {},
    }
    cni = {"bin_dir": "/opt/cni/bin", "conf_dir": "/etc/cni/net.d", "max_conf_num": 1}
    common = {"enable_selinux": False, "max_container_log_line_size": 16384, "cni": cni}
    registry = {"config_path": ""}
    if release < (2,):
        pause = "registry.k8s.io/pause:3.8" if release >= (1, 7) else "registry.k8s.io/pause:3.6"
        table = {**containerd, "snapshotter": "overlayfs"}
        return {OLD: {**common, "sandbox_image": pause, "containerd": table, "registry": registry}}
    images = {
        "snapshotter": "overlayfs",
        "max_concurrent_downloads": 3,
        "pinned_images": {"sandbox": "registry.k8s.io/pause:3.10"},
        "registry": registry,
    }
    streaming = {"disable_tcp_service": True, "stream_server_port": "0"}
    return {RUNTIME: {**common, "containerd": containerd}, IMAGES: images, OLD: streaming}


def _filled(defaults: Table, written: Any, path: str, errors: list[str]) -> Table:
    """Lay what is written over defaults; a wrong type is an error of the whole plugin."""
    if not isinstance(written, dict):
        errors.append(f"invalid plugin config: {path}: incompatible types")
        return copy.deepcopy(defaults)
    result = copy.deepcopy({**written, **defaults})
    for key, value in written.items():
        default = defaults.get(key)
        if isinstance(default, dict):
            result[key] = _filled(default, value, f"{path}.{key}", errors)
        elif default is not None and type(default) is not type(value):
            errors.append(f"invalid plugin config: {path}.{key}: incompatible types")
        else:
            result[key] = copy.deepcopy(value)
    return result


def _runtimes(release: Release, written: Any, errors: list[str]) -> Table:
    """Give every runtime its defaults; on 1.x a file that defines any loses the implicit runc."""
    implicit = {"runc": _runc(release)}
    if not isinstance(written, dict):
        return implicit
    known = runtime_keys(release)
    result: Table = dict(implicit) if release >= (2,) or not written else {}
    for name, table in written.items():
        used = {k: v for k, v in table.items() if k in known} if isinstance(table, dict) else table
        result[name] = _filled(known, used, f"runtimes.{name}", errors)
        if release >= (2,) and isinstance(table, dict) and not result[name]["sandboxer"]:
            result[name]["sandboxer"] = "podsandbox"
        switch = result[name]["options"].get("SystemdCgroup", False)
        if result[name]["runtime_type"] == "io.containerd.runc.v2" and type(switch) is not bool:
            errors.append(f"runtimes.{name}.options.SystemdCgroup: incompatible types")
    return result


def runtimes(release: Release, found: Table) -> Mapping[str, Table]:
    table: Mapping[str, Table] = found[OLD if release < (2,) else RUNTIME]["containerd"]["runtimes"]
    return table


def unusable(release: Release, found: Table) -> str:
    """Say why CRI refuses to load, empty when it does not."""
    containerd = found[OLD if release < (2,) else RUNTIME]["containerd"]
    name = containerd["default_runtime_name"]
    if name not in containerd["runtimes"]:
        return f'no corresponding runtime configured in `containerd.runtimes` for "{name}"'
    return ""
