"""Finds the client that a connection or request counts for (pure).

A forwarded address is believed only if a trusted proxy reports it, and only back to the first hop that is not trusted.
"""

import ipaddress
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from provider.admission.config import AdmissionConfig
from provider.wire.text import ows

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Client = bytes
"""An IPv4 address (4 bytes), or the /64 of an IPv6 address (8 bytes), which one customer gets (RFC 6177)."""

# Chains of proxies are short; more hops than this are made up.
MAX_HOPS = 16
_MAX_ADDRESS_CHARS = 64
_REMEMBERED = 8192
_IPV6_PREFIX_BYTES = 8


class _AddressStatus(NamedTuple):
    """The facts about one address. `client` is None if limits do not count for it."""

    trusted: bool
    client: Client | None


class Clients:
    """Identifies the client of a request; None if no limit counts for it.

    Limits do not count for trusted proxies themselves and, unless `limit_private_clients`, for addresses that are not
    public. Such an address may be a proxy that nobody listed, with everybody behind it.
    """

    def __init__(self, config: AdmissionConfig) -> None:
        # Only this header is read. The proxy passes on the other one as the client wrote it.
        self._header = config.client_address_header
        self._trusted = config.trusted_proxies
        self._hops = _forwarded_hops if self._header == "Forwarded" else _plain_hops
        self._limit_private = config.limit_private_clients
        # Most requests come from few addresses; parsing one costs as much as all the rest.
        self._status = lru_cache(maxsize=_REMEMBERED)(self._judge)

    def of_peer(self, peer: str) -> Client | None:
        """Return the client of a connection from `peer`, whatever its requests say."""
        status = self._status(peer)
        return None if status is None or status.trusted else status.client

    def of_request(self, peer: str, headers: Mapping[str, str]) -> Client | None:
        """Return the client of a request on a connection from `peer`."""
        status = self._status(peer)
        if status is None or not status.trusted:
            return None if status is None else status.client
        return self._behind(headers.get(self._header) or "")

    def _behind(self, value: str) -> Client | None:
        """Walk from the right: each trusted proxy vouches for the one hop before it."""
        for text in self._hops(value):
            status = self._status(text) if len(text) <= _MAX_ADDRESS_CHARS else None
            if status is None:
                return None
            if not status.trusted:
                return status.client
        return None

    def _judge(self, text: str) -> _AddressStatus | None:
        address = parse_address(text)
        if address is None:
            return None
        if any(address.version == network.version and address in network for network in self._trusted):
            return _AddressStatus(True, None)
        if not self._limit_private and not address.is_global:
            return _AddressStatus(False, None)
        return _AddressStatus(False, address.packed if address.version == 4 else address.packed[:_IPV6_PREFIX_BYTES])


def parse_address(text: str) -> Address | None:
    """Parse an address as proxies write it: bare, with a port, in brackets or in quotes. None for anything else.

    IPv4 in IPv6 (`::ffff:192.0.2.1`, as a dual-stack listener sees it) counts as IPv4.
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
    """Yield the last elements of a list. Proxies do not put quoted commas into their own elements."""
    if value:
        yield from reversed(value.rsplit(",", MAX_HOPS)[-MAX_HOPS:])


def _plain_hops(value: str) -> Iterator[str]:
    """Read X-Forwarded-For."""
    return (ows(element) for element in _from_the_right(value))


def _forwarded_hops(value: str) -> Iterator[str]:
    """Read the `for` of each element (RFC 7239 section 4); empty where it is missing."""
    for element in _from_the_right(value):
        pairs = (pair.partition("=") for pair in element.split(";"))
        yield next((ows(node) for name, _, node in pairs if ows(name).lower() == "for"), "")
