"""From a connection and its request to the client whom limits are counted for (pure).

A forwarded address is believed only when a trusted proxy tells it, and only as far as trusted proxies go.
"""

import ipaddress
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from provider.admission.config import AdmissionConfig
from provider.wire.text import ows

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Client = bytes
"""An IPv4 address (4 bytes), or the /64 of an IPv6 address (8 bytes): what one customer gets (RFC 6177)."""

# Chains of proxies are short; whoever sends more hops made them up.
MAX_HOPS = 16
_MAX_ADDRESS_CHARS = 64
_REMEMBERED = 8192
_IPV6_PREFIX_BYTES = 8


class _Standing(NamedTuple):
    """What is known of one address. `client` is None when limits are not counted for it."""

    trusted: bool
    client: Client | None


class Clients:
    """Tells the client of a request; None for one that no limit is counted for.

    Not counted are trusted proxies themselves and, unless `limit_private_clients`, addresses that are not public:
    behind one of those may stand a proxy that nobody listed, with everybody behind it.
    """

    def __init__(self, config: AdmissionConfig) -> None:
        # Only this header is read: the other one is whatever the client wrote, as its proxy leaves it alone.
        self._header = config.client_address_header
        self._trusted = config.trusted_proxies
        self._hops = _forwarded_hops if self._header == "Forwarded" else _plain_hops
        self._limit_private = config.limit_private_clients
        # Most requests come from few addresses; parsing one costs as much as all the rest.
        self._standing = lru_cache(maxsize=_REMEMBERED)(self._judge)

    def of_peer(self, peer: str) -> Client | None:
        """The client of a connection from `peer`, whatever its requests say."""
        standing = self._standing(peer)
        return None if standing is None or standing.trusted else standing.client

    def of_request(self, peer: str, headers: Mapping[str, str]) -> Client | None:
        """The client of a request on a connection from `peer`."""
        standing = self._standing(peer)
        if standing is None or not standing.trusted:
            return None if standing is None else standing.client
        return self._behind(headers.get(self._header) or "")

    def _behind(self, value: str) -> Client | None:
        """Walk from the right: each trusted proxy vouches for the one hop before it."""
        for text in self._hops(value):
            standing = self._standing(text) if len(text) <= _MAX_ADDRESS_CHARS else None
            if standing is None:
                return None
            if not standing.trusted:
                return standing.client
        return None

    def _judge(self, text: str) -> _Standing | None:
        address = parse_address(text)
        if address is None:
            return None
        if any(address.version == network.version and address in network for network in self._trusted):
            return _Standing(True, None)
        if not self._limit_private and not address.is_global:
            return _Standing(False, None)
        return _Standing(False, address.packed if address.version == 4 else address.packed[:_IPV6_PREFIX_BYTES])


def parse_address(text: str) -> Address | None:
    """An address as proxies write it: bare, with a port, in brackets, in quotes; None for anything else.

    IPv4 in IPv6 (`::ffff:192.0.2.1`, as a listener for both sees it) is IPv4.
    """
    text = ows(text).strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _from_the_right(value: str) -> Iterator[str]:
    """The last elements of a list. Commas in quotes are none to proxies' own elements, and others do not matter."""
    if value:
        yield from reversed(value.rsplit(",", MAX_HOPS)[-MAX_HOPS:])


def _plain_hops(value: str) -> Iterator[str]:
    """X-Forwarded-For."""
    return (ows(element) for element in _from_the_right(value))


def _forwarded_hops(value: str) -> Iterator[str]:
    """The `for` of each element (RFC 7239 section 4); empty where there is none."""
    for element in _from_the_right(value):
        pairs = (pair.partition("=") for pair in element.split(";"))
        yield next((ows(node) for name, _, node in pairs if ows(name).lower() == "for"), "")
