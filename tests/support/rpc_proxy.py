"""A reverse proxy in front of a JSON-RPC node that counts round trips and can be switched off."""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class RpcProxy:
    """The running proxy: the methods of each round trip it forwarded, and whether it answers (`up`)."""

    url: str
    node_url: str
    trips: list[list[str]] = field(default_factory=list)
    up: bool = True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    proxy: RpcProxy

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.proxy.up:
            self.close_connection = True
            return
        calls = json.loads(body)
        self.proxy.trips.append([call["method"] for call in (calls if isinstance(calls, list) else [calls])])
        forwarded = urllib.request.Request(self.proxy.node_url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(forwarded) as reply:
            answer = reply.read()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        pass


@contextmanager
def running_rpc_proxy(node_url: str) -> Iterator[RpcProxy]:
    """A proxy on a free port of 127.0.0.1 in front of `node_url`."""
    handler = type("Handler", (_Handler,), {})
    server = _Server(("127.0.0.1", 0), handler)
    proxy = RpcProxy(f"http://127.0.0.1:{server.server_address[1]}", node_url)
    handler.proxy = proxy  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
