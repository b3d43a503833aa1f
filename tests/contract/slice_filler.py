"""Forks a process for each line of its input, which fills slices until it is killed, and prints its process id.

python -m tests.contract.slice_filler DIRECTORY URL
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from tests.support.slice_cache import slice_cache


async def fill(directory: Path, url: str) -> None:
    """Read three files again and again. The cache holds less than two of them, so that slices come and go."""
    async with slice_cache(directory, url, max_bytes=1 << 20) as cache:
        while True:
            await asyncio.gather(*(cache.read(cache.file(f"?{number}")) for number in range(3)))


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for _ in sys.stdin:
        child = os.fork()
        if not child:
            sys.stdin.close()
            asyncio.run(fill(Path(sys.argv[1]), sys.argv[2]))
        print(child, flush=True)


if __name__ == "__main__":
    main()
