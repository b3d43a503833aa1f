"""A server with its garbage collector off: `python -m tests.support.uncollected FILE serve`.

At SIGUSR2 it collects once and appends a line to FILE: how many objects were kept alive only by a cycle.
"""

import gc
import os
import signal
import sys
from pathlib import Path

from provider.__main__ import main
from provider.testing.child import Child, wait_until


class Uncollected:
    """The parent's half: counts what such a server would have left to the collector."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.touch()

    @property
    def command(self) -> tuple[str, ...]:
        """Python's arguments that start the server."""
        return ("-m", "tests.support.uncollected", str(self._path), "serve")

    def count(self, child: Child) -> int:
        """Return the number of objects in cycles since the last count."""
        seen = len(self._lines())
        os.kill(child.pid, signal.SIGUSR2)
        wait_until(lambda: len(self._lines()) > seen, child, timeout_seconds=60)
        return int(self._lines()[-1])

    def _lines(self) -> list[str]:
        return [line for line in self._path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def _serve(path: Path, arguments: list[str]) -> int:
    gc.disable()

    def count(*_: object) -> None:
        found = gc.collect()
        with path.open("a") as file:
            file.write(f"{found}\n")

    signal.signal(signal.SIGUSR2, count)
    return main(arguments)


if __name__ == "__main__":
    sys.exit(_serve(Path(sys.argv[1]), sys.argv[2:]))
