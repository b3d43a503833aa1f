"""A host name in, the addresses to connect to out, every one of them passed by the address guard."""

import socket
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain, zip_longest

from provider.errors import NameUnanswered, UnsafeAddress
from provider.upstream.address_guard import check_address
from provider.upstream.names import Address

Resolver = Callable[[str, int], Awaitable[Sequence[Address]]]
"""Addresses of a host in order of preference. Raises socket.gaierror and OriginsBusy, as `names.Names`."""

_FOR_NOW = (socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_MEMORY, socket.EAI_SYSTEM)


async def resolve_checked(host: str, port: int, *, allow_private: bool, resolver: Resolver) -> list[Address]:
    """Addresses of a host without duplicates, families taking turns (RFC 8305 section 4).

    One address that may not be connected to refuses them all: a name that mixes both is an attack or a mistake.

    Raises:
        UnsafeAddress: a refused address, or no such name.
        NameUnanswered: no name server gave a usable answer.
        OriginsBusy: too many look-ups are under way.
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
