"""Resolves host names that strangers choose, by c-ares on the event loop.

Each lookup has its own c-ares channel and shares no thread, queue, cache or socket with any other. It is cancelled
when the last request that waits for it leaves. A channel takes about 11 KiB, one socket and 0.2 ms.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from functools import partial

import pycares

from provider.cache import FactCache
from provider.upstream.shares import Client, Shares, asking_client

# (family, socket address), as returned by `getaddrinfo`.
Address = tuple[int, tuple[object, ...]]
# c-ares asks a silent name server again after this time, then after twice as long, and so on.
_FIRST_TRY_SECONDS = 1.0
_FIRST_TRY_SHARE = 0.25
_TRIES = 6
# If a client uses all its lookups, a new one waits this share of the timeout. The connect limit covers it too.
_WAIT_SHARE = 0.125
_SILENT_SECONDS = 30.0
_SILENT_ENTRIES = 4096
_SHORTEST_WAIT_SECONDS = 0.005
_NO_SUCH_NAME = frozenset(
    {
        pycares.errno.ARES_ENODATA,
        pycares.errno.ARES_ENOTFOUND,
        pycares.errno.ARES_EBADNAME,
        pycares.errno.ARES_ENONAME,
    }
)


class Names:
    """A `Resolver` on the system's hosts file and name servers, or on the given name servers.

    A name without an answer within `timeout_seconds` fails at once for the next 30 s. Requests of one client that need
    the same name share a lookup. Requests of different clients never wait for each other.
    """

    def __init__(
        self,
        *,
        servers: Sequence[str] = (),
        timeout_seconds: float = 4.0,
        max_lookups: int = 512,
        max_lookups_per_client: int = 64,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._servers = tuple(servers)
        self._timeout_seconds = timeout_seconds
        self._first_try_seconds = min(_FIRST_TRY_SECONDS, timeout_seconds * _FIRST_TRY_SHARE)
        self._shares = Shares(
            total=max_lookups, per_client=max_lookups_per_client, wait_seconds=timeout_seconds * _WAIT_SHARE
        )
        self._lookups: FactCache[tuple[Client | None, str], list[Address]] = FactCache(
            name="names", max_entries=0, ttl_seconds=0
        )
        self._silent: FactCache[str, bool] = FactCache(
            name="silent_names", max_entries=_SILENT_ENTRIES, ttl_seconds=_SILENT_SECONDS, clock=clock
        )

    @property
    def lookups(self) -> int:
        """Number of lookups in progress."""
        return self._shares.in_use

    async def __call__(self, host: str, port: int) -> list[Address]:
        """Addresses of `host` in order of preference (RFC 6724), hosts file and numeric forms such as 0x7f.1 included.

        Raises:
            socket.gaierror: EAI_NONAME if the name does not exist; EAI_AGAIN if no name server answered or all failed.
            OriginsBusy: too many lookups are in progress.
        """
        try:
            # This flag forbids a lookup, so the call does not block.
            found = socket.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        except socket.gaierror:
            pass
        else:
            return [(family, address) for family, _, _, _, address in found]
        if self._silent.peek(host.lower()):
            raise socket.gaierror(socket.EAI_AGAIN, "no name server answered a moment ago")
        client = asking_client.get()
        addresses = await self._lookups.get((client, host), partial(self._look_up, client, host))
        return [(family, (address[0], port, *address[2:])) for family, address in addresses]

    async def _look_up(self, client: Client | None, name: str) -> list[Address]:
        await self._shares.take(client)
        try:
            result, code = await self._ask(name)
        finally:
            self._shares.give_back(client)
        if code == pycares.errno.ARES_ETIMEOUT:
            self._silent.put(name.lower(), True)
        if result is None:
            errno = socket.EAI_NONAME if code in _NO_SUCH_NAME else socket.EAI_AGAIN
            raise socket.gaierror(errno, pycares.errno.strerror(code))
        return [(node.family, (node.addr[0].decode(), *node.addr[1:])) for node in result.nodes]

    async def _ask(self, name: str) -> tuple[pycares.AddrInfoResult | None, int]:
        try:
            lookup = _Lookup(name, self._servers, first_try_seconds=self._first_try_seconds)
        except pycares.AresError:
            return None, pycares.errno.ARES_ENOTINITIALIZED
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await lookup.answer()
        except TimeoutError:
            return None, pycares.errno.ARES_ETIMEOUT
        finally:
            lookup.close()


class _Lookup:
    """One lookup by c-ares, with its sockets watched by the event loop."""

    def __init__(self, name: str, servers: Sequence[str], *, first_try_seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._answered: asyncio.Future[tuple[pycares.AddrInfoResult | None, int]] = self._loop.create_future()
        self._reading: set[int] = set()
        self._writing: set[int] = set()
        # Pass no text options (lookups, domains): pycares 5.2 frees them before c-ares reads them.
        self._channel = pycares.Channel(
            sock_state_cb=self._watch, timeout=first_try_seconds, tries=_TRIES, servers=servers or None
        )
        self._channel.getaddrinfo(name, None, type=socket.SOCK_STREAM, callback=self._note)

    async def answer(self) -> tuple[pycares.AddrInfoResult | None, int]:
        """The addresses, or None and a c-ares error code."""
        while not self._answered.done():
            wait_seconds = max(self._channel.timeout(), _SHORTEST_WAIT_SECONDS)  # type: ignore[no-untyped-call]
            await asyncio.wait([self._answered], timeout=wait_seconds)
            if not self._answered.done():
                # No socket is ready: let c-ares check its own time limits.
                self._channel.process_fd(pycares.ARES_SOCKET_BAD, pycares.ARES_SOCKET_BAD)
        return self._answered.result()

    def close(self) -> None:
        """Cancel the lookup and close its sockets."""
        self._channel.cancel()
        for file in self._reading:
            self._loop.remove_reader(file)
        for file in self._writing:
            self._loop.remove_writer(file)
        self._channel.close()

    def _note(self, result: pycares.AddrInfoResult | None, code: int | None) -> None:
        if not self._answered.done():
            self._answered.set_result((result, code or 0))

    def _watch(self, file: int, readable: bool, writable: bool) -> None:
        bad = pycares.ARES_SOCKET_BAD
        if readable:
            self._loop.add_reader(file, self._channel.process_fd, file, bad)
            self._reading.add(file)
        elif file in self._reading:
            self._loop.remove_reader(file)
            self._reading.discard(file)
        if writable:
            self._loop.add_writer(file, self._channel.process_fd, bad, file)
            self._writing.add(file)
        elif file in self._writing:
            self._loop.remove_writer(file)
            self._writing.discard(file)
