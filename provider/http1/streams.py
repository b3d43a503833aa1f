"""The sockets of consumers as Tornado streams that read heads the short way, and may answer before one is parsed.

What is out of the ordinary goes Tornado's own way. This leans on what Tornado does not document;
`tests/contract/test_http1.py` fails when a release moves the ground.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from tornado.ioloop import IOLoop
from tornado.iostream import IOStream, SSLIOStream, UnsatisfiableReadError

# As bytes: Tornado compiles it, which `re` remembers.
HEAD_END = rb"\r?\n\r?\n"
# Filled and copied from within one call, on the loop's thread.
_scratch = memoryview(bytearray(64 * 1024))

AtOnce = Callable[["AnswersAtOnce", memoryview | bytearray], bytes | None]
"""From what came where a head is due to a whole answer, or None to take the ordinary way."""
_IDLE = IOLoop.READ | IOLoop.ERROR


class AnswersAtOnce(IOStream):
    """A stream whose next head may be answered before anybody parses it."""

    at_once: AtOnce | None = None
    """Asked before a head is parsed."""
    answered_at = 0.0
    """When it last had an answer, by `time.monotonic`, which is the loop's clock too."""
    refused_until = 0.0
    """Until when its client, which sent too much, was told to wait, by `time.monotonic`."""

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

    def write(self, data: bytes | memoryview) -> "asyncio.Future[None]":
        """As in the base class."""
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

    def _handle_events(self, fd: Any, events: int) -> None:
        """As in the base class, but a head, and what comes before it is waited for, is read the short way.

        Nothing about the watch has changed afterwards, unless something is left in the buffer.
        """
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
