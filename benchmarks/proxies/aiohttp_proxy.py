"""The usual asynchronous proxy: aiohttp as server and client, on uvloop, pieces of 64 KiB."""

import sys
from collections.abc import AsyncIterator

import uvloop
from aiohttp import ClientSession, ClientTimeout, TCPConnector, web

PIECE_BYTES = 64 << 10
PASSED = ("Content-Length", "Content-Type", "Content-Range", "Accept-Ranges", "ETag", "Last-Modified")
SESSION = web.AppKey("session", ClientSession)


def application(origin: str) -> web.Application:
    """Pass every GET on to `origin`, a base URL."""

    async def session(app: web.Application) -> AsyncIterator[None]:
        timeout = ClientTimeout(total=None, sock_connect=5.0)
        async with ClientSession(connector=TCPConnector(limit=0), timeout=timeout, auto_decompress=False) as opened:
            app[SESSION] = opened
            yield

    async def pass_on(request: web.Request) -> web.StreamResponse:
        headers = {"Range": request.headers["Range"]} if "Range" in request.headers else {}
        async with request.app[SESSION].get(origin + request.path, headers=headers) as upstream:
            passed = {name: upstream.headers[name] for name in PASSED if name in upstream.headers}
            response = web.StreamResponse(status=upstream.status, headers=passed)
            await response.prepare(request)
            async for piece in upstream.content.iter_chunked(PIECE_BYTES):
                await response.write(piece)
            await response.write_eof()
            return response

    app = web.Application()
    app.cleanup_ctx.append(session)
    app.router.add_get("/{path:.*}", pass_on)
    return app


if __name__ == "__main__":
    port, address = sys.argv[1:]
    web.run_app(
        application(address),
        host="127.0.0.1",
        port=int(port),
        backlog=4096,
        access_log=None,
        keepalive_timeout=600,
        print=None,
        loop=uvloop.new_event_loop(),
    )
