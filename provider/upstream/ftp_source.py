"""Open a file on an FTP server: the address checked, the commands sent in a thread, the data read on the loop.

The data connection is an ordinary one of this room, so backpressure, limits of time and zero copy are as with HTTP.
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
from provider.own_thread import run_in_own_thread
from provider.upstream.addresses import Resolver, resolve_checked
from provider.upstream.charges import charge_request
from provider.upstream.config import UpstreamConfig
from provider.upstream.connection import Connection
from provider.upstream.file_names import guess_content_type, name_in_path
from provider.upstream.ftp_url import FtpTarget
from provider.upstream.names import Names
from provider.upstream.shares import Shares, asking_client
from provider.upstream.source import Framing, Headers
from provider.upstream.tls_connection import TlsConnection

if TYPE_CHECKING:
    from provider.upstream.ftp_session import FtpSession

# Threads at a time, per worker: a silent server keeps one until a time limit ends it.
_MAX_THREADS, _MAX_THREADS_PER_CLIENT = 128, 16
_MAX_ADDRESSES = 4
# TLS's records and Tornado's copy take their share of the 256 KiB that a stream may hold.
_MOST_BYTES = 128 * 1024


class FtpSource:
    """The `Source` of an FTP transfer.

    Where the data end before a known length, or where none is known, the server's last reply tells whether it was all.
    """

    __slots__ = ("_connection", "_finish", "_left", "_session", "final_url_path", "headers", "idle_timeout_seconds")

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
        self._finish = _Finish(session, confirming)
        self.final_url_path = url_path
        self.idle_timeout_seconds = idle_timeout_seconds
        fields = [("Content-Type", guess_content_type(name_in_path(url_path)) or "application/octet-stream")]
        if part is not None:
            fields.append(("Accept-Ranges", "bytes"))
            if part.status != 200:
                fields.append(("Content-Range", part.content_range))
        if session.modified is not None:
            # As an HTTP origin would say it, ours standing in for the server's clock.
            fields += [("Last-Modified", session.modified), ("Date", formatdate(usegmt=True))]
        self.headers = Headers(fields)

    @property
    def status(self) -> int:
        """200, 206 or 416, as an HTTP origin would say it."""
        part = self._session.part
        return part.status if part is not None else 200

    @property
    def framing(self) -> Framing:
        """As `Source.framing`."""
        return "length" if self._session.part is not None else "close"

    @property
    def length_bytes(self) -> int | None:
        """As `Source.length_bytes`."""
        part = self._session.part
        return part.count if part is not None else None

    def expect(self, count_bytes: int) -> None:
        """As `Source.expect`: a part is only served of a file of known length, which is kept without being told."""

    def read_now(self, buffer: memoryview) -> int | None:
        """As `Source.read_now`."""
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

    async def wait_ready(self) -> None:
        """As `Source.wait_ready`."""
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

    async def read_into(self, buffer: memoryview) -> int:
        """As `Source.read_into`."""
        while (count := self.read_now(buffer)) is None:
            await self.wait_ready()
        return count

    def raw_socket(self) -> socket.socket | None:
        """As `Source.raw_socket`."""
        connection = self._connection
        return connection.socket if connection is not None and not connection.is_tls and self._left else None

    @property
    def run_bytes(self) -> int:
        """As `Source.run_bytes`."""
        return 0 if self._finish.data_ended else self._left or 0

    def advance(self, count_bytes: int) -> None:
        """As `Source.advance`."""
        if self._left is not None:
            self._left -= count_bytes

    def release(self) -> None:
        """As `Source.release`; connections are not kept."""
        self.close()

    def close(self) -> None:
        """As `Source.close`."""
        self._finish.close()
        if self._connection is not None:
            self._connection.close()
        self._session.close()


class _Finish:
    """The server's last reply, asked for once the data have ended."""

    def __init__(self, session: "FtpSession", shares: Shares) -> None:
        self._session, self._shares = session, shares
        self._asking: asyncio.Task[UpstreamError | None] | None = None

    @property
    def data_ended(self) -> bool:
        """Was the reply asked for?"""
        return self._asking is not None

    def begin(self) -> None:
        """The data have ended: ask. Readers that cannot wait read again until the outcome is known."""
        self._asking = asyncio.create_task(self._ask())

    def outcome(self, left_bytes: int | None) -> int | None:
        """0 when all was sent, None before that is known.

        Raises:
            UpstreamTruncated: the server did not say that all was sent.
            UpstreamTooShort: it did, and `left_bytes` of what it announced are missing.
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
        """Until it is known; the session limits the time."""
        if self._asking is not None:
            await asyncio.wait([self._asking])

    def close(self) -> None:
        """Nobody waits for it any more."""
        if self._asking is not None:
            self._asking.cancel()

    async def _ask(self) -> UpstreamError | None:
        try:
            await _in_thread(self._session.confirm, self._shares)
        except UpstreamError as failure:
            return failure
        return None


class FtpOrigin:
    """Opens files on FTP servers. The limits are those of `HttpOrigin`; `first_byte` covers login and commands."""

    def __init__(
        self, config: UpstreamConfig, *, tls_context: ssl.SSLContext, resolver: Resolver | None = None
    ) -> None:
        """`config.attempts` counts the first; only what may pass by itself is tried again."""
        self._config = config
        self._tls_context = tls_context
        self._resolver = resolver if resolver is not None else Names()
        self._logins = _threads(config.connect_timeout_seconds)
        # Apart from logins: a transfer that has come to its end must not fail because others begin.
        self._ends = _threads(config.connect_timeout_seconds)

    async def open(self, target: FtpTarget, range_header: str | None, *, if_range: str | None = None) -> FtpSource:
        """Start the transfer of the file, or of the part that `range_header` asks for.

        `if_range`: the `Last-Modified` of an earlier transfer; the whole file when it has changed.

        Raises:
            UnsafeAddress: the host may not be connected to or cannot be resolved.
            UpstreamRefused: login or file refused.
            UpstreamUnreachable, UpstreamTimedOut: no connection, or a limit passed.
            UpstreamError: no FTP server.
            OriginsBusy: too many logins are under way.
        """
        for attempt in range(1, self._config.attempts + 1):
            charge_request()
            try:
                return await self._try(target, range_header, if_range)
            except (UpstreamUnreachable, UpstreamTimedOut):
                if attempt == self._config.attempts:
                    raise
        raise AssertionError("unreachable: attempts is at least 1")

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
    """Call `work` in a thread that counts among `shares` until it ends. Raises as `work`, and OriginsBusy."""
    client = asking_client.get()
    await shares.take(client)
    try:
        await run_in_own_thread(work, name="ftp", ended=partial(shares.give_back, client))
    except OSError as exc:
        raise OriginsBusy(detail="the system gives no more threads") from exc
