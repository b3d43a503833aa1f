"""The relaying server of `relay_server.py` with a local file in place of an origin."""

import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from provider.upstream.disk import Disk
from provider.upstream.file_source import FileSource
from provider.upstream.source import HttpRequest, Source
from provider.upstream.wish import read_wish
from tests.support.raw_origin import RawOrigin
from tests.support.relay_server import Proxy, relaying


class FileOpener:
    """Opens one file for every request, as the server does."""

    def __init__(self, path: Path, disk: Disk, idle_timeout_seconds: float) -> None:
        self.path, self.disk, self.idle_timeout_seconds = path, disk, idle_timeout_seconds

    async def open(self, request: HttpRequest) -> Source:
        wish = read_wish(dict(request.headers))
        descriptor = os.open(self.path, os.O_RDONLY)
        return FileSource(
            self.disk,
            descriptor,
            os.fstat(descriptor),
            path="data.bin",
            idle_timeout_seconds=self.idle_timeout_seconds,
            wish=wish,
        )

    def close(self) -> None:
        self.disk.close()


@asynccontextmanager
async def serving(
    path: Path,
    *,
    idle_timeout_seconds: float = 10,
    disk_idle_seconds: float = 10,
    disk: Disk | None = None,
    max_resumes: int = 0,
    context: ssl.SSLContext | None = None,
    opener: Callable[[Disk], FileOpener] | None = None,
) -> AsyncIterator[Proxy]:
    """Serve `path` at every URL. `context`: of TLS for consumers. `opener`: another one for the same disk."""
    disk = disk or Disk()
    found = FileOpener(path, disk, disk_idle_seconds) if opener is None else opener(disk)
    proxy = Proxy(RawOrigin("http://file"), opener=found, disk=disk, max_resumes=max_resumes)
    async with relaying(proxy, idle_timeout_seconds=idle_timeout_seconds, context=context):
        yield proxy
