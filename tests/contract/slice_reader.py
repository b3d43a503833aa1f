"""Reads one file through the slice cache, several times at once, and prints the digests of what came.

python -m tests.contract.slice_reader DIRECTORY URL SLICE_BYTES READERS
"""

import asyncio
import sys
from pathlib import Path

from tests.support.slice_cache import digest, slice_cache


async def read(directory: Path, url: str, slice_bytes: int, readers: int) -> None:
    async with slice_cache(directory, url, slice_bytes=slice_bytes) as cache:
        sources = await asyncio.gather(*(cache.open() for _ in range(readers)))
        print(*await asyncio.gather(*(digest(source) for source in sources)), flush=True)


if __name__ == "__main__":
    asyncio.run(read(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
