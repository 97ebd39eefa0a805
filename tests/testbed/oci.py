"""OCI image archives, made by hand: `ctr images import` reads them, no builder is needed.

The same arguments give the same bytes: no time, no user, no compression.
"""

import collections.abc
import hashlib
import io
import json
import pathlib
import platform
import tarfile

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
# Go's names, which images use, of what uname says.
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

Json = dict[str, object]


def image(
    ref: str,
    *,
    files: collections.abc.Mapping[str, bytes],
    entrypoint: collections.abc.Sequence[str],
    os: str = "linux",
    arch: str | None = None,
    env: collections.abc.Sequence[str] = (),
    aliases: collections.abc.Sequence[str] = (),
) -> bytes:
    """Return an OCI archive with one image of one layer.

    Args:
        ref: The image's name, for example "rcm.test/app:1".
        files: Absolute path to content; every file is executable and root's.
        entrypoint: The command.
        os: Of the image's platform: "wasip1" or "wasi" for Wasm.
        arch: Of the image's platform: "wasm" for Wasm; None is this machine's.
        env: `NAME=value` lines.
        aliases: Further names of the same image.
    """
    arch = arch or _ARCHITECTURES.get(platform.machine(), platform.machine())
    layer = _tar({name.lstrip("/"): data for name, data in files.items()}, mode=0o755)
    config = _json(
        {
            "architecture": arch,
            "os": os,
            "config": {"Entrypoint": list(entrypoint), "Env": list(env), "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _descriptor(_CONFIG, config),
            "layers": [_descriptor(_LAYER, layer)],
        }
    )
    index = _json(
        {
            "schemaVersion": 2,
            "manifests": [
                {
                    **_descriptor(_MANIFEST, manifest),
                    "platform": {"os": os, "architecture": arch},
                    "annotations": {"io.containerd.image.name": name},
                }
                for name in (ref, *aliases)
            ],
        }
    )
    blobs = {f"blobs/sha256/{_hex(blob)}": blob for blob in (config, layer, manifest)}
    layout = _json({"imageLayoutVersion": "1.0.0"})
    return _tar({"oci-layout": layout, "index.json": index, **blobs}, mode=0o644)


def _tar(files: collections.abc.Mapping[str, bytes], *, mode: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for directory in _parents(files):
            member = tarfile.TarInfo(directory)
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(member)
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), mode
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def _parents(files: collections.abc.Iterable[str]) -> list[str]:
    parents = {str(parent) for name in files for parent in pathlib.PurePosixPath(name).parents}
    return sorted(parents - {"."})


def _descriptor(media_type: str, data: bytes) -> Json:
    return {"mediaType": media_type, "digest": _digest(data), "size": len(data)}


def _digest(data: bytes) -> str:
    return f"sha256:{_hex(data)}"


def _hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _json(value: Json) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
