"""The sockets of consumers as Tornado streams. They read heads the short way and may answer before one is parsed.

Closing a stream ends it whole or cut. The end is whole when every reply that began has ended and has left. Then a plain
stream sends FIN, and a TLS stream `close_notify` and FIN (RFC 8446 section 6.1, RFC 9112 section 9.8). Any other end is
a cut. A plain stream sends RST. A TLS stream sends a record that its reader must refuse, because common readers of TLS
take a bare FIN or RST for an end; where the socket has no room for that record, it sends RST.

What is out of the ordinary goes Tornado's own way. This leans on what Tornado does not document;
`tests/contract/test_http1.py` fails when a release moves the ground.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
import time
from collections.abc import Callable
from typing import Any

from tornado.ioloop import IOLoop
from tornado.iostream import IOStream, SSLIOStream, UnsatisfiableReadError

from provider.override import override

# As bytes: Tornado compiles it, which `re` remembers.
HEAD_END = rb"\r?\n\r?\n"
# Filled and copied from within one call, on the loop's thread.
_scratch = memoryview(bytearray(64 * 1024))

AtOnce = Callable[["AnswersAtOnce", memoryview | bytearray], bytes | None]
"""From what came where a head is due to a whole answer, or None to take the ordinary way."""
_IDLE = IOLoop.READ | IOLoop.ERROR

# on, 0 seconds: closing sends RST, which no client takes for the end of a body.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
# A record of application data that no key decrypts: its reader must end the connection with bad_record_mac (RFC 8446
# section 5.2). As long as the longest record and more, so that it also spoils one that was sent in part.
_SPOILED_RECORD = b"\x17\x03\x03\x00\x40" + bytes(17 << 10)
# Where the kernel encrypts (linux/tls.h), it sends the alert: level fatal, internal_error.
_SOL_TLS, _TLS_TX, _TLS_SET_RECORD_TYPE = 282, 1, 1
_ALERT_TYPE, _FATAL_ALERT = b"\x15", b"\x02\x50"
# How long close_notify may wait for room in the socket of a slow client (seconds).
LAST_WORD_SECONDS = 2.0


class AnswersAtOnce(IOStream):
    """A stream whose next head may be answered before anybody parses it."""

    at_once: AtOnce | None = None
    """Asked before a head is parsed."""
    answered_at = 0.0
    """When it last had an answer, by `time.monotonic`, which is the loop's clock too."""
    refused_until = 0.0
    """Until when its client, which sent too much, was told to wait, by `time.monotonic`."""
    mid_reply = False
    """Has a reply begun that has not ended?"""

    def cut(self) -> None:
        """Close so that no client can take what it has for a whole reply. Idempotent."""
        self.mid_reply = True
        self.close()

    @property
    def is_whole(self) -> bool:
        """Has every reply that began also ended and left?"""
        return not self.mid_reply and not self._write_buffer

    @override
    def close_fd(self) -> None:
        if not self.is_whole:
            self._cut_socket()
        super().close_fd()

    def _cut_socket(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)

    def _answered(self, data: memoryview | bytearray) -> bool:
        """Was this answered at once? Nobody then learns of the request, and the next head is waited for as before."""
        answer = self.at_once(self, data) if self.at_once is not None and not self._write_buffer else None
        if answer is None:
            return False
        self.answered_at = time.monotonic()
        # What the socket does not take is kept and sent on.
        self.write(answer)
        return True

    def _answered_buffer(self) -> bool:
        """The same for what lies in the buffer: it came while the answer before it was on its way."""
        if self._read_regex is None or not self._read_buffer_size or not self._answered(self._read_buffer):
            return False
        self._read_buffer.clear()
        self._read_buffer_size = 0
        return True


class ServerStream(AnswersAtOnce):
    """The plain stream of a consumer. Reads without allocating 64 KiB, and sends at once what the socket takes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sent.set_result(None)

    @override
    def write(self, data: bytes | memoryview) -> "asyncio.Future[None]":
        if not self._closed and not self._connecting and not self._write_buffer:
            try:
                count = self.socket.send(data)
            except OSError:
                # The base class meets it again and knows what to do.
                count = 0
            if count == len(data):
                return self._sent
            data = memoryview(data)[count:]
        return super().write(data)

    def _read_to_buffer(self) -> int | None:
        if self._user_read_buffer or self._read_buffer_size:
            return super()._read_to_buffer()
        try:
            count = self.socket.recv_into(_scratch)
        except BlockingIOError:
            return 0
        except OSError as exc:
            self.close(exc_info=exc)
            if self._is_connreset(exc):
                return None
            raise
        if not count:
            self.close()
            return 0
        if self._read_regex is not None and self._answered(_scratch[:count]):
            return 0
        self._read_buffer += _scratch[:count]
        self._read_buffer_size = count
        return count

    def _try_inline_read(self) -> None:
        if self._read_regex is None or self._closed or (self._read_buffer_size and not self._answered_buffer()):
            super()._try_inline_read()
            return
        # The next head of a connection is hardly ever there yet, and the loop tells when it is.
        self._add_io_state(IOLoop.READ)

    def _find_read_pos(self) -> int | None:
        if self._read_regex is None or not self._read_buffer_size:
            return super()._find_read_pos()
        # What the one expression that is asked for, HEAD_END, finds.
        blank, bare = self._read_buffer.find(b"\n\r\n"), self._read_buffer.find(b"\n\n")
        if bare >= 0 or blank < 0:
            return super()._find_read_pos()
        self._check_max_bytes(self._read_regex, blank + 3)
        return blank + 3

    @override
    def _handle_events(self, fd: Any, events: int) -> None:
        # A shorter way for a request head and for bytes that arrive before one is awaited. It leaves the loop's watch
        # unchanged unless bytes remain in the buffer.
        short = events == IOLoop.READ and self._state == _IDLE and not self._read_buffer_size and not self._closed
        if not short or (self._read_future is not None and self._read_regex is None):
            super()._handle_events(fd, events)
        elif self._read_now() and self._read_future is not None:
            self._take_head(fd)

    def _read_now(self) -> int | None:
        try:
            return self._read_to_buffer()
        except OSError:
            # It was closed where this was met.
            return None

    def _take_head(self, fd: Any) -> None:
        try:
            pos = self._find_read_pos()
        except UnsatisfiableReadError:
            pos = None
        if pos is not None:
            self._read_from_buffer(pos)
        if self._read_buffer_size:
            super()._handle_events(fd, 0 if pos is not None else IOLoop.READ)


class TlsServerStream(AnswersAtOnce, SSLIOStream):
    """The stream of a consumer over TLS."""

    last_word: "asyncio.Future[None] | None" = None
    """Done when the socket of a closed stream is closed too; None when that was at once."""

    @override
    def close_fd(self) -> None:
        if self._is_open and self.is_whole and not _close_notified(self.socket):
            self.last_word = _LastWord(self.socket).done
            self.socket = None  # type: ignore[assignment]
            return
        super().close_fd()

    @property
    def _is_open(self) -> bool:
        """Is TLS there to be ended? Not during the handshake, nor after a failure."""
        return not self._ssl_accepting and self.error is None

    def _cut_socket(self) -> None:
        if not self._is_open or not _spoiled(self.socket):
            super()._cut_socket()

    def _read_to_buffer(self) -> int | None:
        is_first = not self._read_buffer_size
        count = super()._read_to_buffer()
        if not is_first or not count or not self._answered_buffer():
            return count
        # What OpenSSL has decrypted already, no readiness would tell. The answer may have met a client that left.
        return self._read_to_buffer() if not self._closed and self.socket.pending() else 0

    def _try_inline_read(self) -> None:
        if not self._closed:
            self._answered_buffer()
        super()._try_inline_read()


def _close_notified(connection: ssl.SSLSocket) -> bool:
    """Send close_notify; False when the socket has no room for it."""
    try:
        connection.unwrap()
    except ssl.SSLWantWriteError:
        return False
    except (OSError, ValueError):
        # It was sent and the client has not sent its own, or the connection is lost.
        pass
    return True


def _spoiled(connection: ssl.SSLSocket) -> bool:
    """Make what comes next invalid for the client's TLS; False when the socket has no room for it."""
    try:
        if _kernel_encrypts(connection):
            record_type = (_SOL_TLS, _TLS_SET_RECORD_TYPE, _ALERT_TYPE)
            return socket.socket.sendmsg(connection, [_FATAL_ALERT], [record_type]) == len(_FATAL_ALERT)
        # Past OpenSSL, which would encrypt it.
        return socket.socket.send(connection, _SPOILED_RECORD) == len(_SPOILED_RECORD)
    except OSError:
        return False


def _kernel_encrypts(connection: ssl.SSLSocket) -> bool:
    try:
        connection.getsockopt(_SOL_TLS, _TLS_TX, 4)
    except OSError:
        return False
    return True


class _LastWord:
    """Sends close_notify as soon as the socket has room, then closes it; closes it anyway after a limit."""

    def __init__(self, connection: ssl.SSLSocket) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_writer(connection.fileno(), self._try)
        self._limit = self._loop.call_later(LAST_WORD_SECONDS, self._close)

    def _try(self) -> None:
        if _close_notified(self._connection):
            self._close()

    def _close(self) -> None:
        self._limit.cancel()
        self._loop.remove_writer(self._connection.fileno())
        self._connection.close()
        self.done.set_result(None)
