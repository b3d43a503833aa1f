"""How long something takes, on a machine that does other things as well."""

import time
from collections.abc import Callable


def ends_within(seconds: float, act: Callable[[], None], *, tries: int = 4) -> bool:
    """Does `act` take less than this? One try that does shows it; a longer one may be the machine's."""
    for _ in range(tries):
        began = time.monotonic()
        act()
        if time.monotonic() - began < seconds:
            return True
    return False
