"""Shows all workers of one server which documents were decrypted lately.

A table of counters, one for each of 4096 groups of DIDs, in memory shared by the workers. It names no asset and needs
no lock: a lost count only leaves a cached document to its lifetime.
"""

import mmap
import os
from pathlib import Path

GROUPS = 4096
_FILE = "opened-documents"


class DocumentMarks:
    """`directory`: where the workers of one server share files; None for a single worker."""

    def __init__(self, directory: str | None = None) -> None:
        self._counts = mmap.mmap(-1, GROUPS) if directory is None else _shared(Path(directory) / _FILE)

    def mark(self, group: int) -> None:
        """Record that a document of this group was decrypted."""
        self._counts[group] = (self._counts[group] + 1) & 0xFF

    def count(self, group: int) -> int:
        """A number that changes whenever any worker decrypts a document of this group."""
        return self._counts[group]


def group_of(did: str) -> int:
    """The group of a DID, equal for both prefixes: its last 12 bits."""
    return int(did[-3:], 16)


def _shared(path: Path) -> mmap.mmap:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.ftruncate(descriptor, GROUPS)
        return mmap.mmap(descriptor, GROUPS)
    finally:
        os.close(descriptor)
