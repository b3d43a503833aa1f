"""Gives memory back to the system after many streams have left."""

import ctypes
import gc
from collections.abc import Callable

# Streams that must have left since the last time. Each held 16 KB.
LEFT_STREAMS = 500
# So long, in looks, no stream must have left: what is given back too early is asked for again.
CALM_LOOKS = 10


def give_back() -> None:
    """Return free memory to the system.

    A full collection empties Python's lists of free objects, which keep whole MiB of its heap in use. `malloc_trim`
    (glibc) returns free pages of the other heap. After 5500 streams that was a third of what they had taken.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class Heap:
    """Calls `give_back` once many streams have left and the others stay. `streams`: how many there are now."""

    def __init__(self, streams: Callable[[], int], give_back: Callable[[], None] = give_back) -> None:
        self._streams = streams
        self._give_back = give_back
        # The most since the last time, the number at the last look, and the looks since it last fell.
        self._most = self._latest = self._calm = 0

    def look(self) -> None:
        """Look at the streams. Call it twice a second."""
        latest, self._latest = self._latest, self._streams()
        self._most = max(self._most, self._latest)
        self._calm = 0 if self._latest < latest else self._calm + 1
        if self._calm >= CALM_LOOKS and self._most - self._latest >= LEFT_STREAMS:
            self._most = self._latest
            self._give_back()
