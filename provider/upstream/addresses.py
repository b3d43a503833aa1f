"""A host name in, the addresses to connect to out, every one of them passed by the address guard.

The system's resolver decides, hosts file and numeric forms such as 0x7f000001 included.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain, zip_longest

from provider.errors import UnsafeAddress, UpstreamUnreachable
from provider.upstream.address_guard import check_address

# (family, socket address), as `getaddrinfo` gives them.
Address = tuple[int, tuple[object, ...]]
Resolver = Callable[[str, int], Awaitable[Sequence[Address]]]

_FOR_NOW = (socket.EAI_AGAIN, socket.EAI_MEMORY, socket.EAI_SYSTEM)


async def system_resolver(host: str, port: int) -> Sequence[Address]:
    """Addresses of `host` in the system's order of preference (RFC 6724). Raises socket.gaierror."""
    name = host.encode("ascii")
    try:
        # Numbers need no lookup, hence no thread.
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        found = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


async def resolve_checked(
    host: str, port: int, *, allow_private: bool, resolver: Resolver = system_resolver
) -> list[Address]:
    """Addresses of a host without duplicates, families taking turns (RFC 8305 section 4).

    One address that may not be connected to refuses them all: a name that mixes both is an attack or a mistake.

    Raises:
        UnsafeAddress: a refused address, or no such name.
        UpstreamUnreachable: the resolver cannot tell at the moment.
    """
    try:
        found = list(dict.fromkeys(await resolver(host, port)))
    except socket.gaierror as exc:
        if exc.errno in _FOR_NOW:
            raise UpstreamUnreachable(detail="origin: name resolution failed for now") from exc
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
