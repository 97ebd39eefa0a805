"""A shim that waits for a reader of its log goes on, and who reads already loses nothing."""

import os
import pathlib
import threading

import pytest

from rcm_agent.host import log_pipes


@pytest.fixture
def bundle(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "io.containerd.runtime.v2.task" / "k8s.io" / "sandbox"
    path.mkdir(parents=True)
    os.mkfifo(path / "log")
    return path


def test_a_shim_that_nobody_hears_goes_on(tmp_path: pathlib.Path, bundle: pathlib.Path) -> None:
    opened = threading.Event()

    def delete() -> None:
        os.close(os.open(bundle / "log", os.O_WRONLY))
        opened.set()

    thread = threading.Thread(target=delete, daemon=True)
    thread.start()
    with log_pipes.heard(str(tmp_path)):
        assert opened.wait(5)
    thread.join()


def test_who_reads_already_loses_nothing(tmp_path: pathlib.Path, bundle: pathlib.Path) -> None:
    reader = os.open(bundle / "log", os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(bundle / "log", os.O_WRONLY)
    os.write(writer, b"said")

    log_pipes.wake(str(tmp_path))

    assert os.read(reader, 10) == b"said"
    os.write(writer, b"more")
    assert os.read(reader, 10) == b"more"
    os.close(reader)
    os.close(writer)


def test_what_is_no_pipe_is_left_alone(tmp_path: pathlib.Path, bundle: pathlib.Path) -> None:
    (bundle / "log").unlink()
    (bundle / "log").symlink_to("/nonexistent")

    log_pipes.wake(str(tmp_path))

    assert (bundle / "log").is_symlink()
