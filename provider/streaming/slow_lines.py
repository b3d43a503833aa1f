"""Consumers on slow lines: how often each of them wakes this server, and for how much.

The kernel reports room when a third of its buffer is free. For a line of 10 KB/s that is every few seconds and for
29 KB. A slow consumer is therefore left alone until little of what it was given is unsent, and then gets a larger
portion. CPU of 3000 streams of 4 to 20 KB/s: 4.0 to 5.4 s per GB without this, 1.4 to 2.8 s with it.
"""

import socket

# Bytes per second. A consumer that takes less than the first is slow until it takes more than the second.
SLOW_BELOW, FAST_ABOVE = 256 << 10, 1 << 20
# A slow consumer gets so much at a time, once less than the second is unsent. At 1 MB/s that lasts for 16 ms.
PORTION_BYTES, UNSENT_BYTES = 64 << 10, 16 << 10
_NO_LIMIT = 1 << 62


class SlowLine:
    """One consumer, judged by how fast it takes what `connection` has accepted for it.

    `accepted`: bytes that the connection has accepted so far, here and below. `now`: seconds of a monotonic clock.
    """

    __slots__ = ("_connection", "_judged_accepted", "_judged_at", "_until", "is_slow")

    def __init__(self, connection: socket.socket, *, accepted: int, now: float) -> None:
        self._connection = connection
        self.is_slow = False
        self._judged_accepted, self._judged_at = accepted, now
        self._until = _NO_LIMIT

    def room_bytes(self, accepted: int) -> int:
        """Bytes that it may be given before it is waited for."""
        return self._until - accepted

    def begin_wait(self) -> None:
        """Choose when the kernel reports room."""
        if self.is_slow:
            # It does when less than half of this is unsent (tcp(7), TCP_NOTSENT_LOWAT).
            self._set_low_mark(2 * UNSENT_BYTES)

    def end_wait(self, accepted: int, now: float) -> None:
        """The kernel reports room: judge the consumer again."""
        if self.is_slow:
            # The kernel accepts nothing above the mark.
            self._set_low_mark(0)
        seconds = now - self._judged_at
        self.is_slow = accepted - self._judged_accepted < seconds * (FAST_ABOVE if self.is_slow else SLOW_BELOW)
        self._judged_accepted, self._judged_at = accepted, now
        self._until = accepted + PORTION_BYTES if self.is_slow else _NO_LIMIT

    def leave(self) -> None:
        """Leave the connection as it was, to whoever writes to it next."""
        if self.is_slow:
            self._set_low_mark(0)

    def _set_low_mark(self, unsent_bytes: int) -> None:
        """Set it; 0: the system's, which is none."""
        try:
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, unsent_bytes)
        except OSError:
            # The connection is gone, as whoever uses it next finds out.
            return
