"""Opens an `HttpOrigin` as tests need it, and lists what its raw origin may answer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from provider.upstream.config import UpstreamConfig
from provider.upstream.http_origin import HttpOrigin
from provider.upstream.http_source import HttpSource
from provider.upstream.source import HttpRequest
from tests.support.raw_origin import Exchange

DATA = bytes(range(256)) * 64
WITH_LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(DATA)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
TO_THE_END = b"HTTP/1.1 200 OK\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def chunks(data: bytes, size: int = 1000) -> bytes:
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    return b"".join(b"%x;ext=1\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nX-Sum: 1\r\n\r\n"


@asynccontextmanager
async def opener(*, patient=True, tls_context=None, resolver=None, **options) -> AsyncIterator[HttpOrigin]:
    usual = {"allow_non_public_ip": True, "first_byte_timeout_seconds": 60.0, "idle_timeout_seconds": 60.0}
    origin = HttpOrigin(
        UpstreamConfig(**(usual | options)), patient=patient, tls_context=tls_context, resolver=resolver
    )
    try:
        yield origin
    finally:
        origin.close()


def get(url: str, *headers: tuple[str, str]) -> HttpRequest:
    return HttpRequest("GET", url, headers)


async def read_all(source: HttpSource, room: int = 65536) -> bytes:
    out, buffer = b"", memoryview(bytearray(room))
    while count := await source.read_into(buffer):
        out += buffer[:count]
    return out


async def fetch(url: str, **options) -> tuple[HttpSource, bytes]:
    async with opener(**options) as origin, origin.opened(get(url)) as source:
        return source, await read_all(source)


async def silent(exchange: Exchange) -> None:
    await exchange.gone()
