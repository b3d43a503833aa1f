"""Pipes for splicing: few, large, of this process. Taking never waits; nothing is said here about what goes through."""

import errno
import fcntl
import os
import sys
import time
from collections.abc import Callable

# CPU per GB on loopback with pipes of 64 KiB .585 s, 256 KiB .415, 1 MiB .295; the kernel gives no more to users.
PIPE_BYTES = 1 << 20
# An unprivileged user may own 16384 pages of pipes (pipe-user-pages-soft): 64 of these. Others need some, too.
MAX_PIPES = 48
# fcntl.h: SPLICE_F_MOVE | SPLICE_F_NONBLOCK.
SPLICE_FLAGS = 3
# After the system refused a pipe: how long to do without new ones.
_RETRY_SECONDS = 1.0
# This user's or the system's limit; for a while. Anything else is a mistake of ours.
_REFUSALS = frozenset((errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINVAL))


def set_pipe_size(descriptor: int, size_bytes: int) -> int:
    """Ask for a pipe of `size_bytes`; returns what it has now. Raises PermissionError above the user's limit."""
    if sys.platform != "linux":
        raise PermissionError(errno.EPERM, "pipes have one size here")
    return fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, size_bytes)


class Pipe:
    """One pipe: `source` is written to, `sink` read from; both non-blocking."""

    __slots__ = ("sink", "source")

    def __init__(self, size_bytes: int) -> None:
        """Raises OSError when the system has no pipe of that size for us."""
        self.sink, self.source = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if set_pipe_size(self.source, size_bytes) < size_bytes:
                raise PermissionError(errno.EPERM, "the pipe stayed small")
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Give it back to the system with whatever is in it."""
        os.close(self.sink)
        os.close(self.source)


class PipePool:
    """At most `max_pipes` pipes, most of them idle most of the time: a stream holds one only while bytes are in it."""

    def __init__(
        self,
        *,
        max_pipes: int = MAX_PIPES,
        pipe_bytes: int = PIPE_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`max_pipes` 0 stands for none at all: everything is copied."""
        self.pipe_bytes = pipe_bytes
        self._max_pipes = max_pipes if hasattr(os, "splice") else 0
        self._clock = clock
        self._idle: list[Pipe] = []
        self._taken = 0
        self.fallbacks = 0
        """Times that there was none to be had."""
        self._retry_at = 0.0

    @property
    def opened(self) -> int:
        """Pipes that exist."""
        return self._taken + len(self._idle)

    @property
    def taken(self) -> int:
        """Pipes that are in use."""
        return self._taken

    @property
    def usable(self) -> bool:
        """False where there will never be a pipe."""
        return self._max_pipes > 0

    def take(self) -> Pipe | None:
        """An empty pipe; None when there is none to be had now."""
        pipe = self._idle.pop() if self._idle else self._opened()
        if pipe is not None:
            self._taken += 1
        else:
            self.fallbacks += 1
        return pipe

    def give(self, pipe: Pipe) -> None:
        """Give back a pipe that is empty."""
        self._taken -= 1
        if self._max_pipes:
            self._idle.append(pipe)
        else:
            pipe.close()

    def drop(self, pipe: Pipe) -> None:
        """Close a pipe that is not: its bytes must never reach another stream."""
        self._taken -= 1
        pipe.close()

    def disable(self) -> None:
        """The system does not splice after all: hand out no more."""
        self._max_pipes = 0
        self.close()

    def close(self) -> None:
        """Close the idle ones."""
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
