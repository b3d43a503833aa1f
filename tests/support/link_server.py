"""A script for `raw_origin`: a Provider that hands out links to one file and serves it, with mishaps on request."""

import hashlib
import json
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.support.raw_origin import Exchange

_STEP = 1 << 18


@dataclass
class Mishap:
    """What happens to one GET of a link: another status, or a cut after some bytes; `first` runs before it.

    `resets`, `stalls`: how the cut looks, other than an ordinary end of the connection.
    """

    status: int | None = None
    fields: bytes = b""
    cut_after: int | None = None
    resets: bool = False
    stalls: bool = False
    first: Callable[[], None] = lambda: None


@dataclass
class LinkServer:
    """Serves `content`. `mishaps` happen to the next GETs of links, in order.

    `manifest`: overrides fields of every file of the manifest.
    `links_host`: the host in links; empty for the one that was asked.
    `good`: tokens that are links; each creation or renewal adds one.
    `log`: method, path and Range of every request.
    """

    content: bytes
    etag: str | None = '"v1"'
    names: tuple[str, ...] = ("data.bin",)
    mishaps: deque[Mishap] = field(default_factory=deque)
    manifest: dict[str, Any] = field(default_factory=dict)
    has_ranges: bool = True
    honours_if_range: bool = True
    answers_head: bool = True
    announces_length: bool = True
    renews: bool = True
    refusal: str = ""
    nonce: object = None
    base: str = ""
    links_host: str = ""
    good: set[str] = field(default_factory=set)
    log: list[tuple[str, str, str | None]] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    _made: int = 0

    def gets(self) -> list[str | None]:
        """Range of every GET of a link."""
        return [wanted for method, path, wanted in self.log if method == "GET" and path.startswith("/d/")]

    def count(self, method: str, prefix: str) -> int:
        return sum(seen == method and path.startswith(prefix) for seen, path, _ in self.log)

    async def __call__(self, exchange: Exchange) -> bool:
        method = exchange.request.split(b" ", 1)[0].decode()
        path = exchange.path.partition("?")[0]
        self.log.append((method, path, exchange.field("Range")))
        self.base = f"http://{exchange.field('Host')}"
        if not path.startswith("/d/"):
            await self._api(exchange, path)
            return True
        token = path.split("/")[2]
        if token not in self.good:
            await _json(exchange, 410, {"error": "The link has ended."}, with_body=method != "HEAD")
        elif method == "POST":
            await self._renew(exchange, token)
        elif method == "HEAD":
            status = b"200 OK" if self.answers_head else b"405 No"
            await exchange.send(b"HTTP/1.1 " + status + b"\r\n" + self._fields(len(self.content)) + b"\r\n")
        else:
            return await self._get(exchange)
        return True

    async def _api(self, exchange: Exchange, path: str) -> None:
        if path.endswith("/nonce"):
            await _json(exchange, 200, {"nonce": self.nonce})
        elif path.endswith("/links"):
            self.asked.append(json.loads(exchange.request.partition(b"\r\n\r\n")[2]))
            if self.refusal:
                await _json(exchange, 400, {"error": self.refusal})
            else:
                await _json(exchange, 200, self._manifest(self.asked[-1].get("fileIndex")))
        else:
            await _json(exchange, 404, {"error": "Not found."})

    def _manifest(self, index: int | None) -> dict[str, Any]:
        files = []
        asked = urlsplit(self.base)
        base = f"http://{self.links_host or asked.hostname}:{asked.port}"
        for position, name in enumerate(self.names):
            if index is not None and position != index:
                continue
            self._made += 1
            self.good.add(f"t{self._made}")
            files.append(
                {
                    "index": position,
                    "name": name,
                    "url": f"{base}/d/t{self._made}/{position}",
                    "length": len(self.content),
                    "etag": self.etag,
                    "ranges": self.has_ranges,
                    **self.manifest,
                }
            )
        return {"documentId": "did:op:" + "0" * 64, "expires": "2030-01-01T00:00:00Z", "files": files}

    async def _renew(self, exchange: Exchange, token: str) -> None:
        self.good.discard(token)
        if self.renews:
            await _json(exchange, 200, self._manifest(int(exchange.path.rpartition("/")[2])))
        else:
            await _json(exchange, 410, {"error": "The link has ended."})

    def _fields(self, length: int, part: str = "") -> bytes:
        lines = [f"Content-Length: {length}"] if self.announces_length else ["Transfer-Encoding: chunked"]
        lines += [f"ETag: {self.etag}"] if self.etag else []
        lines += ["Accept-Ranges: bytes"] if self.has_ranges else []
        lines += [f"Content-Range: {part}"] if part else []
        return "".join(line + "\r\n" for line in lines).encode()

    async def _get(self, exchange: Exchange) -> bool:
        mishap = self.mishaps.popleft() if self.mishaps else Mishap()
        mishap.first()
        if mishap.status is not None:
            head = b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n" % mishap.status
            await exchange.send(head + mishap.fields + b"\r\n{}")
            return True
        content, total = self.content, len(self.content)
        wanted, condition = exchange.field("Range"), exchange.field("If-Range")
        holds = condition in (None, self.etag) or not self.honours_if_range
        span = re.fullmatch(r"bytes=(\d+)-(\d+)", wanted or "")
        if span is not None and self.has_ranges and holds and int(span[2]) < total:
            first, last = span.groups()
            body = content[int(first) : int(last) + 1]
            head = b"HTTP/1.1 206 X\r\n" + self._fields(len(body), f"bytes {first}-{last}/{total}")
        else:
            body, head = content, b"HTTP/1.1 200 OK\r\n" + self._fields(total)
        await exchange.send(head + b"\r\n")
        return await self._body(exchange, body, mishap)

    async def _body(self, exchange: Exchange, body: bytes, mishap: Mishap) -> bool:
        sent = body if mishap.cut_after is None else body[: mishap.cut_after]
        for start in range(0, len(sent), _STEP):
            piece = sent[start : start + _STEP]
            await exchange.send(piece if self.announces_length else b"%x\r\n%b\r\n" % (len(piece), piece))
        if mishap.resets:
            exchange.reset()
        if mishap.stalls:
            await exchange.gone()
        if mishap.cut_after is None and not self.announces_length:
            await exchange.send(b"0\r\n\r\n")
        return mishap.cut_after is None


async def _json(exchange: Exchange, status: int, value: object, *, with_body: bool = True) -> None:
    body = json.dumps(value).encode()
    head = b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
    await exchange.send(head + (body if with_body else b""))


def bytes_of(size: int, version: int = 1) -> bytes:
    """Content in which no two stretches are alike."""
    return hashlib.shake_256(b"link %d" % version).digest(size)
