"""A gateway to IPFS, in a thread: it has blocks by their CID and answers as Kubo's does."""

import base64
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# CIDv1, codec raw, multihash sha2-256 of 32 bytes.
_CID_PREFIX = bytes.fromhex("01551220")


def cid_of(content: bytes) -> str:
    """The CID of a single raw block: multibase base32 in lower case (`b…`)."""
    digest = _CID_PREFIX + hashlib.sha256(content).digest()
    return "b" + base64.b32encode(digest).decode().rstrip("=").lower()


@dataclass
class IpfsGateway:
    """The running gateway: its URL, its blocks, and the paths that were asked for."""

    url: str
    blocks: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def pin(self, content: bytes) -> str:
        """Keep a block. Returns its CID."""
        cid = cid_of(content)
        self.blocks[cid] = content
        return cid


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    gateway: IpfsGateway

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.gateway.asked.append(self.path)
        kind, _, rest = self.path.removeprefix("/").partition("/")
        cid, _, inner = rest.partition("?")[0].partition("/")
        content = self.gateway.blocks.get(cid)
        if kind != "ipfs" or not cid.startswith("b"):
            self._send(400, b"invalid path: invalid cid\n", "text/plain; charset=utf-8")
        elif content is None:
            # A gateway looks for providers until it gives up.
            self._send(504, b"failed to fetch block: context deadline exceeded\n", "text/plain; charset=utf-8")
        elif inner:
            self._send(404, b"no link named below a raw block\n", "text/plain; charset=utf-8")
        else:
            headers = {
                "Etag": f'"{cid}"',
                "Cache-Control": "public, max-age=29030400, immutable",
                "Accept-Ranges": "bytes",
                "X-Ipfs-Path": f"/ipfs/{cid}",
                "X-Ipfs-Roots": cid,
            }
            self._send(200, content, "application/json", headers)

    def _send(self, status: int, body: bytes, content_type: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": content_type, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def running_ipfs_gateway() -> Iterator[IpfsGateway]:
    """A gateway on a free port of 127.0.0.1."""
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    gateway = IpfsGateway(f"http://127.0.0.1:{server.server_address[1]}")
    handler.gateway = gateway  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield gateway
    finally:
        server.shutdown()
        server.server_close()
