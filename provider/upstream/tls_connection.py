"""The same as `connection.py` over TLS: records are decrypted through memory BIOs into the reader's own buffer.

Several records per call (one read of Python's SSL objects gives 16 KiB at most), and hardly any state per stream.
"""

import asyncio
import socket
import ssl
from typing import cast

from provider.upstream.connection import Connection

# Ciphertext taken from the socket at once; all of it is decrypted before the next, so a memory BIO stays this small.
_CIPHERTEXT_BYTES = 32 * 1024

# Shared by all connections of the process: filled and emptied within one call, on the loop's thread.
_scratch = memoryview(bytearray(_CIPHERTEXT_BYTES))


class TlsConnection(Connection):
    """A connected socket with a TLS client on it. `handshake()` comes first and checks certificate and host name."""

    __slots__ = ("_failure", "_incoming", "_more", "_outgoing", "_tls", "_unsent")

    is_tls = True

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, host: str) -> None:
        super().__init__(sock)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        # RFC 6066 section 3: the name without its trailing dot.
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host.rstrip("."))
        self._unsent = b""
        # Met after bytes were already read: those are handed over first.
        self._failure: OSError | None = None
        # The last read filled its buffer, so plaintext may wait in memory while the socket is silent.
        self._more = False

    async def handshake(self) -> None:
        """Raises OSError (`ssl.SSLCertVerificationError` among them); limits of time are the caller's."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._send_outgoing()
                while not self._take_ciphertext():
                    await super().wait_readable()
            else:
                await self._send_outgoing()
                return

    def recv_now(self, buffer: memoryview) -> int | None:
        """As in the base class; the end of the stream without TLS's own close is an error (RFC 8446 section 6.1)."""
        if self._failure is not None:
            raise self._failure
        count, size = 0, len(buffer)
        try:
            while count < size:
                try:
                    step = cast(int, self._tls.read(size - count, cast(bytearray, buffer[count:])))
                except ssl.SSLWantReadError:
                    if not self._take_ciphertext():
                        break
                    continue
                if step == 0:
                    return count
                count += step
        except OSError as error:
            if count == 0:
                raise
            self._failure = error
            return count
        if self._outgoing.pending or self._unsent:
            self._flush_now()
        self._more = count == size
        return count or None

    async def wait_readable(self, timeout_seconds: float | None = None) -> None:
        """As in the base class; returns at once while decrypted bytes may be left in memory."""
        if self._more or self._failure is not None:
            self._more = False
            await asyncio.sleep(0)
        else:
            await super().wait_readable(timeout_seconds)

    async def send_all(self, data: bytes) -> None:
        """As in the base class."""
        view = memoryview(data)
        while view:
            view = view[self._tls.write(view) :]
        await self._send_outgoing()

    async def _send_outgoing(self) -> None:
        data, self._unsent = self._unsent + self._outgoing.read(), b""
        await super().send_all(data)

    def _flush_now(self) -> None:
        """Answers that TLS owes by itself (a key update) go out when the socket takes them."""
        self._unsent += self._outgoing.read()
        try:
            self._unsent = self._unsent[self.socket.send(self._unsent) :]
        except BlockingIOError:
            pass

    def _take_ciphertext(self) -> bool:
        """Move what the socket has into TLS; False when it has nothing yet."""
        count = super().recv_now(_scratch)
        if count is None:
            return False
        if count:
            self._incoming.write(_scratch[:count])
        else:
            self._incoming.write_eof()
        return True
