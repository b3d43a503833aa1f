"""Consumers' sockets as Tornado streams, with a faster path for heads and for answers before a head is parsed.

Closing a stream ends it whole or cut. The end is whole if every reply that began has ended and has been sent. Then a
plain stream sends FIN, and a TLS stream `close_notify` and FIN (RFC 8446 section 6.1, RFC 9112 section 9.8). Any other
end is a cut. A plain stream sends RST. A TLS stream sends a record that its reader must refuse, because common TLS
readers mistake a bare FIN or RST for a proper end; if the socket has no room for that record, it sends RST.

Anything unusual takes Tornado's own path. This module relies on undocumented parts of Tornado;
`tests/contract/test_http1.py` fails if a release changes them.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

from tornado.ioloop import IOLoop
from tornado.iostream import IOStream, SSLIOStream, UnsatisfiableReadError

from provider.override import override

# As bytes: Tornado compiles it, and `re` caches the result.
HEAD_END = rb"\r?\n\r?\n"
# Filled and copied from within a single call, on the loop's thread.
_scratch = memoryview(bytearray(64 * 1024))
T = TypeVar("T")

AtOnce = Callable[["AnswersAtOnce", memoryview | bytearray], bytes | None]
"""Takes the bytes that arrived in place of a head. Returns a complete answer, or None to continue as usual."""
_IDLE = IOLoop.READ | IOLoop.ERROR

# On, 0 seconds: closing sends RST, which no client takes for the end of a body.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
# A record of application data that no key decrypts: its reader must end the connection with bad_record_mac (RFC 8446
# section 5.2). It is longer than the longest record, so that it also spoils one that was sent in part.
_SPOILED_RECORD = b"\x17\x03\x03\x00\x40" + bytes(17 << 10)
# If the kernel encrypts (linux/tls.h), it sends this alert: level fatal, internal_error.
_SOL_TLS, _TLS_TX, _TLS_SET_RECORD_TYPE = 282, 1, 1
_ALERT_TYPE, _FATAL_ALERT = b"\x15", b"\x02\x50"
# How long close_notify may wait for room in a slow client's socket (seconds).
LAST_WORD_SECONDS = 2.0


class _ShortQueue(list[T]):
    """A queue of few items: 56 bytes when empty, and Python's deque has 624. A connection has two."""

    __slots__ = ()

    def popleft(self) -> T:
        """Remove the first item and return it."""
        return self.pop(0)


class AnswersAtOnce(IOStream):
    """A stream whose next head may be answered before it is parsed."""

    # With more than 30 attributes outside slots, Python 3.11 makes a dictionary of 1.6 KB for each object.
    __slots__ = ("_is_nodelay", "answered_at", "at_once", "mid_reply", "refused_until")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.at_once: AtOnce | None = None
        """Called before a head is parsed."""
        self.answered_at = 0.0
        """Time of the last answer, by `time.monotonic`, which is also the loop's clock."""
        self.refused_until = 0.0
        """The client sent too much, and was asked to wait until this time (`time.monotonic`)."""
        self.mid_reply = False
        """True while a reply has begun and not ended."""
        self._is_nodelay = False
        super().__init__(*args, **kwargs)
        self._write_futures = cast(Any, _ShortQueue())
        self._write_buffer._buffers = cast(Any, _ShortQueue())

    @override
    def set_nodelay(self, value: bool) -> None:
        # Permanent: Tornado would toggle it around each reply, and a reply is one piece anyway.
        if value and not self._is_nodelay:
            self._is_nodelay = True
            super().set_nodelay(True)

    @override
    def set_close_callback(self, callback: Callable[[], None] | None) -> None:
        # Tornado removes it several times for each request, and looks at the loop's watch each time.
        if callback is None:
            self._close_callback = None
        else:
            super().set_close_callback(callback)

    def cut(self) -> None:
        """Close so that no client can mistake the bytes it has for a complete reply. Idempotent."""
        self.mid_reply = True
        self.close()

    @property
    def is_whole(self) -> bool:
        """True if every reply that began has also ended and been sent."""
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
        """True if this was answered at once. Nobody learns of the request, and the wait for the next head continues."""
        answer = self.at_once(self, data) if self.at_once is not None and not self._write_buffer else None
        if answer is None:
            return False
        self.answered_at = time.monotonic()
        # Bytes that the socket does not accept are kept and sent later.
        self.write(answer)
        return True

    def _answered_buffer(self) -> bool:
        """The same for bytes in the buffer, which arrived while the previous answer was being sent."""
        if self._read_regex is None or not self._read_buffer_size or not self._answered(self._read_buffer):
            return False
        self._read_buffer.clear()
        self._read_buffer_size = 0
        return True


class ServerStream(AnswersAtOnce):
    """A consumer's plain stream. Reads without allocating 64 KiB, and sends at once what the socket accepts."""

    __slots__ = ("_sent",)

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
                # The base class will meet the same error and handle it.
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
        # The next head has hardly ever arrived already; the loop reports it.
        self._add_io_state(IOLoop.READ)

    def _find_read_pos(self) -> int | None:
        if self._read_regex is None or not self._read_buffer_size:
            return super()._find_read_pos()
        # Finds the same position as HEAD_END, the only expression in use.
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
            # The error closed the stream.
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
    """A consumer's stream over TLS."""

    last_word: "asyncio.Future[None] | None" = None
    """Done once the socket of a closed stream is closed; None if it was closed at once."""

    @override
    def close_fd(self) -> None:
        if self._is_open and self.is_whole and not _close_notified(self.socket):
            self.last_word = _LastWord(self.socket).done
            self.socket = None  # type: ignore[assignment]
            return
        super().close_fd()

    @property
    def _is_open(self) -> bool:
        """True if TLS can be ended: not during the handshake, nor after a failure."""
        return not self._ssl_accepting and self.error is None

    def _cut_socket(self) -> None:
        if not self._is_open or not _spoiled(self.socket):
            super()._cut_socket()

    def _read_to_buffer(self) -> int | None:
        is_first = not self._read_buffer_size
        count = super()._read_to_buffer()
        if not is_first or not count or not self._answered_buffer():
            return count
        # epoll does not report bytes that OpenSSL has already decrypted. The answer may have found the client gone.
        return self._read_to_buffer() if not self._closed and self.socket.pending() else 0

    def _try_inline_read(self) -> None:
        if not self._closed:
            self._answered_buffer()
        super()._try_inline_read()


def _close_notified(connection: ssl.SSLSocket) -> bool:
    """Send close_notify. False if the socket has no room for it."""
    try:
        connection.unwrap()
    except ssl.SSLWantWriteError:
        return False
    except (OSError, ValueError):
        # It was sent and the client has not sent its own, or the connection is lost.
        pass
    return True


def _spoiled(connection: ssl.SSLSocket) -> bool:
    """Make the following bytes invalid for the client's TLS. False if the socket has no room."""
    try:
        if _kernel_encrypts(connection):
            record_type = (_SOL_TLS, _TLS_SET_RECORD_TYPE, _ALERT_TYPE)
            return socket.socket.sendmsg(connection, [_FATAL_ALERT], [record_type]) == len(_FATAL_ALERT)
        # Bypass OpenSSL, which would encrypt the record.
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
