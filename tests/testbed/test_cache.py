"""The cache keeps its promises: built once, whole or not at all, found again by its inputs."""

import pathlib
import subprocess
import sys

import pytest

from tests.testbed import cache, errors


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RCM_CACHE", str(tmp_path / "cache"))


_CHECKOUT = pathlib.Path(__file__).parents[2]
_BUILD_SLOWLY = """
from tests.testbed import cache

def build(workshop):
    workshop.run(["sh", "-c", "sleep 0.3; echo built >> ../../../built"], cwd=workshop.directory)

print(cache.entry("part", {}, build))
"""


def test_an_entry_is_built_once_and_found_again() -> None:
    builds = []

    for _ in range(2):
        cache.entry("part", {"version": "1"}, builds.append)

    assert len(builds) == 1


def test_other_inputs_make_another_entry() -> None:
    assert cache.path("part", {"version": "1"}) != cache.path("part", {"version": "2"})
    assert cache.key({"a": "bc"}) != cache.key({"ab": "c"})


def test_a_failed_build_leaves_nothing_and_shows_the_end_of_its_log() -> None:
    def fail(workshop: cache.Workshop) -> None:
        (workshop.directory / "half").touch()
        workshop.run(["sh", "-c", "echo the reason; exit 7"])

    with pytest.raises(errors.BuildError, match=r"exited with 7(?s:.*)the reason"):
        cache.entry("part", {}, fail)

    assert not cache.path("part", {}).exists()
    assert list((cache.root() / "scratch").iterdir()) == []


def test_a_missing_program_is_named() -> None:
    with pytest.raises(errors.BuildError, match="cannot run no-such-program: not installed"):
        cache.entry("part", {}, lambda workshop: workshop.run(["no-such-program"]))


def test_leftovers_of_a_killed_build_are_removed() -> None:
    leftover = cache.root() / "scratch" / f"{cache.path('part', {}).name}.killed"
    leftover.mkdir(parents=True)

    cache.entry("part", {}, lambda workshop: (workshop.directory / "file").touch())

    assert not leftover.exists()


def test_two_processes_do_not_build_the_same_entry() -> None:
    command = [sys.executable, "-c", _BUILD_SLOWLY]
    builders = [
        subprocess.Popen(command, cwd=_CHECKOUT, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [builder.communicate(timeout=10)[0] for builder in builders]

    assert said == [f"{cache.path('part', {})}\n"] * 2
    assert (cache.root() / "built").read_text() == "built\n"


def test_the_recipe_names_every_file_and_its_mode(tmp_path: pathlib.Path) -> None:
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "a").write_bytes(b"1")
    (tmp_path / "recipe" / "b").write_bytes(b"2")
    (tmp_path / "recipe" / "b").chmod(0o755)

    found = cache.recipe(tmp_path / "recipe")

    assert found == {"recipe/a -": b"1", "recipe/b x": b"2"}
