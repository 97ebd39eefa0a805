"""The decisions of a download that need no network: addresses, mirrors, pauses, limits."""

from __future__ import annotations

import ipaddress
import socket

import pytest

from rcm_agent import errors
from rcm_agent.host import addresses, limits, locations, retries, terms

# --- addresses --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0.0.0.0", "this host"),  # noqa: S104 - an address to refuse
        ("0.1.2.3", "this host"),
        ("10.1.2.3", "private"),
        ("100.64.0.1", "carrier-grade NAT"),
        ("100.100.100.200", "carrier-grade NAT"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("168.63.129.16", "Azure's host endpoint"),
        ("169.254.169.254", "link-local"),
        ("172.16.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.0.0.192", "reserved"),
        ("192.168.1.1", "private"),
        ("198.18.0.1", "benchmarking"),
        ("203.0.113.7", "documentation"),
        ("224.0.0.1", "multicast"),
        ("255.255.255.255", "reserved"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("::127.0.0.1", "reserved"),
        ("::ffff:127.0.0.1", "IPv4-mapped"),
        ("::ffff:140.82.112.3", "IPv4-mapped"),
        ("64:ff9b::7f00:1", "NAT64 of loopback"),
        ("64:ff9b::a9fe:a9fe", "NAT64 of link-local"),
        ("64:ff9b:1::8c52:7003", "local NAT64"),
        ("100::1", "reserved"),
        ("2001::1", "reserved"),
        ("2001:db8::1", "documentation"),
        ("2002:7f00:1::", "6to4"),
        ("fc00::1", "unique local"),
        ("fd00:ec2::254", "unique local"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("2606:50c0::1%eth0", "link-local"),
        ("fec0::1", "site-local"),
        ("ff02::1", "multicast"),
    ],
)
def test_an_address_that_is_not_public_is_refused(text, why):
    assert addresses.why_refused(ipaddress.ip_address(text)) == why


@pytest.mark.parametrize(
    "text",
    ["140.82.112.3", "172.32.0.1", "100.128.0.1", "2606:50c0:8000::154", "64:ff9b::8c52:7003"],
)
def test_a_public_address_is_fine(text):
    assert addresses.why_refused(ipaddress.ip_address(text)) is None


def test_one_private_address_among_public_ones_spoils_all(monkeypatch):
    monkeypatch.setattr(addresses, "look_up", lambda *_: ("140.82.112.3", "10.0.0.1"))

    with pytest.raises(addresses.Refused, match=r"10\.0\.0\.1"):
        addresses.resolve("h", 443, allow_private=False)
    assert addresses.resolve("h", 443, allow_private=True) == ("140.82.112.3", "10.0.0.1")


def test_the_system_is_asked_for_stream_addresses_each_once():
    assert addresses.look_up("127.0.0.1", 80) == ("127.0.0.1",)
    with pytest.raises(socket.gaierror):
        addresses.look_up("256.256.256.256", 80)


# --- mirrors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mirrors", "found"),
    [
        pytest.param((), [], id="none"),
        pytest.param(
            (("https://github.com/", "https://m/gh/"),), ["https://m/gh/a/b?c=1"], id="one"
        ),
        pytest.param((("https://other/", "https://m/"),), [], id="another prefix"),
        pytest.param(
            (("https://github.com/", "https://m/"), ("https://", "http://all/")),
            ["https://m/a/b?c=1", "http://all/github.com/a/b?c=1"],
            id="in order",
        ),
        pytest.param(
            (("https://github.com/", "file:///srv/m/"),), ["file:///srv/m/a/b"], id="directory"
        ),
    ],
)
def test_mirrors_replace_a_prefix(mirrors, found):
    location = locations.parse("https://github.com/a/b?c=1")

    assert [place.url for place in locations.mirrored(location, mirrors)] == found


@pytest.mark.parametrize(
    "location",
    ["https://github.com.evil.example/x", "https://github.com:444/x", "https://github.com@evil/x"],
)
def test_a_mirror_never_turns_into_another_host(location):
    mirrors = (("https://github.com", "https://mirror.example"),)
    try:
        found = locations.mirrored(locations.parse(location), mirrors)
    except errors.FetchError:
        return

    assert found == ()


# --- pauses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failures", "jitter", "asked", "pause"),
    [
        (1, 0.0, None, 0.25),
        (1, 1.0, None, 0.5),
        (3, 1.0, None, 2.0),
        (20, 1.0, None, 30.0),
        (1, 1.0, 7.0, 7.0),
        (20, 1.0, 1.0, 30.0),
        (5000, 1.0, None, 30.0),
    ],
)
def test_pauses(failures, jitter, asked, pause):
    assert retries.pause_s(failures, jitter=jitter, asked_s=asked) == pause


DATE = "Sun, 22 Nov 2026 17:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "3"}, 3.0),
        ({"Retry-After": " 0 "}, 0.0),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "9" * 400}, 999999999.0),
        ({"Retry-After": "Sun, 22 Nov 2026 17:00:09 GMT", "Date": DATE}, 9.0),
        ({"Retry-After": "Sun, 22 Nov 2026 16:00:00 GMT", "Date": DATE}, 0.0),
        ({"Retry-After": "Sun, 22 Nov 2026 17:00:09 GMT"}, None),
    ],
)
def test_retry_after(headers, seconds):
    assert retries.asked_s(headers) == seconds


# --- limits -----------------------------------------------------------------------------------


@pytest.fixture
def clock():
    return [100.0]


@pytest.fixture
def kept(clock):
    policy = terms.Policy(deadline_s=60, stall_s=10)
    timing = terms.Timing(clock=lambda: clock[0], wait=lambda _: None, jitter=lambda: 0.0)
    return limits.Limits(policy, timing)


def test_a_read_may_block_until_the_window_ends(clock, kept):
    assert kept.next_timeout_s() == 10
    clock[0] += 4
    assert kept.next_timeout_s() == 6


def test_a_slow_stream_ends_with_its_window(clock, kept):
    kept.note(10 * limits.MIN_BYTES_PER_S - 1)
    clock[0] += 10

    with pytest.raises(TimeoutError, match="bytes/s"):
        kept.next_timeout_s()


def test_a_stream_that_is_fast_enough_goes_on(clock, kept):
    for _ in range(5):
        kept.note(10 * limits.MIN_BYTES_PER_S)
        clock[0] += 10
        assert kept.next_timeout_s() > 0


def test_the_deadline_is_the_end_however_fast(clock, kept):
    kept.note(10**9)
    clock[0] += 60

    assert kept.remaining_s() == 0
    with pytest.raises(TimeoutError, match="deadline"):
        kept.next_timeout_s()
