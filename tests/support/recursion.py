"""The depth of recursion that a server has. Libraries of tests raise it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def recursion_of_a_server() -> Iterator[None]:
    """Python's own limit, inside the block."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
