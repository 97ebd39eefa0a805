"""Docker images of nodes: the common base, and one image per containerd release on it.

A tag carries the hash of what is in the image, so a changed recipe makes a new image and an
unchanged one is found in the daemon's store.
"""

import collections.abc
import io
import pathlib
import re
import subprocess
import tarfile

import docker
import docker.errors

from tests.testbed import cache, containerd, errors, labels, pause, progress, rootfs

_RECIPE = pathlib.Path(__file__).parent / "node_image"
_REPOSITORY = "rcm-testbed"
# An import of the 250 MB root file system takes 5 s; Docker's client gives up after 60 by default.
_DOCKER_TIMEOUT_S = 600


def node(version: str) -> str:
    """Return the tag of the node image for a containerd release, built if it is not there.

    Raises:
        BuildError: The image, or a part of it, cannot be built.
    """
    tag = _node_tag(version)
    client = docker.from_env(timeout=_DOCKER_TIMEOUT_S)
    try:
        with cache.lock(f"image-{version}"):
            if not _there(client, tag):
                _build_node(client, version=version, tag=tag)
    finally:
        client.close()
    return tag


def is_built(version: str) -> bool:
    """Tell whether `node(version)` would return at once."""
    client = docker.from_env()
    try:
        return _there(client, _node_tag(version))
    finally:
        client.close()


def default_config(version: str) -> bytes:
    """Return the configuration that a node of this release starts with."""
    release = containerd.VERSIONS[version]
    return (_RECIPE / f"config-v{release.config_version}.toml").read_bytes()


def _node_tag(version: str) -> str:
    inputs: dict[str, str | bytes] = {
        "base": _base_key(),
        "containerd": containerd.key(version),
        **cache.recipe(_RECIPE / "Dockerfile", _RECIPE / "pause.c", pathlib.Path(__file__)),
    }
    return f"{_REPOSITORY}/node:{version}-{cache.key(inputs)}"


def _base_key() -> str:
    files = ("Dockerfile.base", "entrypoint", "rcm-agent", "containerd.service", "10-rcm.conflist")
    return cache.key({"rootfs": rootfs.key(), **cache.recipe(*(_RECIPE / name for name in files))})


def _build_node(client: docker.DockerClient, *, version: str, tag: str) -> None:
    binaries = containerd.binary(version)
    sandbox = pause.archive(aliases=_default_sandbox_images(binaries / "containerd"))
    base = _base(client)
    programs = {f"bin/{name}": (binaries / name).read_bytes() for name in containerd.PROGRAMS}
    context = {"pause.tar": sandbox, **programs, **_files(_RECIPE)}
    with progress.board.task(f"image {version}"):
        _build(client, context, dockerfile="Dockerfile", tag=tag, args={"BASE": base})


def _default_sandbox_images(program: pathlib.Path) -> tuple[str, ...]:
    """Return the sandbox image of this release's built-in configuration.

    Configurations that name none get it; nodes have no registry, so our image answers to its name.
    """
    argv = [str(program), "config", "default"]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    return tuple(
        re.findall(r"""^\s*sandbox(?:_image)? = ['"]([^'"]*pause[^'"]*)['"]""", said, re.MULTILINE)
    )


def _base(client: docker.DockerClient) -> str:
    tag = f"{_REPOSITORY}/base:{_base_key()}"
    with cache.lock("image-base"):
        if not _there(client, tag):
            files = _import_rootfs(client)
            with progress.board.task("image base"):
                args = {"ROOTFS": files}
                _build(client, _files(_RECIPE), dockerfile="Dockerfile.base", tag=tag, args=args)
    return tag


def _import_rootfs(client: docker.DockerClient) -> str:
    repository, key = f"{_REPOSITORY}/rootfs", rootfs.key()
    if not _there(client, f"{repository}:{key}"):
        archive = rootfs.archive()
        with progress.board.task("import rootfs"):
            client.api.import_image_from_file(str(archive), repository=repository, tag=key)
    return f"{repository}:{key}"


def _build(
    client: docker.DockerClient,
    context: collections.abc.Mapping[str, bytes],
    *,
    dockerfile: str,
    tag: str,
    args: dict[str, str],
) -> None:
    try:
        client.images.build(
            fileobj=_tar(context),
            custom_context=True,
            dockerfile=dockerfile,
            tag=tag,
            buildargs=args,
            labels=labels.OURS,
            rm=True,
            forcerm=True,
        )
    except docker.errors.BuildError as error:
        log = "".join(str(line.get("stream", line)) for line in error.build_log)
        raise errors.BuildError(f"cannot build image {tag}: {error}\n{log[-2000:]}") from error


def _files(directory: pathlib.Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(directory.iterdir())}


def _tar(files: collections.abc.Mapping[str, bytes]) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), _mode(data)
            archive.addfile(member, io.BytesIO(data))
    buffer.seek(0)
    return buffer


def _mode(data: bytes) -> int:
    return 0o755 if data.startswith((b"#!", b"\x7fELF")) else 0o644


def _there(client: docker.DockerClient, tag: str) -> bool:
    try:
        client.images.get(tag)
    except docker.errors.ImageNotFound:
        return False
    return True
