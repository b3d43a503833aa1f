"""A reverse proxy in front of a JSON-RPC node: it counts, can be switched off, delays answers, and can lie."""

import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SEND = "eth_sendRawTransaction"
Call = dict[str, Any]
Answer = Callable[[list[Any]], object]
Manner = Callable[[Any], tuple[int, bytes] | None]


@dataclass
class RpcProxy:
    """The running proxy. It accepts nothing unless `up`.

    `trips`: the methods of each round trip it accepted.
    `answers`: by method, an answer in place of the node's.
    `raw_sent`: transactions that were handed in.
    `drops`: swallow transactions, which then seem to be accepted.
    `mutes`: forward transactions and lose the answer.
    `cuts`: lose transactions.
    `open`: while it is not set, round trips wait after they are counted.
    `manner`: may answer a request body (an object or an array) with status and body; None leaves it to the node.
    """

    url: str
    node_url: str
    trips: list[list[str]] = field(default_factory=list)
    up: bool = True
    answers: dict[str, Answer] = field(default_factory=dict)
    raw_sent: list[str] = field(default_factory=list)
    drops: bool = False
    mutes: bool = False
    cuts: bool = False
    open: threading.Event = field(default_factory=threading.Event)
    manner: Manner | None = None

    def __post_init__(self) -> None:
        self.open.set()

    def count(self, method: str) -> int:
        """How often the node was asked this."""
        return sum(trip.count(method) for trip in self.trips)

    def handle(self, calls: list[Call]) -> list[Call] | None:
        """Return the replies to the calls of one round trip; None to close the connection without a reply."""
        if not self.up:
            return None
        self.trips.append([call["method"] for call in calls])
        self.open.wait(60)
        sent = [call["params"][0] for call in calls if call["method"] == SEND]
        self.raw_sent += sent
        if sent and self.cuts:
            return None
        answered = [self._answered(call) for call in calls]
        asked = [call for call, reply in zip(calls, answered, strict=True) if reply is None]
        replies = [*filter(None, answered), *(self._forwarded(asked) if asked else ())]
        return None if sent and self.mutes else replies

    def _answered(self, call: Call) -> Call | None:
        method = call["method"]
        if method == SEND and self.drops:
            return {"jsonrpc": "2.0", "id": call["id"], "result": "0x" + "00" * 32}
        if method in self.answers:
            return {"jsonrpc": "2.0", "id": call["id"], "result": self.answers[method](call.get("params") or [])}
        return None

    def _forwarded(self, calls: list[Call]) -> list[Call]:
        body = json.dumps(calls if len(calls) > 1 else calls[0]).encode()
        asked = urllib.request.Request(self.node_url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked) as reply:
            answer = json.loads(reply.read())
        return answer if isinstance(answer, list) else [answer]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    proxy: RpcProxy

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        calls = body if isinstance(body, list) else [body]
        own = self.proxy.manner(body) if self.proxy.manner is not None else None
        if own is not None:
            self.proxy.trips.append([call["method"] for call in calls])
            self._reply(*own)
            return
        replies = self.proxy.handle(calls)
        if replies is None:
            self.close_connection = True
            return
        self._reply(200, json.dumps(replies if isinstance(body, list) else replies[0]).encode())

    def _reply(self, status: int, answer: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

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
        proxy.open.set()
        server.shutdown()
        server.server_close()
