"""Measures how long something takes on a machine that is also busy with other things."""

import time
from collections.abc import Callable


def ends_within(seconds: float, act: Callable[[], None], *, tries: int = 4) -> bool:
    """Tell whether `act` takes less than this. One fast try proves it; a slow one may be the machine's fault."""
    for _ in range(tries):
        began = time.monotonic()
        act()
        if time.monotonic() - began < seconds:
            return True
    return False
