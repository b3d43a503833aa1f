"""Resolves names that the operator configured, by the system's resolver, apart from strangers' names."""

import asyncio
import math
import socket
from functools import partial
from typing import Any

from provider.cache import FactCache
from provider.outgoing.own_thread import run_in_own_thread

Address = tuple[int, tuple[Any, ...]]
"""Family and socket address, as returned by `getaddrinfo`."""

# How long to wait for the system's resolver if an earlier answer is known.
_PATIENCE_SECONDS = 1.0
# Names from settings, and hosts that a metadata store redirects to.
_MAX_KEPT = 256
_NO_SUCH_NAME = (socket.EAI_NONAME, socket.EAI_NODATA)


class OperatorNames:
    """The system's resolver, with the last good answer of each name kept for times when DNS fails.

    Each name is looked up in a thread of its own, shared by all callers. So a name whose servers are silent delays no
    other name. The kept answer is used if DNS fails or takes longer than a second. It is dropped if DNS says that the
    name does not exist.
    """

    def __init__(self) -> None:
        self._kept: FactCache[str, list[Address]] = FactCache(
            name="operator_names", max_entries=_MAX_KEPT, ttl_seconds=math.inf
        )
        self._running: dict[str, asyncio.Future[list[Address]]] = {}

    async def __call__(self, host: str, port: int) -> list[Address]:
        """Addresses of `host` in the system's order of preference. Raises socket.gaierror."""
        return [(family, (address[0], port, *address[2:])) for family, address in await self._addresses(host)]

    async def _addresses(self, host: str) -> list[Address]:
        try:
            # This flag forbids a lookup, so the call does not block.
            return _system_addresses(host, socket.AI_NUMERICHOST)
        except socket.gaierror:
            pass
        running = self._running.get(host) or self._start(host)
        kept = self._kept.peek(host)
        # asyncio.wait leaves the lookup running if this caller is cancelled.
        await asyncio.wait([running], timeout=None if kept is None else _PATIENCE_SECONDS)
        if kept is not None and (not running.done() or _failed_for_now(running)):
            return kept
        return running.result()

    def _start(self, host: str) -> "asyncio.Future[list[Address]]":
        running = self._running[host] = run_in_own_thread(partial(_system_addresses, host), name="operator-name")
        # Runs before any waiting caller is woken.
        running.add_done_callback(partial(self._note, host))
        return running

    def _note(self, host: str, running: "asyncio.Future[list[Address]]") -> None:
        del self._running[host]
        error = running.exception()
        if error is None:
            self._kept.put(host, running.result())
        elif not _failed_for_now(running):
            self._kept.discard(host)


def _system_addresses(host: str, flags: int = 0) -> list[Address]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=flags)
    return [(family, address) for family, _, _, _, address in found]


def _failed_for_now(lookup: "asyncio.Future[list[Address]]") -> bool:
    error = lookup.exception()
    return error is not None and not (isinstance(error, socket.gaierror) and error.errno in _NO_SUCH_NAME)
