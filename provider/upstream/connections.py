"""Guarded connections to origins: dialled to exactly the checked addresses, and kept alive in a bounded pool.

The pool's key is scheme, host, port and the party responsible for the URL. So a connection is reused only for the name
that it was resolved and (with TLS) verified for, and only for the party whose answers it carried. Bytes that a host
sends after a complete answer can never become the file of another publisher on that host. Browsers partition by site
for the same reason. A request that finds a connection in the pool needs no name resolution.
"""

import asyncio
import math
import socket
import ssl
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from provider.cache import FactCache
from provider.errors import UpstreamTimedOut, UpstreamUnreachable
from provider.upstream.addresses import Resolver, resolve_checked
from provider.upstream.connection import Connection
from provider.upstream.names import Address
from provider.upstream.request_head import Partition
from provider.upstream.tls_connection import TlsConnection, TlsSession
from provider.upstream.urls import Target

# RFC 8305 section 5: recommended Connection Attempt Delay.
_STAGGER_SECONDS = 0.25
# Addresses to try per name. The time limit would end longer lists anyway.
_MAX_ADDRESSES = 8
_MAX_SESSIONS = 256
# A resumed handshake shows no certificate, so the certificate must be shown again after this time.
_SESSION_SECONDS = 600.0


class _Idle(NamedTuple):
    partition: Partition
    # The URL requested last, before any redirect. Whoever is responsible for it also chose where it leads.
    url: str
    since: float


class IdlePool:
    """Idle keep-alive connections, limited in number, idle time and age. The most recently used one is taken first.

    A connection may serve the same URL again at once, and another URL of the same party after `quiet_seconds`. Surplus
    bytes have arrived by then, and a connection with surplus bytes is closed.

    `max_idle`: of all partitions. When there are more, a partition with more than `share` loses its own oldest one;
    another one takes the place of the oldest of all. So one busy file may use the whole pool, and keeps no other out.
    """

    def __init__(
        self,
        *,
        max_idle: int,
        share: int,
        idle_seconds: float,
        age_seconds: float,
        quiet_seconds: float,
    ) -> None:
        self._max_idle, self._share = max_idle, share
        self._idle_seconds, self._age_seconds = idle_seconds, age_seconds
        self._quiet_seconds = quiet_seconds
        # In the order in which they became idle, oldest first.
        self._idle: OrderedDict[Connection, _Idle] = OrderedDict()
        self._by_partition: dict[Partition, list[Connection]] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._idle)

    def take(self, partition: Partition, url: str) -> Connection | None:
        """A live connection for a request of this partition, or None."""
        while (connection := self._fitting(partition, url)) is not None:
            self._forget(connection)
            if connection.is_quiet():
                return connection
            connection.close()
        return None

    def _fitting(self, partition: Partition, url: str) -> Connection | None:
        of_partition = self._by_partition.get(partition)
        if of_partition is None:
            return None
        rested_at = time.monotonic() - self._quiet_seconds if partition[3] else -math.inf
        for connection in reversed(of_partition):
            idle = self._idle[connection]
            if idle.url == url or idle.since <= rested_at:
                return connection
        return None

    def put(self, partition: Partition, url: str, connection: Connection) -> None:
        """Keep a connection whose last answer was read to its end. It is closed if there is no room."""
        if connection.closed or time.monotonic() - connection.opened_at > self._age_seconds:
            connection.close()
            return
        of_partition = self._by_partition.setdefault(partition, [])
        of_partition.append(connection)
        self._idle[connection] = _Idle(partition, url, time.monotonic())
        if len(self._idle) > self._max_idle:
            self._drop(of_partition[0] if len(of_partition) > self._share else next(iter(self._idle)))
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(self._idle_seconds, self._sweep)

    def close(self) -> None:
        """Close all idle connections."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for connection in list(self._idle):
            self._drop(connection)

    def _sweep(self) -> None:
        self._sweeper = None
        limit = time.monotonic() - self._idle_seconds
        for connection, idle in list(self._idle.items()):
            if idle.since > limit:
                wait_seconds = idle.since - limit
                self._sweeper = asyncio.get_running_loop().call_later(wait_seconds, self._sweep)
                return
            self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        self._forget(connection)
        connection.close()

    def _forget(self, connection: Connection) -> None:
        partition = self._idle.pop(connection).partition
        of_partition = self._by_partition[partition]
        of_partition.remove(connection)
        if not of_partition:
            del self._by_partition[partition]


class Connections:
    """Opens guarded connections, and keeps TLS sessions, which make the next connection to an origin cheaper."""

    def __init__(
        self,
        *,
        allow_private: bool,
        connect_timeout_seconds: float,
        tls_context: ssl.SSLContext,
        resolver: Resolver,
    ) -> None:
        """`connect_timeout_seconds` covers name resolution, TCP and TLS together."""
        self._allow_private = allow_private
        self._connect_timeout_seconds = connect_timeout_seconds
        self._tls_context = tls_context
        # By origin; several connections may resume one session at a time.
        self._sessions: FactCache[tuple[str, str, int], TlsSession] = FactCache(
            name="tls_sessions", max_entries=_MAX_SESSIONS, ttl_seconds=_SESSION_SECONDS
        )
        self._resolver = resolver

    async def dial(self, target: Target) -> Connection:
        """Open a new connection to a checked address of the target.

        Raises:
            UnsafeAddress: an address of the name is refused; no packet was sent to any of them.
            UpstreamUnreachable: no address accepted the connection, or TLS failed.
            UpstreamTimedOut: the connect limit passed.
        """
        try:
            async with asyncio.timeout(self._connect_timeout_seconds):
                addresses = await resolve_checked(
                    target.host, target.port, allow_private=self._allow_private, resolver=self._resolver
                )
                sock = await _connect_first(addresses[:_MAX_ADDRESSES])
                return await self._secured(sock, target) if target.scheme == "https" else Connection(sock)
        except TimeoutError as exc:
            raise UpstreamTimedOut(detail="origin: connect limit passed") from exc
        except ssl.SSLCertVerificationError as exc:
            raise UpstreamUnreachable(detail=f"origin: certificate refused (code {exc.verify_code})") from exc
        except ssl.SSLError as exc:
            raise UpstreamUnreachable(detail=f"origin: TLS failed ({exc.reason})") from exc
        except OSError as exc:
            raise UpstreamUnreachable(detail=f"origin: connect failed (errno {exc.errno})") from exc

    def keep_session(self, target: Target, connection: Connection) -> None:
        """Keep the TLS session of a connection. Call this once an answer has begun, when the session is complete."""
        session = connection.take_session() if isinstance(connection, TlsConnection) else None
        if session is not None:
            self._sessions.put(target.origin, session, session.checked_at + _SESSION_SECONDS - time.monotonic())

    async def _secured(self, sock: socket.socket, target: Target) -> Connection:
        resume = self._sessions.peek(target.origin)
        connection = TlsConnection(sock, self._tls_context, target.host, resume=resume)
        try:
            await connection.handshake()
        except BaseException:
            self._sessions.discard(target.origin)
            connection.close()
            raise
        return connection


async def _connect_first(addresses: Sequence[Address]) -> socket.socket:
    """Connect to the address that answers first. The next one starts after a failure or a short delay (RFC 8305)."""
    waiting = list(addresses)
    running: set[asyncio.Task[socket.socket]] = set()
    # errno of the last failure. Raising that error itself would make a cycle: it holds its task, and this frame both.
    code = 0
    try:
        while waiting or running:
            if waiting:
                running.add(asyncio.create_task(_connect(waiting.pop(0))))
            stagger = _STAGGER_SECONDS if waiting else None
            done, _ = await asyncio.wait(running, timeout=stagger, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                error = task.exception()
                if error is None:
                    running.discard(task)
                    return task.result()
                running.discard(task)
                if not isinstance(error, OSError):
                    raise error
                code = error.errno or 0
    finally:
        for task in running:
            task.cancel()
            task.add_done_callback(_close_loser)
    raise OSError(code, "no address could be connected to")


def _close_loser(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def _connect(address: Address) -> socket.socket:
    family, name = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        # A request is a single write that waits for its answer, so there is nothing to gather.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            sock.connect(name)
        except BlockingIOError:
            await Connection(sock).wait_writable()
            error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, "connect failed") from None
    except BaseException:
        sock.close()
        raise
    return sock
