"""A fetch over TLS: certificates, redirects between schemes, first use without a digest."""

from __future__ import annotations

import socket
import time

import pytest

from rcm_agent.host import addresses
from tests.fakes import web
from tests.host import beds

SHIM = beds.SHIM


@pytest.fixture
def bed(tmp_path):
    with beds.opened(tmp_path) as made:
        yield made


@pytest.fixture
def authority(tmp_path):
    return web.authority(tmp_path)


@pytest.fixture
def serve():
    """Start TLS servers that end with the test."""
    servers = []

    def start(replies, context):
        servers.append(web.Server(replies, context))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def test_a_certificate_of_the_ca_file_is_trusted(bed, authority, serve):
    server = serve({"/shim": web.content(SHIM)}, authority.context())

    stored = bed.fetch(location=server.url("/shim"), ca_file=authority.file)

    assert bed.content(stored) == SHIM


def test_the_name_is_checked_though_the_address_is_pinned(bed, authority, serve, monkeypatch):
    monkeypatch.setattr(addresses, "look_up", lambda *_: ("127.0.0.1",))
    server = serve({"/shim": web.content(SHIM)}, authority.context("shims.example"))

    stored = bed.fetch(location=server.url("/shim", "shims.example"), ca_file=authority.file)

    assert bed.content(stored) == SHIM
    bed.refused(
        "certificate: Hostname mismatch",
        sha="0" * 64,
        location=server.url("/shim", "other.example"),
        ca_file=authority.file,
    )


@pytest.mark.parametrize(
    ("days", "words"),
    [
        pytest.param(-1, "certificate: certificate has expired", id="expired"),
        pytest.param(1, "certificate: unable to get local issuer", id="unknown authority"),
    ],
)
def test_a_wrong_certificate_is_refused_at_once(bed, authority, serve, *, days, words):
    server = serve({"/shim": web.content(SHIM)}, authority.context(days=days))

    bed.refused(words, location=server.url("/shim"), ca_file=None if days > 0 else authority.file)

    assert bed.waits == []
    assert server.requests == []


def test_a_self_signed_certificate_is_refused(bed, authority, serve, tmp_path):
    (tmp_path / "other").mkdir()
    stranger = web.authority(tmp_path / "other")
    server = serve({}, stranger.context())

    bed.refused("certificate: ", location=server.url("/shim"), ca_file=authority.file)


@pytest.mark.parametrize("content", [None, b"no PEM"])
def test_an_unusable_ca_file_is_told(bed, tmp_path, content):
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)

    bed.refused("cannot read the CA file", location="https://127.0.0.1:1/x", ca_file=str(file))


def test_a_server_that_does_not_finish_the_handshake_is_left(bed):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        begin = time.monotonic()
        location = f"https://127.0.0.1:{mute.getsockname()[1]}/x"

        bed.refused("timed out", location=location, connect_s=0.2, attempts=1)

    assert time.monotonic() - begin < 3


@pytest.mark.parametrize("limit", [{"stall_s": 0.2, "attempts": 1}, {"deadline_s": 0.3}])
def test_a_slow_body_over_tls_is_left(bed, authority, serve, limit):
    server = serve({"/shim": web.drip_body(SHIM, every_s=0.01)}, authority.context())
    begin = time.monotonic()

    with pytest.raises(beds.errors.FetchError):
        bed.fetch(location=server.url("/shim"), ca_file=authority.file, **limit)

    assert time.monotonic() - begin < 3


def test_https_never_goes_down_to_http(bed, authority, serve):
    bed.replies["/shim"] = web.content(SHIM)
    server = serve({"/shim": web.redirect(bed.url())}, authority.context())

    bed.refused("from https to http", location=server.url("/shim"), ca_file=authority.file)

    assert bed.server.requests == []


def test_http_may_go_up_to_https(bed, authority, serve):
    server = serve({"/shim": web.content(SHIM)}, authority.context())
    bed.replies["/shim"] = web.redirect(server.url("/shim"))

    assert bed.content(bed.fetch(ca_file=authority.file)) == SHIM


# --- without a digest -------------------------------------------------------------------------


def test_without_digest_nothing_is_fetched_unless_trusted(bed, authority, serve):
    server = serve({"/shim": web.content(SHIM)}, authority.context())

    error = bed.refused("gives no sha256", sha=None, location=server.url("/shim"))

    assert "--trust-on-first-use" in error.advice
    assert server.requests == []


def test_first_use_finds_the_digest(bed, authority, serve):
    server = serve({"/shim": web.content(SHIM)}, authority.context())

    stored = bed.fetch(sha=None, trust=True, location=server.url("/shim"), ca_file=authority.file)

    assert stored.digest == beds.sha256(SHIM)
    assert bed.content(stored) == SHIM


def test_a_second_first_use_of_the_same_bytes_writes_nothing(bed, authority, serve):
    server = serve({"/shim": web.content(SHIM)}, authority.context())
    how = {"sha": None, "trust": True, "location": server.url("/shim"), "ca_file": authority.file}
    bed.fetch(**how)
    before = bed.tree()

    again = bed.fetch(**how)

    assert again.fetched_bytes == len(SHIM)
    assert bed.tree() == before


def test_http_without_digest_is_refused_even_when_trusted(bed):
    bed.refused("http:// and no sha256", sha=None, trust=True)

    assert bed.server.requests == []


def test_a_page_on_first_use_is_recognised(bed, authority, serve):
    page = b"\n<!DOCTYPE html><title>Log in</title>"
    server = serve({"/shim": web.content(page)}, authority.context())

    bed.refused(
        "its content is an HTML page",
        sha=None,
        trust=True,
        location=server.url("/shim"),
        ca_file=authority.file,
    )
