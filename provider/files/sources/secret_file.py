"""A secret in a file, read again when the file changes: whoever rotates a key writes the file and restarts nothing."""

import os
import time
from collections.abc import Callable

from provider.errors import UpstreamUnreachable

# A change is noticed after this time, or at once if the origin refuses the old secret.
_LOOK_SECONDS = 1.0
# Tokens have some kilobytes at most.
_MAX_BYTES = 64 * 1024


class SecretFile:
    """The content of the file at `path`, without white space at its ends. Such files are small, and in memory or near.

    A file that is missing for a moment, while it is replaced, keeps its last content.
    """

    __slots__ = ("_clock", "_look_at", "_name", "_path", "_state", "_text")

    def __init__(self, path: str, *, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        """`name`: of the source, for the log."""
        self._path, self._name, self._clock = path, name, clock
        self._text: str | None = None
        self._state: tuple[int, ...] = ()
        self._look_at = 0.0

    def text(self) -> str:
        """The secret. Raises UpstreamUnreachable if the file was never readable."""
        if self._text is None or self._clock() >= self._look_at:
            self.look()
        if self._text is None:
            raise UpstreamUnreachable(detail=f"source {self._name}: a file with its secret cannot be read")
        return self._text

    def look(self) -> bool:
        """Read the file if it has changed. True if the secret is another one."""
        self._look_at = self._clock() + _LOOK_SECONDS
        before = self._text
        try:
            found = os.stat(self._path)
            state = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
            if state != self._state:
                with open(self._path, encoding="utf-8") as file:
                    self._text = file.read(_MAX_BYTES).strip()
                self._state = state
        except (OSError, ValueError):
            return False
        return self._text != before
