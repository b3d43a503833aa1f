"""One non-blocking TCP connection to an origin: bytes in and out, waits with a time limit. No HTTP here.

Failures are `OSError`s, `TimeoutError` included; `http_origin.py` and `http_source.py`, which know the stage, translate
them.
"""

import asyncio
import socket
import time
from collections.abc import Callable


class Connection:
    """A connected socket. One task uses it at a time. `close()` may be called from anywhere and wakes that task."""

    __slots__ = ("_expired", "_loop", "_reads", "_waiting", "_watched", "opened_at", "socket")

    is_tls = False

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        # Monotonic seconds. The pool limits the age of a connection.
        self.opened_at = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Future[None] | None = None
        self._expired = False
        # `_watched`: the loop reports incoming bytes. `_reads`: a task waits for them.
        self._watched = self._reads = False

    @property
    def closed(self) -> bool:
        """True after `close()`."""
        return self.socket.fileno() < 0

    def recv_now(self, buffer: memoryview) -> int | None:
        """Bytes placed in `buffer`, 0 at the end of the stream, None if nothing has arrived yet. Raises OSError."""
        try:
            return self.socket.recv_into(buffer)
        except BlockingIOError:
            return None

    async def wait_readable(self, timeout_seconds: float | None = None) -> None:
        """Wait until `recv_now` is worth a try. Raises TimeoutError, and ConnectionAbortedError after `close()`."""
        self._reads = True
        try:
            await self._wait(self._watch, _leave, timeout_seconds)
        finally:
            self._reads = False

    async def wait_writable(self, timeout_seconds: float | None = None) -> None:
        """Wait until the socket accepts bytes, or its connection attempt has ended."""
        await self._wait(self._loop.add_writer, self._loop.remove_writer, timeout_seconds)

    async def send_all(self, data: bytes) -> None:
        """Send everything. Raises OSError. The caller sets a time limit."""
        view = memoryview(data)
        while view:
            try:
                view = view[self.socket.send(view) :]
            except BlockingIOError:
                await self.wait_writable()

    def is_quiet(self) -> bool:
        """True if an idle connection is open and silent. If not, close it: an unexpected byte has been consumed."""
        try:
            return self.recv_now(memoryview(bytearray(1))) is None
        except OSError:
            return False

    def expire(self) -> None:
        """End a limit over several waits: the current wait, or else the next one, raises TimeoutError."""
        self._expired = True
        if self._waiting is not None:
            _expire(self._waiting)

    def close(self) -> None:
        """Close at once; a waiting task gets ConnectionAbortedError. Idempotent."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionAbortedError("closed by us"))
        if not self.closed:
            # Unregister the descriptor before its number can be given to another socket.
            self._loop.remove_reader(self.socket.fileno())
            self._loop.remove_writer(self.socket.fileno())
            self.socket.close()

    def _watch(self, descriptor: int, *_: object) -> None:
        """Watch for bytes. The watch stays between two waits: removing and adding it costs as much as a short read."""
        if not self._watched:
            self._watched = True
            self._loop.add_reader(descriptor, self._on_readable)

    def _on_readable(self) -> None:
        if self._reads and self._waiting is not None:
            _wake(self._waiting)
        else:
            # Nobody reads these bytes now, so the loop would report them again and again.
            self._watched = False
            self._loop.remove_reader(self.socket.fileno())

    async def _wait(
        self,
        add: Callable[[int, Callable[..., None], asyncio.Future[None]], object],
        remove: Callable[[int], object],
        timeout_seconds: float | None,
    ) -> None:
        if self.closed:
            raise ConnectionAbortedError("closed by us")
        if self._expired:
            raise TimeoutError("no progress")
        descriptor = self.socket.fileno()
        waiting = self._waiting = self._loop.create_future()
        timer = None if timeout_seconds is None else self._loop.call_later(timeout_seconds, _expire, waiting)
        add(descriptor, _wake, waiting)
        try:
            await waiting
        finally:
            self._waiting = None
            # An exception in `waiting` holds this frame; the frame must not hold it in turn.
            del waiting
            if timer is not None:
                timer.cancel()
            if not self.closed:
                remove(descriptor)


def _leave(_: int) -> None:
    """Keep the watch in place."""


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


def _expire(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_exception(TimeoutError("no progress"))
