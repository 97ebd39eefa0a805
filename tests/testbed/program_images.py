"""Images of our own programs for the clusters' nodes, built from the checkout as users build them.

    cluster.import_image(program_images.agent().archive)

The Dockerfiles below `images/` are built on `python_base`, with wheels that pip downloads once. The
name of an image ends with the hash of everything in it, so a pod never runs yesterday's lines.
"""

import dataclasses
import functools
import pathlib
import re
import shutil
import subprocess
import sys
import time

from tests.testbed import cache, python_base

_CHECKOUT = pathlib.Path(__file__).parents[2]
# A wheel has no dependency, runs as it is, and the base needs no pip of its own.
_PIP = "pip==25.3"
_KEPT_ARCHIVES = 3
# Longer than a run of all tests, which may import an archive again for a new node.
_UNUSED_S = 3600.0
_ARCHIVE = "image.tar"
# What the former builder prints; BuildKit keeps house by itself.
_LAYER = re.compile(r"^ ---> ([0-9a-f]{12})$", re.MULTILINE)


@dataclasses.dataclass(frozen=True, slots=True)
class ProgramImage:
    """An image that is ready to be imported.

    Attributes:
        ref: What a pod calls it.
        archive: A file that `Cluster.import_image` takes.
    """

    ref: str
    archive: pathlib.Path


@functools.cache
def agent() -> ProgramImage:
    """Return the agent's image, of the checkout as it was when first asked.

    Raises:
        BuildError: It cannot be built.
    """
    return _image("agent")


@functools.cache
def controller() -> ProgramImage:
    """Return the controller's image, of the checkout as it was when first asked.

    Raises:
        BuildError: It cannot be built.
    """
    return _image("controller")


def python() -> ProgramImage:
    """Return an image with Python and a shell, for scripts that a test gives.

    Raises:
        BuildError: It cannot be built.
    """
    base = python_base.image()
    ref = f"rcm.test/python:{base.rpartition(':')[2]}"

    def build(workshop: cache.Workshop) -> None:
        workshop.run(["docker", "tag", base, ref])
        workshop.run(["docker", "save", f"--output={workshop.directory / _ARCHIVE}", ref])
        workshop.run(["docker", "rmi", ref])

    return ProgramImage(ref, cache.entry("image-python", {"ref": ref}, build) / _ARCHIVE)


def wheels(program: str) -> pathlib.Path:
    """Return a directory with the wheels of a program's image, and pip's own.

    Raises:
        BuildError: pip cannot download them.
    """
    pins = _pins(program)
    inputs = {"pip": _PIP, "python": sys.version.split()[0], **cache.recipe(pins)}

    def build(workshop: cache.Workshop) -> None:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:"]
        where = ["--no-deps", f"--dest={workshop.directory}"]
        workshop.step("download wheels")
        workshop.run([*pip, *where, "--require-hashes", "-r", pins])
        workshop.run([*pip, *where, _PIP])

    return cache.entry(f"wheels-{program}", inputs, build)


def _image(program: str) -> ProgramImage:
    sources = [_CHECKOUT / name for name in ("rcm_api", f"rcm_{program}", ".dockerignore")]
    recipes = [_CHECKOUT / "images" / name for name in (program, "trim")]
    base = python_base.image()
    inputs = {"base": base, **cache.recipe(*sources, *recipes, _pins(program))}
    key = cache.key(inputs)
    ref = f"rcm.test/{program}:{key}"

    def build(workshop: cache.Workshop) -> None:
        _build(workshop, program, base=base, ref=ref)

    entry = cache.entry(f"image-{program}", inputs, build)
    _prune(program, entry)
    return ProgramImage(ref, entry / _ARCHIVE)


def _build(workshop: cache.Workshop, program: str, *, base: str, ref: str) -> None:
    context = workshop.scratch / "context"
    for name in ("rcm_api", f"rcm_{program}", "images", "requirements"):
        ignored = shutil.ignore_patterns("__pycache__", "shim-wasmtime")
        shutil.copytree(_CHECKOUT / name, context / name, ignore=ignored)
    shutil.copytree(wheels(program), context / "wheels")
    workshop.step("docker build")
    dockerfile = context / "images" / program / "Dockerfile"
    words = ["--build-arg", f"BASE={base}", "--tag", ref, "--file", dockerfile]
    workshop.run(["docker", "build", *words, context])
    workshop.step("docker save")
    workshop.run(["docker", "save", f"--output={workshop.directory / _ARCHIVE}", ref])
    _keep_layers(workshop, program, ref)


def _keep_layers(workshop: cache.Workshop, program: str, ref: str) -> None:
    """Let Docker keep this build's layers for the next one, and drop those of the one before."""
    note = cache.root() / f"image-{program}.layers"
    before = note.read_text().split() if note.exists() else []
    now = _LAYER.findall(workshop.log.read_text())
    workshop.run(["docker", "tag", ref, f"rcm-testbed/{program}:newest"])
    workshop.run(["docker", "rmi", "--no-prune", ref])
    note.write_text("\n".join(now))
    for layer in reversed([each for each in before if each not in now]):
        subprocess.run(["docker", "rmi", layer], capture_output=True, check=False)


def _prune(program: str, newest: pathlib.Path) -> None:
    """Remove older archives: each is 80 to 130 MB, and each changed line makes a new one."""
    newest.touch()
    unused_since = time.time() - _UNUSED_S
    used = {each: _last_use(each) for each in newest.parent.glob(f"image-{program}-*")}
    for old in sorted(used, key=used.__getitem__, reverse=True)[_KEPT_ARCHIVES:]:
        if used[old] < unused_since:
            shutil.rmtree(old, ignore_errors=True)


def _last_use(archive: pathlib.Path) -> float:
    try:
        return archive.stat().st_mtime
    except FileNotFoundError:  # removed by another process just now
        return 0.0


def _pins(program: str) -> pathlib.Path:
    return _CHECKOUT / "requirements" / f"image-{program}.txt"
