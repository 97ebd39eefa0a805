"""What the agent remembers on the host: journal, saved contents, restarts of this boot."""

import pytest

from rcm_agent import errors, records, settings
from rcm_agent.host import kernel, memory
from tests.agent import make


@pytest.fixture
def host(tmp_path):
    for name in ("opt", "run"):
        (tmp_path / name).mkdir()
    return kernel.RealKernel(str(tmp_path))


def test_restarts_of_former_runs_count(host):
    for uptime_s in (1.0, 2.0, 3.0):
        memory.Memory(host).count_restart(boot_id="b", uptime_s=uptime_s)

    assert memory.Memory(host).restarts(boot_id="b", uptime_s=4.0) == (1.0, 2.0, 3.0)


def test_old_restarts_and_those_of_another_boot_do_not_count(host):
    found = memory.Memory(host)
    found.count_restart(boot_id="b", uptime_s=1.0)
    found.count_restart(boot_id="b", uptime_s=500.0)

    assert found.restarts(boot_id="b", uptime_s=1.0 + settings.RESTART_WINDOW_S) == (500.0,)
    assert found.restarts(boot_id="other", uptime_s=501.0) == ()


def test_a_damaged_count_is_an_empty_one(host, tmp_path):
    (tmp_path / "run/rcm").mkdir()
    (tmp_path / "run/rcm/restarts.json").write_bytes(b'{"boot": "b", "times": [null]}')

    assert memory.Memory(host).restarts(boot_id="b", uptime_s=1.0) == ()


def test_an_empty_journal_is_no_file(host, tmp_path):
    found = memory.Memory(host)
    found.write(records.Journal(current=make.generation(make.shim())))
    assert (tmp_path / "opt/rcm/journal.json").stat().st_mode & 0o777 == 0o600

    found.write(records.Journal())

    assert not (tmp_path / "opt/rcm/journal.json").exists()


def test_a_saved_content_that_was_damaged_is_not_given_back(host, tmp_path):
    found = memory.Memory(host)
    sha = found.save(b"precious")
    (tmp_path / "opt/rcm/backup" / sha).write_bytes(b"damaged")

    with pytest.raises(errors.HostError, match="damaged"):
        found.content(sha)


def test_saving_again_mends_a_damaged_content(host, tmp_path):
    found = memory.Memory(host)
    sha = found.save(b"precious")
    (tmp_path / "opt/rcm/backup" / sha).write_bytes(b"damaged")
    found.save(b"precious")

    assert found.content(sha) == b"precious"


def test_what_nobody_refers_to_is_forgotten(host):
    found = memory.Memory(host)
    kept, dropped = found.save(b"a"), found.save(b"b")
    found.forget(keep=[kept])

    assert found.load(kept) == b"a"
    assert found.load(dropped) is None
