"""A server whose Python objects are traced: `python -m tests.support.traced FILE serve`.

At SIGUSR2 it appends a line to FILE: the bytes that objects made since the start hold now.
"""

import gc
import os
import signal
import sys
import tracemalloc
from pathlib import Path

from provider.__main__ import main
from provider.testing.child import Child, wait_until


class Traced:
    """The parent's half: reads how much memory such a server's objects hold."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.touch()

    @property
    def command(self) -> tuple[str, ...]:
        """Python's arguments that start the server."""
        return ("-m", "tests.support.traced", str(self._path), "serve")

    def held_bytes(self, child: Child) -> int:
        """Return the bytes of all living objects."""
        seen = len(self._lines())
        os.kill(child.pid, signal.SIGUSR2)
        wait_until(lambda: len(self._lines()) > seen, child, timeout_seconds=60)
        return int(self._lines()[-1])

    def _lines(self) -> list[str]:
        return [line for line in self._path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def _serve(path: Path, arguments: list[str]) -> int:
    tracemalloc.start()

    def tell(*_: object) -> None:
        gc.collect()
        with path.open("a") as file:
            file.write(f"{tracemalloc.get_traced_memory()[0]}\n")

    signal.signal(signal.SIGUSR2, tell)
    return main(arguments)


if __name__ == "__main__":
    sys.exit(_serve(Path(sys.argv[1]), sys.argv[2:]))
