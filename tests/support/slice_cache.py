"""The slice cache in front of a raw origin, as the application builds it, and a consumer that reads sources whole."""

import asyncio
import hashlib
import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from provider.chain.networks import Networks
from provider.files.file_object import FileObject, Seller, UrlFile
from provider.files.origins import FileOrigins
from provider.files.sources.sources import Sources
from provider.files.userdata import NO_USERDATA, Userdata
from provider.observability.metrics.traffic import Slices
from provider.slices.cached_origins import CachedOrigins
from provider.slices.config import SliceConfig
from provider.slices.directory import SliceDirectory
from provider.slices.store import SliceStore
from provider.upstream.config import UpstreamConfig
from provider.upstream.disk import Disk
from provider.upstream.ftp_source import FtpOrigin
from provider.upstream.gateways import Gateways
from provider.upstream.http_origin import HttpOrigin
from provider.upstream.source import Source
from provider.upstream.wish import NO_WISH, Wish

SLICE = 64 << 10
DID = "did:op:" + "ab" * 32


@dataclass
class Cache:
    """A cache on a directory, and what it counts."""

    origins: CachedOrigins
    directory: Path
    url: str
    metrics: Slices

    def file(self, path: str = "/f", *, party: str = DID, **options: object) -> UrlFile:
        return UrlFile(url=self.url + path, party=party, **options)

    async def open(
        self, file: FileObject | None = None, wish: Wish = NO_WISH, userdata: Userdata = NO_USERDATA, **options
    ) -> Source:
        return await self.origins.open(file or self.file(), userdata, wish, **options)

    async def read(self, file: FileObject | None = None, wish: Wish = NO_WISH, **options) -> bytes:
        """Open, read to the end, release, and wait until the last slice is in its place."""
        found = await body(await self.open(file, wish, **options))
        await until(lambda: not self.fills())
        return found

    def slices(self) -> list[Path]:
        """Files of whole slices, in the order of their names."""
        return sorted(path for path in self.directory.glob("slices-*/*") if not path.name.startswith("filling-"))

    def unfinished(self) -> list[Path]:
        return list(self.directory.glob("slices-*/filling-*"))

    def open_slices(self) -> list[str]:
        """Files in the directory that this process has open."""
        found = []
        for link in Path("/proc/self/fd").iterdir():
            with suppress(FileNotFoundError):
                found.append(os.readlink(link))
        return [name for name in found if name.startswith(str(self.directory))]

    def fills(self) -> float:
        """Fills under way."""
        self.metrics.fills.look()
        return self.metrics.fills.values[()]

    def is_up(self) -> bool:
        self.metrics.up.look()
        return bool(self.metrics.up.values[()])

    def held_bytes(self) -> float:
        self.metrics.held_bytes.look()
        return self.metrics.held_bytes.values[()]

    def requests(self, result: str) -> float:
        return self.metrics.requests.values[(result,)]

    def bytes_of(self, result: str) -> float:
        return self.metrics.read_bytes.values[(result,)]


async def body(source: Source, room: int = 50_000) -> bytes:
    """Read a source to its end."""
    found, buffer = bytearray(), memoryview(bytearray(room))
    try:
        while count := await source.read_into(buffer):
            found += buffer[:count]
    finally:
        source.release()
    return bytes(found)


async def digest(source: Source) -> str:
    return hashlib.sha256(await body(source)).hexdigest()


async def _nobody(seller: Seller) -> frozenset[str]:
    return frozenset()


@asynccontextmanager
async def slice_cache(
    directory: Path,
    url: str,
    *,
    secret: bytes = b"s" * 32,
    idle_seconds: float = 10.0,
    sources: Sources | None = None,
    **options: object,
) -> AsyncIterator[Cache]:
    """Open a cache on `directory`, by default with slices of 64 KiB and from the first request on."""
    sources = sources or Sources({}, answerable_for=_nobody)
    usual = {"directory": str(directory), "max_bytes": 64 << 20, "slice_bytes": SLICE, "from_request": 1}
    config = SliceConfig(**(usual | options))
    http = HttpOrigin(UpstreamConfig(allow_non_public_ip=True, idle_timeout_seconds=idle_seconds))
    nothing = Gateways((), own=http, guarded=http)
    ftp = FtpOrigin(UpstreamConfig(), tls_context=ssl.create_default_context())
    files = FileOrigins(http=http, ipfs=nothing, arweave=nothing, ftp=ftp, networks=Networks({}), sources=sources)
    metrics, disk = Slices(), Disk()
    store = SliceStore(SliceDirectory(str(directory), secret), max_bytes=config.max_bytes, metrics=metrics)
    await store.start()
    origins = CachedOrigins(
        files, store, config, sources=sources, disk=disk, idle_timeout_seconds=idle_seconds, metrics=metrics
    )
    try:
        yield Cache(origins, directory, url, metrics)
    finally:
        await origins.close()
        http.close()
        disk.close()


async def until(condition: Callable[[], object]) -> None:
    """Wait until `condition()` holds."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
