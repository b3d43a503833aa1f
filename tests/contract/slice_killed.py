"""Forks a process for each number N of its input, which fills slices until it is killed before its Nth call.

Only calls that change the cache directory or a lock are counted. Prints how each process ended: -9 if it was killed.

python -m tests.contract.slice_killed DIRECTORY URL
"""

import asyncio
import fcntl
import itertools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.contract.slice_filler import fill

# `open` makes the file of a slice, `flock` claims it, `rename` puts it in place, `unlink` evicts or gives up.
COUNTED = ((os, "mkdir"), (os, "open"), (fcntl, "flock"), (os, "pwrite"), (os, "rename"), (os, "unlink"))


def kill_before(number: int) -> None:
    """Kill this process before the counted call of this number, or in the middle of it if it writes."""
    calls = itertools.count(1)

    def counted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            # Of calls of `open`, those with flags of creation only.
            if (name != "open" or args[1] & os.O_CREAT) and next(calls) >= number:
                if name == "pwrite":
                    descriptor, data, offset = args
                    real(descriptor, data[: len(data) // 2], offset)
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **options)

        return call

    for module, name in COUNTED:
        setattr(module, name, counted(name, getattr(module, name)))


def main() -> None:
    for line in sys.stdin:
        child = os.fork()
        if not child:
            sys.stdin.close()
            kill_before(int(line))
            asyncio.run(fill(Path(sys.argv[1]), sys.argv[2]))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
