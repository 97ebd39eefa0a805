"""The images hold what they run, and nothing that only a builder needs."""

import ast
import json
import pathlib
import re
import sys
import tarfile
import zlib

import pytest

from tests.manifests import rendering
from tests.testbed import program_images

LIMIT_BYTES = 80_000_000
"""Of the agent's image, compressed, with its base."""
FROM_MODULE = {"yaml": "pyyaml", "grpc": "grpcio", "google": "protobuf"}
NOT_IN_A_POD = {"kubernetes", "grpc_tools"}
"""What only a kubeconfig needs, and what only writes our own code."""
UNWANTED = re.compile(
    r"(^|/)(pip|setuptools|wheel|ensurepip|kubernetes)/__init__\.py$"
    r"|(^|/)bin/(pip3?|gcc|cc|g\+\+|ld|make|apt-key)$"
)
USERS = {"agent": "0:0", "controller": "65532:65532"}


def pins(path: pathlib.Path) -> dict[str, str]:
    lines = path.read_text().splitlines()
    return dict(line.split(" ")[0].split("==") for line in lines if "==" in line)


def imported(package: str) -> set[str]:
    """Return the distributions that the modules of a package import, anywhere."""
    found: set[str] = set()
    for path in (rendering.ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    foreign = found - sys.stdlib_module_names - NOT_IN_A_POD
    foreign = {name for name in foreign if not name.startswith("rcm_")}
    return {FROM_MODULE.get(name, name).replace("_", "-") for name in foreign}


@pytest.mark.parametrize("program", ["agent", "controller"])
def test_what_a_program_imports_is_in_its_image(program):
    wanted = imported("rcm_api") | imported(f"rcm_{program}")
    listed = (rendering.ROOT / "images" / program / "requirements.in").read_text().splitlines()

    assert wanted == {line for line in listed if not line.startswith("#")}


@pytest.mark.parametrize("program", ["agent", "controller"])
def test_images_have_the_versions_that_are_tested(program):
    folder = rendering.ROOT / "requirements"
    tested, shipped = pins(folder / "agent.txt"), pins(folder / f"image-{program}.txt")

    assert shipped.items() <= tested.items()
    assert "kubernetes" not in shipped


@pytest.mark.node
@pytest.mark.timeout(300)
@pytest.mark.parametrize("program", ["agent", "controller"])
def test_an_image_is_one_layer_without_tools(testbed: None, program: str):  # noqa: ARG001
    image = getattr(program_images, program)()
    with tarfile.open(image.archive) as archive:
        (manifest,) = json.load(archive.extractfile("manifest.json"))
        config = json.load(archive.extractfile(manifest["Config"]))["config"]
        (layer,) = manifest["Layers"]
        with tarfile.open(fileobj=archive.extractfile(layer)) as files:
            names = files.getnames()

    assert config["User"] == USERS[program]
    assert config["Entrypoint"] == [f"rcm-{program}"]
    assert [name for name in names if UNWANTED.search(name)] == []
    assert any(name.endswith("python3.11/json/__init__.py") for name in names)
    assert f"usr/local/bin/rcm-{program}" in names


@pytest.mark.node
@pytest.mark.timeout(300)
def test_the_agents_image_is_small(testbed: None):  # noqa: ARG001
    squeeze = zlib.compressobj(1)  # registries use 6, which takes longer and gives less
    size = 0
    with program_images.agent().archive.open("rb") as file:
        while data := file.read(1 << 20):
            size += len(squeeze.compress(data))
    size += len(squeeze.flush())

    assert size <= LIMIT_BYTES
