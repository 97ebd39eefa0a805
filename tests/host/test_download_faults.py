"""A fetch against every network fault of `faults.md` C that one node can meet."""

from __future__ import annotations

import gzip
import socket
import time

import pytest

from rcm_agent import errors
from rcm_agent.host import addresses
from tests.fakes import web
from tests.host import beds

SHIM = beds.SHIM
HTML = b"<!DOCTYPE html><html><body>Log in to this network</body></html>"


@pytest.fixture
def bed(tmp_path):
    with beds.opened(tmp_path) as made:
        yield made


def test_a_bare_shim_is_fetched_once(bed):
    bed.replies["/shim"] = web.content(SHIM)

    first = bed.fetch()
    second = bed.fetch()

    assert bed.content(first) == SHIM
    assert (first.fetched_bytes, second.fetched_bytes) == (len(SHIM), 0)
    assert len(bed.server.requests) == 1
    assert bed.progress[-1].done_bytes == bed.progress[-1].total_bytes == len(SHIM)


def test_no_credentials_and_no_encoding_are_asked_for(bed, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    bed.replies["/shim"] = web.content(SHIM)

    bed.fetch()

    sent = bed.server.requests[0].headers
    assert sent["accept-encoding"] == "identity"
    assert not {"authorization", "cookie", "range"} & set(sent)


def test_proxy_variables_are_not_followed(bed, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    bed.replies["/shim"] = web.content(SHIM)

    assert bed.content(bed.fetch()) == SHIM


RETRIED = [
    pytest.param(web.drop, id="connection reset before a byte"),
    pytest.param(web.cut(SHIM, upto=0, reset=True), id="reset at the first byte"),
    pytest.param(web.broken(SHIM, upto=1500, reset=True), id="reset in the middle"),
    pytest.param(web.broken(SHIM, upto=len(SHIM) - 1, reset=True), id="reset at the last byte"),
    pytest.param(web.broken(SHIM, upto=1500), id="truncated, right Content-Length"),
    pytest.param(web.status(500), id="500"),
    pytest.param(web.status(503, {"Retry-After": "1"}), id="503"),
    pytest.param(web.status(429, {"Retry-After": "1"}), id="429"),
    pytest.param(web.chunked(SHIM[:-1], finish=False), id="chunks without an end"),
    pytest.param(web.garbage, id="no HTTP"),
]


@pytest.mark.parametrize("fault", RETRIED)
def test_a_passing_fault_is_waited_out(bed, fault):
    bed.replies["/shim"] = web.in_turn(fault, web.content(SHIM))

    assert bed.content(bed.fetch()) == SHIM
    assert len(bed.waits) == 1


@pytest.mark.parametrize("fault", RETRIED)
def test_a_lasting_fault_gives_up_and_leaves_nothing_that_runs(bed, fault):
    bed.replies["/shim"] = fault

    with pytest.raises(errors.FetchError, match=r"\(attempt \d"):
        bed.fetch(attempts=3, deadline_s=30)

    left = [mode for path, (mode, data) in bed.tree().items() if data is not None]
    assert all(mode & 0o777 == 0o600 for mode in left)
    assert not (bed.root / "opt/rcm/store/sha256").exists()


def test_pauses_grow_and_end_at_the_limit(bed):
    bed.replies["/shim"] = web.status(502)

    bed.refused(r"answers 502 Bad Gateway \(attempt 5\)", attempts=5, deadline_s=60)

    assert bed.waits == [0.5, 1.0, 2.0, 4.0]


def test_retry_after_is_honoured_within_the_deadline(bed):
    bed.replies["/shim"] = web.in_turn(web.status(429, {"Retry-After": "3"}), web.content(SHIM))

    bed.fetch(deadline_s=5)

    assert bed.waits == [3.0]


def test_retry_after_beyond_the_deadline_gives_up_at_once(bed):
    bed.replies["/shim"] = web.status(429, {"Retry-After": "3600"})

    bed.refused("answers 429", deadline_s=5)

    assert bed.waits == []


REFUSED = [
    pytest.param(web.status(404), "answers 404 Not Found", id="404"),
    pytest.param(web.status(403), "answers 403 Forbidden", id="403"),
    pytest.param(web.status(401), "answers 401", id="401"),
    pytest.param(web.status(204), "answers 204", id="no content"),
    pytest.param(web.status(206, body=SHIM), "answers 206", id="a part nobody asked for"),
    pytest.param(web.content(SHIM + b"x"), "brings sha256", id="wrong digest"),
    pytest.param(web.content(SHIM[:-1]), "brings sha256", id="wrong length"),
    pytest.param(web.content(b""), "brings sha256", id="empty"),
    pytest.param(
        web.content(HTML, **{"Content-Type": "text/html; charset=utf-8"}),
        "calls it an HTML page",
        id="HTML page with 200",
    ),
    pytest.param(
        web.content(gzip.compress(SHIM), **{"Content-Encoding": "gzip"}),
        "brings sha256",
        id="encoding nobody asked for",
    ),
    pytest.param(web.endless, "more than the 100000 bytes allowed", id="endless body"),
    pytest.param(
        web.status(200, {"Content-Length": "100001"}), "more than the 100000", id="too long"
    ),
]


@pytest.mark.parametrize(("reply", "words"), REFUSED)
def test_what_cannot_get_better_is_refused_at_once(bed, reply, words):
    bed.replies["/shim"] = reply

    bed.refused(words, max_bytes=100_000)

    assert bed.waits == []
    assert len(bed.server.requests) == 1


SLOW = [
    pytest.param(web.silent, id="no answer"),
    pytest.param(web.drip_head(every_s=0.01), id="slow loris in the headers"),
    pytest.param(web.drip_body(SHIM, every_s=0.01), id="slow loris in the body"),
]


@pytest.mark.parametrize("reply", SLOW)
def test_a_server_that_holds_on_is_left(bed, reply):
    bed.replies["/shim"] = reply
    begin = time.monotonic()

    with pytest.raises(errors.FetchError, match=r"bytes/s for 0\.2 s|timed out"):
        bed.fetch(stall_s=0.2, attempts=1)

    assert time.monotonic() - begin < 3


@pytest.mark.parametrize("reply", SLOW)
def test_the_deadline_ends_everything(bed, reply):
    bed.replies["/shim"] = reply
    begin = time.monotonic()

    with pytest.raises(errors.FetchError, match=r"0\.3 s are over"):
        bed.fetch(deadline_s=0.3)

    assert time.monotonic() - begin < 3


def test_a_host_that_does_not_accept_is_given_up(bed):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    bed.refused("Connection refused", location=f"http://127.0.0.1:{port}/x", attempts=2)


def test_a_name_that_does_not_resolve_is_given_up(bed, monkeypatch):
    def fail(*_):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(addresses, "look_up", fail)

    bed.refused("Name or service not known", location="http://nowhere.example/x", attempts=2)


def test_addresses_are_tried_in_turn(bed, monkeypatch):
    monkeypatch.setattr(addresses, "look_up", lambda *_: ("::1", "127.0.0.1"))
    bed.replies["/shim"] = web.content(SHIM)

    bed.fetch(location=bed.server.url("/shim", "shims.example"))

    assert bed.server.requests[0].headers["host"] == f"shims.example:{bed.server.port}"


def test_a_name_is_looked_up_once_for_each_connection(bed, monkeypatch):
    """DNS rebinding: a second look-up, after the check, would get another answer."""
    asked = []

    def rebind(host, _):
        asked.append(host)
        return ("127.0.0.1",) if len(asked) == 1 else ("127.0.0.254",)

    def fail(*_, **__):
        raise AssertionError("somebody else looks names up")

    monkeypatch.setattr(addresses, "look_up", rebind)
    monkeypatch.setattr(socket, "getaddrinfo", fail)
    bed.replies["/shim"] = web.content(SHIM)

    bed.fetch(location=bed.server.url("/shim", "shims.example"))

    assert asked == ["shims.example"]


def test_no_error_shows_the_query(bed):
    bed.replies["/shim"] = web.status(404)
    bed.replies["/gone"] = web.redirect("/shim?X-Signature=hunter2")

    error = bed.refused("404", location=bed.url("/gone?token=hunter2"))

    assert "hunter2" not in error.cause + error.advice


def test_a_failure_to_connect_shows_no_query(bed):
    bed.replies["/shim"] = web.drop

    error = bed.refused("attempt 1", location=bed.url("/shim?token=hunter2"), attempts=1)

    assert "hunter2" not in error.cause + error.advice


# --- redirects --------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed(bed, code):
    bed.replies["/shim"] = web.redirect("/there?signed=1", code)
    bed.replies["/there"] = web.content(SHIM)

    assert bed.content(bed.fetch()) == SHIM
    assert [r.target for r in bed.server.requests] == ["/shim", "/there?signed=1"]


def test_a_redirect_carries_no_cookie(bed):
    bed.replies["/shim"] = web.status(302, {"Location": "/there", "Set-Cookie": "a=b"})
    bed.replies["/there"] = web.content(SHIM)

    bed.fetch()

    assert "cookie" not in bed.server.requests[1].headers


def test_redirects_end_at_the_limit(bed):
    bed.replies["/shim"] = web.redirect("/shim")

    bed.refused("redirects more than 5 times")

    assert len(bed.server.requests) == 6


@pytest.mark.parametrize(
    ("target", "words"),
    [
        pytest.param("http://169.254.169.254/latest/meta-data/", "link-local", id="metadata"),
        pytest.param("http://127.0.0.1:1/there", "loopback", id="loopback"),
        pytest.param("http://localhost:{port}/there", "loopback", id="localhost"),
        pytest.param("http://2130706433:{port}/there", "loopback", id="loopback as a number"),
        pytest.param("http://[::ffff:127.0.0.1]:{port}/there", "mapped", id="IPv4-mapped"),
        pytest.param("http://[::1]:{port}/there", "loopback", id="IPv6 loopback"),
        pytest.param("http://0.0.0.0:{port}/there", "this host", id="any"),
        pytest.param("http://10.0.0.1/there", "private", id="private"),
        pytest.param("file:///etc/shadow", "from http to file", id="file"),
        pytest.param("ftp://ftp.example/x", "scheme 'ftp'", id="ftp"),
        pytest.param("http://me:secret@127.0.0.1/x", "password", id="credentials"),
        pytest.param("", "redirects more than 5 times", id="nowhere"),
    ],
)
def test_a_redirect_goes_to_no_forbidden_place(bed, target, words):
    """The first hop is a mirror, which the administrator allows to be private; no other hop is."""
    bed.replies["/shim"] = web.redirect(target.format(port=bed.server.port))
    original = "https://192.0.2.1/"

    error = bed.refused(
        words,
        location=original + "shim",
        mirrors=((original, bed.url("/")),),
        allow_private=False,
        attempts=1,
    )

    assert "secret" not in error.cause
    assert all(r.target == "/shim" for r in bed.server.requests)


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("127.0.0.1", "loopback"),
        ("localhost", "loopback"),
        ("[::ffff:127.0.0.1]", "mapped"),
        ("127.1", "loopback"),
    ],
)
def test_a_location_goes_to_no_private_place(bed, host, words):
    location = bed.server.url("/shim", host)

    bed.refused(words, location=location, allow_private=False)

    assert bed.server.requests == []


# --- mirrors ----------------------------------------------------------------------------------


ORIGIN = "/origin/shim"


def mirrored(bed, mirror_reply, **how):
    bed.replies["/mirror/shim"] = mirror_reply
    bed.replies[ORIGIN] = web.content(SHIM)
    mirrors = ((bed.url("/origin/"), bed.url("/mirror/")),)
    return bed.fetch(location=bed.url(ORIGIN), mirrors=mirrors, **how)


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(web.content(SHIM[:-4] + b"old!"), id="old content"),
        pytest.param(web.status(404), id="not there"),
        pytest.param(web.status(503), id="down"),
        pytest.param(web.cut(SHIM, upto=900, reset=True), id="breaks off"),
        pytest.param(web.broken(b"o" * len(SHIM), upto=100), id="breaks off, old content"),
        pytest.param(web.redirect("file:///etc/shadow"), id="leads astray"),
    ],
)
def test_a_mirror_that_fails_gives_way_to_the_original(bed, reply):
    stored = mirrored(bed, reply, deadline_s=60)

    assert bed.content(stored) == SHIM
    assert bed.server.requests[0].target == "/mirror/shim"


def test_a_good_mirror_spares_the_original(bed):
    mirrored(bed, web.content(SHIM))

    assert [r.target for r in bed.server.requests] == ["/mirror/shim"]


def test_when_all_fail_both_are_told(bed):
    bed.replies["/shim"] = web.status(404)
    bed.replies["/m/shim"] = web.status(403)

    bed.refused("404 Not Found; mirror: .*403", mirrors=((bed.url("/"), bed.url("/m/")),))


def test_a_mirror_over_http_needs_a_digest(bed):
    bed.refused(
        "Connection refused.*http and there is no sha256",
        data=None,
        trust=True,
        location="https://127.0.0.1:1/shim",
        mirrors=(("https://127.0.0.1:1/", bed.url("/")),),
        attempts=1,
    )

    assert bed.server.requests == []


def test_a_directory_of_the_host_may_be_a_mirror(bed):
    (bed.root / "srv").mkdir()
    (bed.root / "srv/shim").write_bytes(SHIM)

    stored = bed.fetch(mirrors=((bed.url("/"), "file:///srv/"),))

    assert bed.content(stored) == SHIM
    assert bed.server.requests == []


def test_a_directory_without_the_file_gives_way(bed):
    bed.replies["/shim"] = web.content(SHIM)

    assert bed.content(bed.fetch(mirrors=((bed.url("/"), "file:///srv/"),))) == SHIM
