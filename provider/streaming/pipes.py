"""Pipes for splicing: few, large, shared by the process. Taking one never waits."""

import errno
import fcntl
import os
import sys
import time
from collections.abc import Callable

# CPU per GB on loopback with pipes of 64 KiB 0.585 s, 256 KiB 0.415, 1 MiB 0.295. Users get no larger ones.
PIPE_BYTES = 1 << 20
# An unprivileged user may own 16384 pages of pipes (pipe-user-pages-soft), that is 64 of these. Leave some for others.
MAX_PIPES = 48
# fcntl.h: SPLICE_F_MOVE | SPLICE_F_NONBLOCK.
SPLICE_FLAGS = 3
# After the system refused a pipe: seconds without another attempt.
_RETRY_SECONDS = 1.0
# The user's or the system's limit, which may pass. Any other error is a bug.
_REFUSALS = frozenset((errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINVAL))


def set_pipe_size(descriptor: int, size_bytes: int) -> int:
    """Set the size of a pipe. Returns the size that it has now. Raises PermissionError above the user's limit."""
    if sys.platform != "linux":
        raise PermissionError(errno.EPERM, "pipes have one size here")
    return fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, size_bytes)


class Pipe:
    """One pipe. Write to `source`, read from `sink`; both are non-blocking."""

    __slots__ = ("sink", "source")

    def __init__(self, size_bytes: int) -> None:
        """Raises OSError if the system refuses a pipe of that size."""
        self.sink, self.source = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if set_pipe_size(self.source, size_bytes) < size_bytes:
                raise PermissionError(errno.EPERM, "the pipe stayed small")
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Close the pipe and discard its contents."""
        os.close(self.sink)
        os.close(self.source)


class PipePool:
    """At most `max_pipes` pipes. A stream holds one only while bytes are in it, so most are idle most of the time."""

    def __init__(
        self,
        *,
        max_pipes: int = MAX_PIPES,
        pipe_bytes: int = PIPE_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`max_pipes`: 0 turns splicing off, and everything is copied."""
        self.pipe_bytes = pipe_bytes
        self._max_pipes = max_pipes if hasattr(os, "splice") else 0
        self._clock = clock
        self._idle: list[Pipe] = []
        self._taken = 0
        self.fallbacks = 0
        """Number of times that no pipe was available."""
        self._retry_at = 0.0

    @property
    def opened(self) -> int:
        """Number of existing pipes."""
        return self._taken + len(self._idle)

    @property
    def taken(self) -> int:
        """Number of pipes in use."""
        return self._taken

    @property
    def usable(self) -> bool:
        """False if there will never be a pipe."""
        return self._max_pipes > 0

    def take(self) -> Pipe | None:
        """An empty pipe; None if none is available now."""
        pipe = self._idle.pop() if self._idle else self._opened()
        if pipe is not None:
            self._taken += 1
        else:
            self.fallbacks += 1
        return pipe

    def give(self, pipe: Pipe) -> None:
        """Return an empty pipe."""
        self._taken -= 1
        if self._max_pipes:
            self._idle.append(pipe)
        else:
            pipe.close()

    def drop(self, pipe: Pipe) -> None:
        """Close a pipe that is not empty: its bytes must never reach another stream."""
        self._taken -= 1
        pipe.close()

    def disable(self) -> None:
        """Stop handing out pipes, since the system cannot splice."""
        self._max_pipes = 0
        self.close()

    def close(self) -> None:
        """Close the idle pipes."""
        while self._idle:
            self._idle.pop().close()

    def _opened(self) -> Pipe | None:
        if self.opened >= self._max_pipes or self._clock() < self._retry_at:
            return None
        try:
            return Pipe(self.pipe_bytes)
        except OSError as exc:
            if exc.errno not in _REFUSALS:
                raise
            self._retry_at = self._clock() + _RETRY_SECONDS
            return None
