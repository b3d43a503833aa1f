"""A bare Tornado handler on uvloop: the unit in which small requests are compared.

It answers from memory. The bytes of a path are fetched from the origin before the first answer.
"""

import asyncio
import sys
import urllib.request

import uvloop
from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler


class Hello(RequestHandler):
    """The bytes of a path, or one range of them, and nothing else."""

    def initialize(self, origin: str, known: dict[str, bytes]) -> None:
        """`known`: bytes by path."""
        self.origin, self.known = origin, known

    def get(self) -> None:
        """Answer."""
        path = self.request.path
        if path not in self.known:
            with urllib.request.urlopen(self.origin + path) as answer:
                self.known[path] = answer.read()
        body = self.known[path]
        if wanted := self.request.headers.get("Range"):
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            self.set_status(206)
            self.set_header("Content-Range", f"bytes {first}-{last}/{len(body)}")
            body = body[int(first) : int(last) + 1]
        self.set_header("Content-Type", "application/octet-stream")
        self.write(body)

    def compute_etag(self) -> None:
        """No tag: hashing is not part of a bare answer."""


async def serve(port: int, origin: str) -> None:
    """Serve until the process is ended."""
    application = Application([("/.*", Hello, {"origin": origin, "known": {}})], log_function=lambda _: None)
    HTTPServer(application).listen(port, "127.0.0.1", backlog=4096)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2]))
