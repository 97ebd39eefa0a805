"""Which addresses a download may connect to, and finding those of a host.

Called by `dial` for the very connection it makes: the addresses returned here are the ones it
connects to, so a name that resolves differently the next moment changes nothing.

The tables are ours, not `ipaddress.is_global`, whose answers changed between 3.11.8 and 3.11.10
(CVE-2024-4032). Source: the IANA special-purpose registries, and what clouds answer on.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_V4 = {
    "0.0.0.0/8": "this host",
    "10.0.0.0/8": "private",
    "100.64.0.0/10": "carrier-grade NAT",
    "127.0.0.0/8": "loopback",
    "168.63.129.16/32": "Azure's host endpoint",
    "169.254.0.0/16": "link-local",
    "172.16.0.0/12": "private",
    "192.0.0.0/24": "reserved",
    "192.0.2.0/24": "documentation",
    "192.88.99.0/24": "6to4 relay",
    "192.168.0.0/16": "private",
    "198.18.0.0/15": "benchmarking",
    "198.51.100.0/24": "documentation",
    "203.0.113.0/24": "documentation",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved",
}
_V6 = {
    "::/128": "unspecified",
    "::1/128": "loopback",
    "::ffff:0:0/96": "IPv4-mapped",
    "64:ff9b:1::/48": "local NAT64",
    "2001::/23": "reserved",
    "2001:db8::/32": "documentation",
    "2002::/16": "6to4",
    "3fff::/20": "documentation",
    "fc00::/7": "unique local",
    "fe80::/10": "link-local",
    "fec0::/10": "site-local",
    "ff00::/8": "multicast",
}
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""RFC 6052. Nodes with IPv6 alone reach GitHub through it, so the IPv4 inside is judged."""
_UNICAST = ipaddress.IPv6Network("2000::/3")

_FOUR = tuple((ipaddress.IPv4Network(net), why) for net, why in _V4.items())
_SIX = tuple((ipaddress.IPv6Network(net), why) for net, why in _V6.items())


@dataclass(frozen=True, slots=True)
class Refused(Exception):  # noqa: N818 - never leaves `rcm_agent.host`
    """A host has an address that is not public."""

    address: str
    why: str


def why_refused(address: Address) -> str | None:
    """Say why an address is not a public one, None when it is."""
    if isinstance(address, ipaddress.IPv4Address):
        return next((why for net, why in _FOUR if address in net), None)
    if address in _NAT64:
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        why = why_refused(inner)
        return None if why is None else f"NAT64 of {why}"
    if address.scope_id is not None:
        return "link-local"
    named = next((why for net, why in _SIX if address in net), None)
    return named if named is not None or address in _UNICAST else "reserved"


def resolve(host: str, port: int, *, allow_private: bool) -> tuple[str, ...]:
    """Return every address of `host`, all of them fit to connect to.

    Raises:
        Refused: one of them is not public; then none is used.
        OSError: the name cannot be resolved.
    """
    found = look_up(host, port)
    for text in found:
        why = why_refused(ipaddress.ip_address(text))
        if why is not None and not allow_private:
            raise Refused(text, why)
    return found


def look_up(host: str, port: int) -> tuple[str, ...]:
    """Ask the system's resolver; addresses in its order, each once."""
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(answer[4][0]) for answer in answers))
