"""Which documents were opened lately, told among the workers of one server.

A table of counters, one for each of 4096 groups of DIDs, in memory that the workers share. No asset is named, and no
lock is needed: a lost count only leaves a cached document to its lifetime.
"""

import mmap
import os
from pathlib import Path

GROUPS = 4096
_FILE = "opened-documents"


class DocumentMarks:
    """`directory`: where the workers of one server share files; None for a worker alone."""

    def __init__(self, directory: str | None = None) -> None:
        self._counts = mmap.mmap(-1, GROUPS) if directory is None else _shared(Path(directory) / _FILE)

    def mark(self, group: int) -> None:
        """A document of this group was opened."""
        self._counts[group] = (self._counts[group] + 1) & 0xFF

    def count(self, group: int) -> int:
        """Another number than before when a document of this group was opened meanwhile, by whichever worker."""
        return self._counts[group]


def group_of(did: str) -> int:
    """The group of a DID, alike for both prefixes: its last 12 bits."""
    return int(did[-3:], 16)


def _shared(path: Path) -> mmap.mmap:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.ftruncate(descriptor, GROUPS)
        return mmap.mmap(descriptor, GROUPS)
    finally:
        os.close(descriptor)
