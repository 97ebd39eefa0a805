"""OCI archives around a guest, in the two forms that images of Wasm have."""

import collections.abc
import hashlib
import io
import json
import tarfile

from tests.testbed import oci

PATH = "/app.wasm"

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_WASM_CONFIG = "application/vnd.wasm.config.v0+json"
_WASM_LAYER = "application/wasm"


def image(
    ref: str, wasm: bytes, *, os: str = "wasip1", env: collections.abc.Sequence[str] = ()
) -> bytes:
    """Return an archive whose image has the guest as a file, compiled at each start.

    Args:
        ref: The image's name, for example "rcm.test/hello:1".
        wasm: The guest.
        os: Of the image's platform, whose architecture is "wasm".
        env: `NAME=value` lines.
    """
    return oci.image(ref, files={PATH: wasm}, entrypoint=[PATH], os=os, arch="wasm", env=env)


def artifact(ref: str, wasm: bytes) -> bytes:
    """Return an archive whose image has the guest as its one layer, compiled once.

    containerd 1.6 refuses such images.
    """
    config = {
        "architecture": "wasm",
        "os": "wasip1",
        "config": {"Entrypoint": [PATH]},
        "layerDigests": [_digest(wasm)],
    }
    config_blob = json.dumps(config).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _descriptor(_WASM_CONFIG, config_blob),
        "layers": [_descriptor(_WASM_LAYER, wasm)],
    }
    manifest_blob = json.dumps(manifest).encode()
    index = {
        "schemaVersion": 2,
        "manifests": [
            {
                **_descriptor(_MANIFEST, manifest_blob),
                "platform": {"os": "wasip1", "architecture": "wasm"},
                "annotations": {"io.containerd.image.name": ref},
            }
        ],
    }
    blobs = {f"blobs/sha256/{_hex(blob)}": blob for blob in (config_blob, wasm, manifest_blob)}
    layout = b'{"imageLayoutVersion": "1.0.0"}'
    return _tar({"oci-layout": layout, "index.json": json.dumps(index).encode(), **blobs})


def _tar(files: collections.abc.Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o644
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def _descriptor(media_type: str, data: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": _digest(data), "size": len(data)}


def _digest(data: bytes) -> str:
    return f"sha256:{_hex(data)}"


def _hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
