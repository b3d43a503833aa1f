"""A Tornado handler that does only what no authorised download can leave out, with the same libraries as ours.

For each answer it recovers the signer of a message, makes one nonce durable, and fetches the bytes from the origin. It
parses no parameters, checks no order, guards no address, counts and logs nothing.
"""

import asyncio
import itertools
import sys
import time
from pathlib import Path

import uvloop
from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler

from benchmarks.signing import Signer
from provider.auth.sqlite_store import SqliteNonceStore
from provider.crypto.signature import message_digest, parse_signature, recover_address

DOCUMENT = "did:op:" + "0" * 64


class Origin:
    """Kept connections to one origin, `address` as host:port."""

    def __init__(self, address: str) -> None:
        self._host, _, self._port = address.rpartition(":")
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def get(self, path: str) -> bytes:
        """Return the bytes of a path."""
        connection = self._idle.pop() if self._idle else await asyncio.open_connection(self._host, int(self._port))
        reader, writer = connection
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
        body = await reader.readexactly(int(length))
        self._idle.append(connection)
        return body


class Least(RequestHandler):
    """The bytes of a path."""

    def initialize(self, origin: Origin, store: SqliteNonceStore, nonces: "itertools.count[int]") -> None:
        """`nonces`: rising for ever."""
        self.origin, self.store, self.nonces = origin, store, nonces

    async def get(self) -> None:
        """Answer."""
        address = recover_address(message_digest(MESSAGE), SIGNATURE)
        if address != SIGNER.address:
            raise ValueError("the signature is of another key")
        await self.store.use(address, str(next(self.nonces)))
        body = await self.origin.get(self.request.path)
        self.set_header("Content-Type", "application/octet-stream")
        self.write(body)

    def compute_etag(self) -> None:
        """No tag: hashing is not part of a bare answer."""


SIGNER = Signer()
_nonce, _signature = SIGNER.sign(DOCUMENT)
MESSAGE, SIGNATURE = DOCUMENT + _nonce, parse_signature(_signature) or b""


async def serve(port: int, origin: str, folder: Path) -> None:
    """Serve until the process is ended."""
    parts = {
        "origin": Origin(origin.removeprefix("http://")),
        "store": SqliteNonceStore(folder / "least.sqlite"),
        "nonces": itertools.count(int(time.time() * 1000)),
    }
    application = Application([("/.*", Least, parts)], log_function=lambda _: None)
    HTTPServer(application).listen(port, "127.0.0.1", backlog=4096)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
