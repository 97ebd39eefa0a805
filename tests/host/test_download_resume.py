"""A download that broke off goes on where it ended, and ends with the right bytes or none."""

from __future__ import annotations

import pytest

from rcm_agent import errors
from tests.fakes import web
from tests.host import beds

SHIM = beds.SHIM
OTHER = SHIM[:-4] + b"new!"
PART = f"opt/rcm/store/partial/{beds.sha256(SHIM)}.part"


@pytest.fixture
def bed(tmp_path):
    with beds.opened(tmp_path) as made:
        yield made


def break_off(bed, at=1000, etag='"one"', data=SHIM):
    """Leave a partial file as a run that was interrupted."""
    bed.replies["/shim"] = web.cut(data, upto=at, etag=etag)
    with pytest.raises(errors.FetchError, match="attempt"):
        bed.fetch(attempts=1)
    bed.server.requests.clear()


def ranges(bed):
    return [r.headers.get("range") for r in bed.server.requests]


def test_a_reset_is_continued_within_the_run(bed):
    bed.replies["/shim"] = web.cut(SHIM, upto=1500, reset=True, etag='"one"')

    stored = bed.fetch()

    assert bed.content(stored) == SHIM
    assert ranges(bed) == [None, "bytes=1500-", "bytes=3000-"]
    assert stored.fetched_bytes == len(SHIM)


def test_what_an_earlier_run_left_is_continued(bed):
    break_off(bed)
    bed.replies["/shim"] = web.content(SHIM, etag='"one"')

    stored = bed.fetch()

    assert bed.content(stored) == SHIM
    assert stored.fetched_bytes == len(SHIM) - 1000
    sent = bed.server.requests[0].headers
    assert (sent["range"], sent["if-range"]) == ("bytes=1000-", '"one"')


def test_the_error_says_where_the_part_is(bed):
    bed.replies["/shim"] = web.cut(SHIM, upto=1000)

    with pytest.raises(errors.FetchError) as caught:
        bed.fetch(attempts=1)

    assert f"1000 bytes in /{PART} will be continued" in caught.value.advice
    assert (bed.root / PART).stat().st_mode & 0o777 == 0o600


def test_the_part_is_gone_afterwards(bed):
    break_off(bed)
    bed.replies["/shim"] = web.content(SHIM)

    bed.fetch()

    assert list((bed.root / "opt/rcm/store/partial").iterdir()) == []


def test_a_changed_etag_starts_again(bed):
    break_off(bed, data=OTHER)
    bed.replies["/shim"] = web.content(SHIM, etag='"two"')

    stored = bed.fetch()

    assert bed.content(stored) == SHIM
    assert ranges(bed) == ["bytes=1000-"]


def test_a_server_without_ranges_starts_again(bed):
    break_off(bed)
    bed.replies["/shim"] = web.deaf(SHIM)

    assert bed.content(bed.fetch()) == SHIM


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda data: b"\0" * len(data), id="zeros after a power cut"),
        pytest.param(lambda data: data + bytes(len(SHIM)), id="longer than the artifact"),
        pytest.param(lambda _: b"", id="empty"),
    ],
)
def test_a_spoiled_part_is_thrown_away(bed, spoil):
    break_off(bed)
    part = bed.root / PART
    part.write_bytes(spoil(part.read_bytes()))
    bed.replies["/shim"] = web.content(SHIM, etag='"one"')

    assert bed.content(bed.fetch()) == SHIM


def test_a_part_that_is_whole_needs_no_network(bed):
    break_off(bed)
    (bed.root / PART).write_bytes(SHIM)

    stored = bed.fetch()

    assert stored.fetched_bytes == 0
    assert bed.server.requests == []


def test_a_part_that_is_a_link_is_not_followed(bed):
    break_off(bed)
    (bed.root / PART).unlink()
    (bed.root / "victim").write_bytes(b"mine")
    (bed.root / PART).symlink_to("/victim")
    bed.replies["/shim"] = web.content(SHIM)

    assert bed.content(bed.fetch()) == SHIM
    assert (bed.root / "victim").read_bytes() == b"mine"


def test_a_torn_note_is_no_harm(bed):
    break_off(bed)
    (bed.root / PART).with_suffix(".json").write_bytes(b'{"url_sh')
    bed.replies["/shim"] = web.content(SHIM)

    assert bed.content(bed.fetch()) == SHIM


@pytest.mark.parametrize(
    "wrong", ["bytes 999-4151/4152", "bytes 0-4151/4152", "bytes 1000-", "items 1000-4151/4152"]
)
def test_another_part_than_asked_for_is_not_taken(bed, wrong):
    break_off(bed)
    bed.replies["/shim"] = web.in_turn(
        web.status(206, {"Content-Range": wrong}, SHIM[1000:]), web.content(SHIM)
    )

    assert bed.content(bed.fetch()) == SHIM


def test_a_continued_download_keeps_to_the_cap(bed):
    break_off(bed)
    bed.replies["/shim"] = web.status(206, {"Content-Range": "bytes 1000-99999/100000"})

    with pytest.raises(errors.FetchError, match="more than the 5000 bytes"):
        bed.fetch(max_bytes=5000)

    assert not (bed.root / PART).exists()


def test_a_weak_etag_is_not_relied_on(bed):
    break_off(bed, etag='W/"one"')
    bed.replies["/shim"] = web.content(SHIM)

    bed.fetch()

    assert "if-range" not in bed.server.requests[0].headers


def test_a_date_will_do_instead_of_an_etag(bed):
    date = "Sun, 22 Nov 2026 17:00:00 GMT"
    bed.replies["/shim"] = web.cut(SHIM, upto=1000, **{"Last-Modified": date})
    with pytest.raises(errors.FetchError):
        bed.fetch(attempts=1)
    bed.fetch()

    assert bed.server.requests[1].headers["if-range"] == date


# --- without a digest -------------------------------------------------------------------------


@pytest.fixture
def secure(tmp_path):
    """Serve over TLS, which first use needs; yields the replies and how to fetch."""
    authority = web.authority(tmp_path)
    replies = {}
    server = web.Server(replies, authority.context())
    how = {"sha": None, "trust": True, "ca_file": authority.file}
    yield replies, server, how | {"location": server.url("/shim")}
    server.close()


def test_first_use_continues_only_the_same_version(bed, secure):
    replies, server, how = secure
    replies["/shim"] = web.cut(OTHER, upto=1000, etag='"one"')
    with pytest.raises(errors.FetchError):
        bed.fetch(**how, attempts=1)
    replies["/shim"] = web.content(SHIM, etag='"two"')

    stored = bed.fetch(**how)

    assert stored.digest == beds.sha256(SHIM)
    assert server.requests[-1].headers["if-range"] == '"one"'


def test_first_use_continues_the_same_version(bed, secure):
    replies, _, how = secure
    replies["/shim"] = web.cut(SHIM, upto=1000, etag='"one"')
    with pytest.raises(errors.FetchError):
        bed.fetch(**how, attempts=1)
    replies["/shim"] = web.content(SHIM, etag='"one"')

    assert bed.fetch(**how).fetched_bytes == len(SHIM) - 1000


def test_first_use_without_a_version_starts_again(bed, secure):
    replies, server, how = secure
    replies["/shim"] = web.cut(OTHER, upto=1000)
    with pytest.raises(errors.FetchError):
        bed.fetch(**how, attempts=1)
    replies["/shim"] = web.content(SHIM)

    assert bed.fetch(**how).digest == beds.sha256(SHIM)
    assert "range" not in server.requests[-1].headers


def test_first_use_takes_no_other_part_than_asked_for(bed, secure):
    replies, _, how = secure
    replies["/shim"] = web.cut(SHIM, upto=1000, etag='"one"')
    with pytest.raises(errors.FetchError):
        bed.fetch(**how, attempts=1)
    span = {"Content-Range": f"bytes 900-{len(SHIM) - 1}/{len(SHIM) + 100}"}
    replies["/shim"] = web.in_turn(
        web.status(206, span, SHIM[900:]), web.content(SHIM, etag='"one"')
    )

    assert bed.fetch(**how).digest == beds.sha256(SHIM)


def test_a_server_that_gives_less_than_asked_for_is_asked_again(bed):
    break_off(bed)
    span = {"Content-Range": f"bytes 1000-1999/{len(SHIM)}"}
    bed.replies["/shim"] = web.in_turn(
        web.status(206, span, SHIM[1000:2000]), web.content(SHIM, etag='"one"')
    )

    stored = bed.fetch()

    assert bed.content(stored) == SHIM
    assert ranges(bed) == ["bytes=1000-", "bytes=2000-"]
