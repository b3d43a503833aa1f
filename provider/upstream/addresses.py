"""The address guard: a host name in, the addresses to connect to out, or the reason to refuse them.

Only globally routable unicast addresses are allowed (`provider-api.md` section 12). `names.py` does the lookup.
"""

import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from itertools import chain, zip_longest

from provider.errors import NameUnanswered, UnsafeAddress
from provider.upstream.names import Address

_REFUSED_V4 = tuple(
    (IPv4Network(network), reason)
    for network, reason in (
        ("0.0.0.0/8", "this network (RFC 1122 section 3.2.1.3)"),
        ("10.0.0.0/8", "private use (RFC 1918)"),
        ("100.64.0.0/10", "shared address space of carriers (RFC 6598)"),
        ("127.0.0.0/8", "loopback (RFC 1122 section 3.2.1.3)"),
        # Not in an RFC: the host of every Azure machine answers here and reveals the machine's secrets.
        ("168.63.129.16/32", "Azure platform address (Microsoft, What is IP address 168.63.129.16)"),
        ("169.254.0.0/16", "link-local (RFC 3927)"),
        ("172.16.0.0/12", "private use (RFC 1918)"),
        ("192.0.0.0/24", "IETF protocol assignments (RFC 6890 section 2.1)"),
        ("192.0.2.0/24", "documentation (RFC 5737)"),
        ("192.88.99.0/24", "deprecated 6to4 relay anycast (RFC 7526)"),
        ("192.168.0.0/16", "private use (RFC 1918)"),
        ("198.18.0.0/15", "benchmarking (RFC 2544)"),
        ("198.51.100.0/24", "documentation (RFC 5737)"),
        ("203.0.113.0/24", "documentation (RFC 5737)"),
        ("224.0.0.0/4", "multicast (RFC 5771)"),
        ("255.255.255.255/32", "limited broadcast (RFC 919)"),
        ("240.0.0.0/4", "reserved (RFC 1112 section 4)"),
    )
)

_REFUSED_V6 = tuple(
    (IPv6Network(network), reason)
    for network, reason in (
        ("::/128", "unspecified (RFC 4291 section 2.5.2)"),
        ("::1/128", "loopback (RFC 4291 section 2.5.3)"),
        ("::/96", "IPv4-compatible, deprecated (RFC 4291 section 2.5.5.1)"),
        # The operator of a local NAT64 chooses the position of the IPv4 address, so it cannot be extracted and checked.
        ("64:ff9b:1::/48", "local-use NAT64 (RFC 8215)"),
        ("100::/64", "discard-only (RFC 6666)"),
        ("2001::/23", "IETF protocol assignments (RFC 2928)"),
        ("2001:db8::/32", "documentation (RFC 3849)"),
        ("3fff::/20", "documentation (RFC 9637)"),
        ("3ffe::/16", "returned 6bone space (RFC 3701)"),
        ("5f00::/16", "SRv6 segment identifiers (RFC 9602)"),
        ("fc00::/7", "unique local (RFC 4193)"),
        ("fe80::/10", "link-local (RFC 4291 section 2.5.6)"),
        ("fec0::/10", "site-local, deprecated (RFC 3879)"),
        ("ff00::/8", "multicast (RFC 4291 section 2.7)"),
    )
)

# RFC 4291 section 2.4 and the IANA registry: all global unicast addresses assigned so far.
_GLOBAL_UNICAST_V6 = IPv6Network("2000::/3")
_MAPPED = IPv6Network("::ffff:0:0/96")  # RFC 4291 section 2.5.5.2
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052 section 2.1
_SIX_TO_FOUR = IPv6Network("2002::/16")  # RFC 3056
_TEREDO = IPv6Network("2001::/32")  # RFC 4380 section 4


def check_address(text: str) -> str | None:
    """Reason to refuse a connection to this IPv4 or IPv6 address; None if it is allowed.

    An address that embeds an IPv4 address is judged by that address, since a translator would route there.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return "not an address"
    if isinstance(address, IPv4Address):
        return _check_v4(address)
    if address.scope_id is not None:
        return "scoped to one link (RFC 4007 section 6)"
    return _check_v6(address)


def _check_v4(address: IPv4Address) -> str | None:
    return next((reason for network, reason in _REFUSED_V4 if address in network), None)


def _check_v6(address: IPv6Address) -> str | None:
    inside = _embedded_v4(address)
    if inside:
        return next((reason for reason in map(_check_v4, inside) if reason is not None), None)
    for network, reason in _REFUSED_V6:
        if address in network:
            return reason
    return None if address in _GLOBAL_UNICAST_V6 else "not global unicast (RFC 4291 section 2.4)"


def _embedded_v4(address: IPv6Address) -> tuple[IPv4Address, ...]:
    """IPv4 addresses that receive packets sent to this address; empty for a plain IPv6 address."""
    bits = int(address)
    if address in _MAPPED or address in _NAT64:
        return (IPv4Address(bits & 0xFFFFFFFF),)
    if address in _SIX_TO_FOUR:
        return (IPv4Address(bits >> 80 & 0xFFFFFFFF),)
    if address in _TEREDO:
        # The server is in clear; the client is inverted bit by bit (RFC 4380 section 4).
        return (IPv4Address(bits >> 64 & 0xFFFFFFFF), IPv4Address(~bits & 0xFFFFFFFF))
    return ()


Resolver = Callable[[str, int], Awaitable[Sequence[Address]]]
"""Addresses of a host in order of preference. Raises socket.gaierror and OriginsBusy, like `names.Names`."""

_FOR_NOW = (socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_MEMORY, socket.EAI_SYSTEM)


async def resolve_checked(host: str, port: int, *, allow_private: bool, resolver: Resolver) -> list[Address]:
    """Addresses of a host without duplicates, alternating between families (RFC 8305 section 4).

    One refused address refuses them all: a name that mixes both kinds is an attack or a mistake.

    Raises:
        UnsafeAddress: an address is refused, or the name does not exist.
        NameUnanswered: no name server gave a usable answer.
        OriginsBusy: too many lookups are in progress.
    """
    try:
        found = list(dict.fromkeys(await resolver(host, port)))
    except socket.gaierror as exc:
        if exc.errno in _FOR_NOW:
            raise NameUnanswered(detail=f"origin: {exc.strerror}") from exc
        raise UnsafeAddress(detail="origin: name does not resolve") from exc
    except (OSError, UnicodeError) as exc:
        raise UnsafeAddress(detail="origin: name does not resolve") from exc
    if not found:
        raise UnsafeAddress(detail="origin: name has no address")
    if not allow_private:
        for _, address in found:
            reason = check_address(str(address[0]))
            if reason is not None:
                raise UnsafeAddress(detail=f"origin: address refused: {reason}")
    first = [entry for entry in found if entry[0] == found[0][0]]
    other = [entry for entry in found if entry[0] != found[0][0]]
    return [entry for entry in chain.from_iterable(zip_longest(first, other)) if entry is not None]
