"""A server that tells about its objects: `python -m tests.support.told_objects WHAT FILE serve`.

At SIGUSR2 it appends a line to FILE. `WHAT` says which number:

held: bytes of all objects made since the start that live now
cycles: objects since the last line that were kept alive only by a cycle; the garbage collector is off
"""

import gc
import os
import signal
import sys
import tracemalloc
from pathlib import Path
from typing import Literal, get_args

from provider.__main__ import main
from provider.testing.child import Child, wait_until

What = Literal["held", "cycles"]


class ToldObjects:
    """The parent's half: starts such a server and asks it."""

    def __init__(self, what: What, path: Path) -> None:
        self._what = what
        self._path = path
        path.touch()

    @property
    def command(self) -> tuple[str, ...]:
        """Python's arguments that start the server."""
        return ("-m", "tests.support.told_objects", self._what, str(self._path), "serve")

    def ask(self, child: Child) -> int:
        """Return the number."""
        seen = len(self._lines())
        os.kill(child.pid, signal.SIGUSR2)
        wait_until(lambda: len(self._lines()) > seen, child, timeout_seconds=60)
        return int(self._lines()[-1])

    def _lines(self) -> list[str]:
        return [line for line in self._path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def _serve(what: str, path: Path, arguments: list[str]) -> int:
    assert what in get_args(What)
    if what == "held":
        tracemalloc.start()
    else:
        gc.disable()

    def tell(*_: object) -> None:
        found = gc.collect()
        number = tracemalloc.get_traced_memory()[0] if what == "held" else found
        with path.open("a") as file:
            file.write(f"{number}\n")

    signal.signal(signal.SIGUSR2, tell)
    return main(arguments)


if __name__ == "__main__":
    sys.exit(_serve(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))
