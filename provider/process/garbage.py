"""When the garbage collector looks at what, so that it never holds the event loop for long."""

import gc
from collections.abc import Mapping

# Thresholds: objects, young collections, middle collections. Python's own are 700, 10 and 10. No request leaves a
# reference cycle, so the collector finds nothing, but it walks all streams that are new. With 400 at once (busy
# machine): three runs in 135 ms, 16 ms at most; with 5 000, 5 and 2 it was 404 and 79 ms. Memory was the same.
COLLECT_AFTER = (10_000, 20, 20)
_OLDEST = 2


def keep_collections_short() -> None:
    """Let the collector look only at what is new, from now on.

    The parts of the server stay alive, and requests leave no cycles (`tests/e2e/test_garbage.py`). Most objects that
    survive a full collection are in caches. Each later one would walk all of them: 0.1 s at the default sizes. So these
    objects are set aside. They are still freed when their last reference goes.
    """
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    if _set_survivors_aside not in gc.callbacks:
        gc.callbacks.append(_set_survivors_aside)


def collect_as_usual() -> None:
    """Undo `keep_collections_short`, except for the thresholds. For measurements and tests."""
    if _set_survivors_aside in gc.callbacks:
        gc.callbacks.remove(_set_survivors_aside)
    gc.unfreeze()


def _set_survivors_aside(phase: str, info: Mapping[str, int]) -> None:
    if phase == "stop" and info["generation"] == _OLDEST:
        gc.freeze()
