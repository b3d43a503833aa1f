"""The memory of a worker: what the garbage collector looks at, and when free memory goes back to the system.

Both are about pauses: a collection must not hold the event loop for long, and giving memory back needs a full one.
"""

import ctypes
import gc
from collections.abc import Callable, Mapping

# Collect when there are this many more objects than after the last collection. Python's own number is 700 (2000 from
# 3.13 on). No request leaves a reference cycle, so the collector finds nothing, but it walks all streams that are new.
COLLECT_AFTER = 5_000
# Streams that must have left since the last time. Each held 16 KB.
LEFT_STREAMS = 500
# So long, in looks, no stream must have left: what is given back too early is asked for again.
CALM_LOOKS = 10


def keep_collections_short() -> None:
    """Let the collector look only at what is new, from now on.

    The parts of the server stay alive, and requests leave no cycles (`tests/e2e/test_garbage.py`). Most objects that
    survive a collection belong to streams and caches. A full one would walk all of them: 0.1 s for caches of the
    default sizes, 0.15 s for thousands of streams. So what survives is set aside, and no object is walked twice. It is
    still freed when its last reference goes.
    """
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)
    if _set_survivors_aside not in gc.callbacks:
        gc.callbacks.append(_set_survivors_aside)


def collect_as_usual() -> None:
    """Undo `keep_collections_short`, except for the thresholds. For measurements and tests."""
    if _set_survivors_aside in gc.callbacks:
        gc.callbacks.remove(_set_survivors_aside)
    gc.unfreeze()


def _set_survivors_aside(phase: str, _: Mapping[str, int]) -> None:
    if phase == "stop":
        gc.freeze()


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
