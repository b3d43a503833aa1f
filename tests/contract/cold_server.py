"""Serves files through the slice cache until its input ends, and prints its port.

python -m tests.contract.cold_server DIRECTORY URL
"""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from provider.upstream.source import HttpRequest, Source
from provider.upstream.wish import read_wish
from tests.support.raw_origin import RawOrigin
from tests.support.relay_server import Proxy, relaying
from tests.support.slice_cache import Cache, slice_cache


@dataclass
class PathOpener:
    """Opens the file that the path of a request names."""

    cache: Cache

    async def open(self, request: HttpRequest) -> Source:
        return await self.cache.open(self.cache.file(urlsplit(request.url).path), read_wish(dict(request.headers)))

    def close(self) -> None:
        pass


async def serve(directory: Path, url: str) -> None:
    async with slice_cache(directory, url, max_bytes=4 << 30, slice_bytes=8 << 20) as cache:
        proxy = Proxy(RawOrigin("http://file"), opener=PathOpener(cache))
        async with relaying(proxy, idle_timeout_seconds=60):
            print(proxy.port, flush=True)
            await asyncio.to_thread(sys.stdin.read)
        proxy.disk.close()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), sys.argv[2]))
