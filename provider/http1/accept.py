"""Accepts connections from a listening socket. Workers that share one share out its connections.

The kernel wakes every worker for a new connection. A worker that holds more connections than another one pauses, so
that the other takes it. After the pause it takes one that is still waiting: the others are busy. If connections were
left to it several times in a row, the other one has died or hangs, and it takes them as they come.
"""

import logging
import socket
from collections.abc import Callable
from typing import Any

from tornado.ioloop import IOLoop

from provider.http1.balance import Share

log = logging.getLogger("provider.server")
# Then others get their turn; the rest waits in the backlog.
ACCEPTED_AT_ONCE = 64
# After the system ran out of descriptors or memory.
EXHAUSTED_SECONDS = 0.2
# An idle worker accepts within a tenth of this.
TURN_SECONDS = 0.002
PATIENT_TURNS = 8


class Acceptor:
    """Passes the connections of `listener` to `take` until `stop` is called.

    `share`: of this worker, if others accept from the same socket.
    """

    def __init__(
        self, listener: socket.socket, take: Callable[[socket.socket, Any], None], share: Share | None = None
    ) -> None:
        self._listener, self._take, self._share = listener, take, share
        self._loop = IOLoop.current()
        self._pause: object | None = None
        # The turns that others have left to this worker, one after the other.
        self._left_turns = 0
        self._loop.add_handler(listener, self._on_readable, IOLoop.READ)

    def stop(self) -> None:
        """Accept no more. Call it once."""
        if self._pause is None:
            self._loop.remove_handler(self._listener)
        else:
            self._loop.remove_timeout(self._pause)

    def accept_waiting(self) -> bool:
        """Accept a limited number of connections at once. False if none are left, or if the system has no room."""
        try:
            return self._accept(None)
        except _CannotAcceptError:
            return False

    def _on_readable(self, _: object, __: int) -> None:
        if self._share is not None and self._share.is_larger:
            self._wait(TURN_SECONDS)
        else:
            self._left_turns = 0
            self._accept_turn(self._share)

    def _accept_turn(self, share: Share | None) -> None:
        try:
            self._left_turns = self._left_turns + 1 if self._accept(share) else 0
        except _CannotAcceptError as exc:
            log.warning("cannot accept connections", extra={"fields": {"reason": str(exc)}})
            self._wait(EXHAUSTED_SECONDS)

    def _wait(self, seconds: float) -> None:
        # The socket stays readable, and would call without a pause.
        self._loop.remove_handler(self._listener)
        self._pause = self._loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_handler(self._listener, self._on_readable, IOLoop.READ)
        self._accept_turn(self._share if self._left_turns < PATIENT_TURNS else None)

    def _accept(self, share: Share | None) -> bool:
        """Accept at least one, until this worker's `share` is larger. True if more may be waiting.

        Raises _CannotAcceptError.
        """
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connection, address = self._listener.accept()
            except BlockingIOError:
                return False
            except ConnectionAbortedError:
                continue
            except OSError as exc:
                raise _CannotAcceptError(exc.strerror or "unknown") from exc
            self._take(connection, address)
            if share is not None and share.is_larger:
                # The rest is for the others.
                break
        return True


class _CannotAcceptError(Exception):
    """The system is out of descriptors or memory."""
