"""One non-blocking connection to an origin, plain TCP: bytes in and out, waits with a limit, nothing of HTTP.

Failures are `OSError`s (`TimeoutError` among them); `http_source.py` knows the stage and names them.
"""

import asyncio
import socket
import time
from collections.abc import Callable


class Connection:
    """A connected socket. One task uses it at a time; `close()` may come from anywhere and wakes that task."""

    __slots__ = ("_expired", "_loop", "_reads", "_waiting", "_watched", "opened_at", "socket")

    is_tls = False

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        # Monotonic seconds: the pool lets no connection live for ever.
        self.opened_at = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Future[None] | None = None
        self._expired = False
        # The loop watches for bytes, and somebody waits for them.
        self._watched = self._reads = False

    @property
    def closed(self) -> bool:
        """True after `close()`."""
        return self.socket.fileno() < 0

    def recv_now(self, buffer: memoryview) -> int | None:
        """Bytes placed in `buffer`, 0 at the end of the stream, None when nothing is there yet. Raises OSError."""
        try:
            return self.socket.recv_into(buffer)
        except BlockingIOError:
            return None

    async def wait_readable(self, timeout_seconds: float | None = None) -> None:
        """Return when `recv_now` is worth a try. Raises TimeoutError; ConnectionAbortedError after `close()`."""
        self._reads = True
        try:
            await self._wait(self._watch, _leave, timeout_seconds)
        finally:
            self._reads = False

    async def wait_writable(self, timeout_seconds: float | None = None) -> None:
        """Return when the socket takes bytes, or its connecting has ended."""
        await self._wait(self._loop.add_writer, self._loop.remove_writer, timeout_seconds)

    async def send_all(self, data: bytes) -> None:
        """Send everything. Raises OSError; limits of time are the caller's."""
        view = memoryview(data)
        while view:
            try:
                view = view[self.socket.send(view) :]
            except BlockingIOError:
                await self.wait_writable()

    def is_quiet(self) -> bool:
        """True when an idle connection is open and the origin sent nothing unasked. What it sent is lost: close it."""
        try:
            return self.recv_now(memoryview(bytearray(1))) is None
        except OSError:
            return False

    def expire(self) -> None:
        """A limit that covers several waits has passed: the present or else the next one raises TimeoutError."""
        self._expired = True
        if self._waiting is not None:
            _expire(self._waiting)

    def close(self) -> None:
        """Close at once; a waiting task gets ConnectionAbortedError. Idempotent."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionAbortedError("closed by us"))
        if not self.closed:
            # The loop must forget the descriptor before its number can be given to another socket.
            self._loop.remove_reader(self.socket.fileno())
            self._loop.remove_writer(self.socket.fileno())
            self.socket.close()

    def _watch(self, descriptor: int, *_: object) -> None:
        """The loop goes on watching between two waits: taking that up and down again costs as much as a short read."""
        if not self._watched:
            self._watched = True
            self._loop.add_reader(descriptor, self._on_readable)

    def _on_readable(self) -> None:
        if self._reads and self._waiting is not None:
            _wake(self._waiting)
        else:
            # Nobody takes what is there, so that the loop would tell of it for ever.
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
            # An error of its own holds this frame, which must not hold it.
            del waiting
            if timer is not None:
                timer.cancel()
            if not self.closed:
                remove(descriptor)


def _leave(_: int) -> None:
    """The watch goes on."""


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


def _expire(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_exception(TimeoutError("no progress"))
