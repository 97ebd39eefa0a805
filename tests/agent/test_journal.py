"""The journal: what is written is what is read, and what is not ours is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcm_agent import errors, journal, records
from rcm_agent.records import Step
from tests.agent import make


def test_a_journal_survives_the_round_trip():
    shim = make.shim(options={"SystemdCgroup": True, "Count": 3, "Text": 'a"]'})
    file = records.FileChange("/etc/containerd/config.toml", "a", "b", "c", "")
    whole = records.Journal(
        current=make.generation(shim, owned=(records.OwnedFile("/etc/x", "", "b"),)),
        operation=make.operation(
            before=(shim,), after=(make.shim(version="2"),), step=Step.RESTART, files=(file,)
        ),
    )

    assert journal.decode(journal.encode(whole)) == whole


def test_no_file_is_an_empty_journal():
    assert journal.decode(None) == records.Journal()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x00\xff", id="binary"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"{}", id="no format"),
        pytest.param(b'{"format": 2, "current": {}, "operation": null}', id="newer"),
        pytest.param(b'{"format": 1, "current": {}, "operation": null}', id="no fields"),
        pytest.param(b'{"format": 1, "current": null, "operation": null}', id="null"),
    ],
)
def test_a_journal_that_is_not_ours_is_refused(data):
    with pytest.raises(errors.HostError, match="journal"):
        journal.decode(data)


@given(st.integers(min_value=0, max_value=10_000))
def test_a_torn_journal_is_refused(length):
    data = journal.encode(records.Journal(current=make.generation(make.shim())))
    torn = data[: length % (len(data) - 1)]

    with pytest.raises(errors.HostError):
        journal.decode(torn)


def test_the_format_is_readable():
    document = json.loads(journal.encode(records.Journal()))

    assert document["format"] == journal.FORMAT
