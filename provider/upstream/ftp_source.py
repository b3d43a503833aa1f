"""Opens a file on an FTP server: checks the address, sends commands in a thread, reads the data on the event loop.

The data connection is an ordinary one of this room, so backpressure, time limits and zero copy work as with HTTP.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from email.utils import formatdate
from functools import partial
from typing import TYPE_CHECKING

from provider.errors import (
    OriginsBusy,
    UpstreamError,
    UpstreamTimedOut,
    UpstreamTooShort,
    UpstreamTruncated,
    UpstreamUnreachable,
)
from provider.outgoing.own_thread import run_in_own_thread
from provider.override import override
from provider.upstream.addresses import Resolver, resolve_checked
from provider.upstream.charges import charge_request
from provider.upstream.config import UpstreamConfig
from provider.upstream.connection import Connection
from provider.upstream.file_names import guess_content_type, name_in_path
from provider.upstream.ftp_url import FtpTarget
from provider.upstream.names import Names
from provider.upstream.shares import Shares, asking_client
from provider.upstream.source import Framing, Headers, Source
from provider.upstream.tls_connection import TlsConnection

if TYPE_CHECKING:
    from provider.upstream.ftp_session import FtpSession

# Threads at a time, per worker. A silent server occupies one until a time limit ends it.
_MAX_THREADS, _MAX_THREADS_PER_CLIENT = 128, 16
_MAX_ADDRESSES = 4
# TLS records and Tornado's copy take their share of the 256 KiB that a stream may use.
_MOST_BYTES = 128 * 1024


class FtpSource(Source):
    """The `Source` of an FTP transfer.

    If the data ends early, or its length is unknown, the server's last reply tells whether the file is complete.
    """

    __slots__ = ("_connection", "_finish", "_left", "_session", "final_url_path", "headers", "idle_timeout_seconds")

    final_url_path: str
    headers: Headers
    idle_timeout_seconds: float
    ready_bytes = 0

    def __init__(
        self,
        session: "FtpSession",
        connection: Connection | None,
        confirming: Shares,
        *,
        url_path: str,
        idle_timeout_seconds: float,
    ) -> None:
        self._session, self._connection = session, connection
        part = session.part
        self._left = part.count if part is not None else None
        self._finish = _Finish(session, confirming, idle_timeout_seconds)
        self.final_url_path = url_path
        self.idle_timeout_seconds = idle_timeout_seconds
        fields = [("Content-Type", guess_content_type(name_in_path(url_path)) or "application/octet-stream")]
        if part is not None:
            fields.append(("Accept-Ranges", "bytes"))
            if part.status != 200:
                fields.append(("Content-Range", part.content_range))
        if session.modified is not None:
            # The date that an HTTP origin would send. Our clock stands in for the server's.
            fields += [("Last-Modified", session.modified), ("Date", formatdate(usegmt=True))]
        self.headers = Headers(fields)

    @property
    @override
    def status(self) -> int:
        part = self._session.part
        return part.status if part is not None else 200

    @property
    @override
    def framing(self) -> Framing:
        return "length" if self._session.part is not None else "close"

    @property
    @override
    def length_bytes(self) -> int | None:
        part = self._session.part
        return part.count if part is not None else None

    @override
    def expect(self, count_bytes: int) -> None:
        # A part is only served of a file whose length is known.
        return

    @override
    def read_now(self, buffer: memoryview) -> int | None:
        if self._left == 0 or self._connection is None:
            return 0
        if self._finish.data_ended:
            return self._finish.outcome(self._left)
        room = _MOST_BYTES if self._left is None else min(_MOST_BYTES, self._left)
        try:
            count = self._connection.recv_now(buffer[:room])
        except OSError as exc:
            raise UpstreamTruncated(detail="origin: data connection lost") from exc
        if count == 0:
            self._finish.begin()
            return None
        if count is not None and self._left is not None:
            self._left -= count
        return count

    @override
    async def wait_ready(self) -> None:
        if self._connection is None:
            return
        if self._finish.data_ended:
            await self._finish.wait()
            return
        try:
            await self._connection.wait_readable(self.idle_timeout_seconds)
        except TimeoutError as exc:
            raise UpstreamTimedOut(detail="origin: idle limit passed in the body") from exc
        except OSError as exc:
            raise UpstreamTruncated(detail="origin: connection closed in the body") from exc

    @override
    async def read_into(self, buffer: memoryview) -> int:
        while (count := self.read_now(buffer)) is None:
            await self.wait_ready()
        return count

    @override
    def raw_socket(self) -> socket.socket | None:
        connection = self._connection
        return connection.socket if connection is not None and not connection.is_tls and self._left else None

    @property
    @override
    def contiguous_bytes(self) -> int:
        return 0 if self._finish.data_ended else self._left or 0

    @override
    def advance(self, count_bytes: int) -> None:
        if self._left is not None:
            self._left -= count_bytes

    @override
    def release(self) -> None:
        # FTP connections are not reused.
        self.close()

    @override
    def close(self) -> None:
        self._finish.close()
        if self._connection is not None:
            self._connection.close()
        self._session.close()


class _Finish:
    """The server's last reply, requested once the data has ended. It may take `limit_seconds`."""

    def __init__(self, session: "FtpSession", shares: Shares, limit_seconds: float) -> None:
        self._session, self._shares, self._limit_seconds = session, shares, limit_seconds
        self._asking: asyncio.Task[UpstreamError | None] | None = None

    @property
    def data_ended(self) -> bool:
        """True once the reply was requested."""
        return self._asking is not None

    def begin(self) -> None:
        """Request the reply, since the data has ended. Readers that cannot wait try again until it is known."""
        self._asking = asyncio.create_task(self._ask())

    def outcome(self, left_bytes: int | None) -> int | None:
        """0 if all data was sent; None until that is known.

        Raises:
            UpstreamTruncated: the server did not confirm the transfer.
            UpstreamTooShort: it did, although `left_bytes` of the announced length are missing.
        """
        if self._asking is None or not self._asking.done():
            return None
        failure = None if self._asking.cancelled() else self._asking.result()
        if failure is not None or self._asking.cancelled():
            raise UpstreamTruncated(detail="origin: the FTP server did not confirm the transfer") from failure
        if left_bytes:
            raise UpstreamTooShort(detail="origin: the FTP server confirmed a shorter file than it had announced")
        return 0

    async def wait(self) -> None:
        """Wait for the outcome."""
        if self._asking is not None:
            await asyncio.wait([self._asking])

    def close(self) -> None:
        """Stop waiting for the reply."""
        if self._asking is not None:
            self._asking.cancel()

    async def _ask(self) -> UpstreamError | None:
        try:
            async with asyncio.timeout(self._limit_seconds):
                await _in_thread(self._session.confirm, self._shares)
        except UpstreamError as failure:
            return failure
        except TimeoutError:
            # Wakes the thread: lines that come one by one would hold it for days.
            self._session.close()
            return UpstreamTimedOut(detail="origin: idle limit passed before the last reply")
        return None


class FtpOrigin:
    """Opens files on FTP servers. Limits are those of `HttpOrigin`; `first_byte` covers login and commands."""

    def __init__(
        self, config: UpstreamConfig, *, tls_context: ssl.SSLContext, resolver: Resolver | None = None
    ) -> None:
        """`config.attempts` includes the first one. Only temporary failures are tried again."""
        self._config = config
        self._tls_context = tls_context
        self._resolver = resolver if resolver is not None else Names()
        self._logins = _threads(config.connect_timeout_seconds)
        # Separate from logins: a transfer that reaches its end must not fail because others begin.
        self._ends = _threads(config.connect_timeout_seconds)

    async def open(self, target: FtpTarget, range_header: str | None, *, if_range: str | None = None) -> FtpSource:
        """Start the transfer of the file, or of the part that `range_header` asks for.

        Args:
            target: the file.
            range_header: the consumer's `Range`.
            if_range: `Last-Modified` of an earlier transfer. If the file has changed since, the whole file is sent.

        Raises:
            UnsafeAddress: the host's address is refused, or its name does not resolve.
            UpstreamRefused: login or file refused.
            UpstreamUnreachable, UpstreamTimedOut: no connection, or a limit passed.
            UpstreamError: the server does not speak FTP.
            OriginsBusy: too many logins are in progress.
        """
        attempt = 1
        while True:
            charge_request()
            try:
                return await self._try(target, range_header, if_range)
            except (UpstreamUnreachable, UpstreamTimedOut):
                if attempt == self._config.attempts:
                    raise
            attempt += 1

    async def _try(self, target: FtpTarget, range_header: str | None, if_range: str | None) -> FtpSource:
        try:
            async with asyncio.timeout(self._config.connect_timeout_seconds + self._config.first_byte_timeout_seconds):
                return await self._open(target, range_header, if_range)
        except TimeoutError as exc:
            raise UpstreamTimedOut(detail="origin: limit of the FTP login passed") from exc

    async def _open(self, target: FtpTarget, range_header: str | None, if_range: str | None) -> FtpSource:
        from provider.upstream.ftp_session import FtpSession  # noqa: PLC0415 - ftplib only where it is used

        addresses = await resolve_checked(
            target.host, target.port, allow_private=self._config.allow_non_public_ip, resolver=self._resolver
        )
        session = FtpSession(
            target,
            tls_context=self._tls_context,
            connect_timeout_seconds=self._config.connect_timeout_seconds,
            reply_timeout_seconds=self._config.first_byte_timeout_seconds,
        )
        numbers = [str(address[0]) for _, address in addresses[:_MAX_ADDRESSES]]
        work = partial(session.retrieve, numbers, range_header, if_range, time.monotonic())
        try:
            await _in_thread(work, self._logins)
            connection = await self._data_connection(session, target)
        except BaseException:
            session.close()
            raise
        return FtpSource(
            session,
            connection,
            self._ends,
            url_path=target.url_path,
            idle_timeout_seconds=self._config.idle_timeout_seconds,
        )

    async def _data_connection(self, session: "FtpSession", target: FtpTarget) -> Connection | None:
        sock = session.data
        if sock is None:
            return None
        sock.setblocking(False)
        if target.security == "none":
            return Connection(sock)
        connection = TlsConnection(sock, self._tls_context, target.host, resume=session.tls)
        try:
            await connection.handshake()
        except BaseException as exc:
            connection.close()
            if isinstance(exc, OSError) and not isinstance(exc, TimeoutError):
                raise UpstreamUnreachable(detail="origin: TLS of the data connection failed") from exc
            raise
        return connection


def _threads(wait_seconds: float) -> Shares:
    return Shares(total=_MAX_THREADS, per_client=_MAX_THREADS_PER_CLIENT, wait_seconds=wait_seconds)


async def _in_thread(work: Callable[[], None], shares: Shares) -> None:
    """Call `work` in a thread that holds one of `shares` until it ends. Raises what `work` raises, and OriginsBusy."""
    client = asking_client.get()
    await shares.take(client)
    try:
        await run_in_own_thread(work, name="ftp", ended=partial(shares.give_back, client))
    except OSError as exc:
        raise OriginsBusy(detail="the system cannot start more threads") from exc
