"""Image archives are the same bytes for the same arguments, and what the OCI layout asks for."""

import hashlib
import io
import json
import tarfile

from tests.testbed import oci

_FILES = {"/bin/app": b"program", "/etc/app/settings": b"a=1"}


def _archive() -> bytes:
    return oci.image(
        "rcm.test/app:1",
        files=_FILES,
        entrypoint=["/bin/app"],
        os="wasip1",
        arch="wasm",
        aliases=["rcm.test/app:latest"],
    )


def _blobs(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}


def test_the_same_image_is_the_same_bytes() -> None:
    assert _archive() == _archive()


def test_every_blob_is_named_by_its_hash() -> None:
    blobs = {name: data for name, data in _blobs(_archive()).items() if name.startswith("blobs/")}

    assert len(blobs) == 3
    for name, data in blobs.items():
        assert name == f"blobs/sha256/{hashlib.sha256(data).hexdigest()}"


def test_the_index_has_the_platform_and_every_name() -> None:
    manifests = json.loads(_blobs(_archive())["index.json"])["manifests"]

    names = [manifest["annotations"]["io.containerd.image.name"] for manifest in manifests]
    assert names == ["rcm.test/app:1", "rcm.test/app:latest"]
    assert all(m["platform"] == {"os": "wasip1", "architecture": "wasm"} for m in manifests)


def test_the_layer_has_the_files_and_their_directories() -> None:
    blobs = _blobs(_archive())
    manifest = json.loads(blobs["index.json"])["manifests"][0]
    layer = json.loads(blobs[_path(manifest["digest"])])["layers"][0]

    with tarfile.open(fileobj=io.BytesIO(blobs[_path(layer["digest"])])) as tar:
        modes = {member.name: member.mode for member in tar}
    assert modes == {
        "bin": 0o755,
        "etc": 0o755,
        "etc/app": 0o755,
        "bin/app": 0o755,
        "etc/app/settings": 0o755,
    }


def _path(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")
