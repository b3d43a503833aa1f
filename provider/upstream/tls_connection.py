"""`Connection` over TLS: records are decrypted through memory BIOs directly into the reader's buffer.

Chosen by measurement at 1, 8 and 64 connections: 1.1, 1.1 and 1.0 times the CPU per GB of a tuned nginx (both TLS 1.3,
AES-256-GCM). Sockets that OpenSSL reads itself (`SSLSocket`) cost 0.1 s/GB more: two system calls per record. uvloop's
TLS costs the same with few connections; with 64 it costs 0.16 s/GB and 250 MB of memory more.
"""

import asyncio
import socket
import ssl
from dataclasses import dataclass
from typing import cast

from provider.override import override
from provider.upstream.connection import Connection

# The longest record on the wire: header, 2**14 bytes, and their protection (RFC 8446 section 5.2).
_RECORD_BYTES = 5 + (1 << 14) + 256
# Ciphertext is received in large pieces into shared memory (0.1 CPU s/GB less than with 32 KiB), and passed to TLS in
# small ones, because a BIO never shrinks. A read should find a whole record: otherwise OpenSSL's error becomes an
# exception, which costs as much as decrypting half a record.
_RECEIVE_BYTES = 256 * 1024
_FEED_BYTES = 32 * 1024
# What records add to 256 KiB of plaintext. With it, one receive fills a buffer and leaves little behind.
_OVERHEAD_BYTES = 1024
# Records in one read, which take a quarter of a millisecond if each holds a byte. A buffer takes 16 of full size.
_MAX_RECORDS = 256
# Messages that TLS may send on its own. A further handshake takes two, and half a millisecond of the event loop.
_MAX_UNASKED = 16

# Shared by all connections of the process: filled and emptied within a single call, on the loop's thread.
_scratch = memoryview(bytearray(_RECEIVE_BYTES))


@dataclass(frozen=True, slots=True)
class TlsSession:
    """A session that later connections to the same origin may resume, which saves most of their handshake.

    `checked_at`: monotonic seconds of the full handshake that showed the certificate; a resumed one shows none.
    """

    state: ssl.SSLSession
    checked_at: float


class TlsConnection(Connection):
    """A connected socket with TLS. Call `handshake()` first; it checks the certificate and the host name."""

    __slots__ = (
        "_failure",
        "_incoming",
        "_more",
        "_outgoing",
        "_resumed",
        "_session_taken",
        "_tls",
        "_unasked",
        "_unsent",
    )

    is_tls = True

    def __init__(
        self, sock: socket.socket, context: ssl.SSLContext, host: str, *, resume: TlsSession | None = None
    ) -> None:
        """`resume`: session of an earlier connection to the same origin, with the same context."""
        super().__init__(sock)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        # The name without its trailing dot (RFC 6066 section 3).
        name = host.rstrip(".")
        state = resume.state if resume is not None else None
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name, session=state)
        self._resumed, self._session_taken = resume, False
        self._unsent, self._unasked = b"", 0
        # Found after bytes had been read; those are delivered first. Kept as text: an error would hold its frames.
        self._failure: str | None = None
        # The last read ended before the bytes did, so decrypted bytes may wait in memory while the socket is silent.
        self._more = False

    def take_session(self) -> TlsSession | None:
        """The session that later connections may resume. None on later calls, since each call makes a copy.

        Call it after data was read: with TLS 1.3 the ticket arrives after the handshake (RFC 8446 section 4.6.1).
        """
        state = None if self._session_taken else self._tls.session
        self._session_taken = True
        if state is None:
            return None
        resumed = self._resumed if self._tls.session_reused else None
        return TlsSession(state, resumed.checked_at if resumed is not None else self.opened_at)

    async def handshake(self) -> None:
        """Do the handshake. Raises OSError, including `ssl.SSLCertVerificationError`. The caller sets a time limit."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._send_outgoing()
                while (fresh := self._receive(_FEED_BYTES)) is None:
                    await super().wait_readable()
                if fresh:
                    self._incoming.write(fresh)
            else:
                await self._send_outgoing()
                return

    @override
    def recv_now(self, buffer: memoryview) -> int | None:
        # A stream that ends without close_notify is an error (RFC 8446 section 6.1).
        if self._failure is not None:
            raise ConnectionAbortedError(self._failure)
        count, size, is_dry, records = 0, len(buffer), False, 0
        fresh = _scratch[:0]
        try:
            while count < size and records < _MAX_RECORDS:
                if self._incoming.pending < _RECORD_BYTES:
                    if not fresh and not is_dry:
                        fresh = self._receive(size - count + _OVERHEAD_BYTES) or fresh
                        is_dry = not fresh
                    if fresh:
                        self._incoming.write(fresh[:_FEED_BYTES])
                        fresh = fresh[_FEED_BYTES:]
                try:
                    step = cast(int, self._tls.read(size - count, cast(bytearray, buffer[count:])))
                except ssl.SSLWantReadError:
                    if is_dry:
                        break
                    continue
                if step == 0:
                    return count
                count += step
                records += 1
            if fresh:
                self._incoming.write(fresh)
        except OSError as error:
            if count == 0:
                raise
            self._failure = str(error)
            return count
        if self._outgoing.pending or self._unsent:
            self._flush_now()
        self._more = count == size or records == _MAX_RECORDS
        return count or None

    @override
    async def wait_readable(self, timeout_seconds: float | None = None) -> None:
        # Returns at once while decrypted bytes may be in memory.
        if self._more or self._failure is not None:
            self._more = False
            await asyncio.sleep(0)
        else:
            await super().wait_readable(timeout_seconds)

    @override
    async def send_all(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._tls.write(view) :]
        await self._send_outgoing()

    async def _send_outgoing(self) -> None:
        data, self._unsent = self._unsent + self._outgoing.read(), b""
        await super().send_all(data)

    def _flush_now(self) -> None:
        """Send as much as the socket accepts of the messages that TLS adds on its own, such as another handshake."""
        if self._outgoing.pending:
            self._unasked += 1
            if self._unasked > _MAX_UNASKED:
                self._failure = "the origin asks for handshakes without end"
        self._unsent += self._outgoing.read()
        try:
            self._unsent = self._unsent[self.socket.send(self._unsent) :]
        except BlockingIOError:
            pass

    def _receive(self, limit_bytes: int) -> memoryview | None:
        """Bytes that the socket has, in the shared memory. None if it has none yet, empty at its end."""
        count = super().recv_now(_scratch[:limit_bytes])
        if count is None:
            return None
        if count == 0:
            self._incoming.write_eof()
        return _scratch[:count]
