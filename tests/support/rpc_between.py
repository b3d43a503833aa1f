"""A reverse proxy in front of a JSON-RPC node that can answer single calls itself, lose transactions or answers."""

import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SEND = "eth_sendRawTransaction"
Answer = Callable[[list[Any]], object]


@dataclass
class RpcBetween:
    """`answers`: by method, what is answered in the node's place. `raw_sent`: transactions that were handed in.

    `drops` swallows them: they seem to be taken. `mutes` forwards them and loses the answer; `cuts` loses the question.
    """

    url: str
    node_url: str
    answers: dict[str, Answer] = field(default_factory=dict)
    raw_sent: list[str] = field(default_factory=list)
    drops: bool = False
    mutes: bool = False
    cuts: bool = False

    def handle(self, call: dict[str, Any]) -> dict[str, Any] | None:
        """The reply to one call; None to close the connection without one."""
        method, params = call["method"], call.get("params") or []
        if method == SEND:
            self.raw_sent.append(params[0])
            if self.cuts:
                return None
            if self.drops:
                return {"jsonrpc": "2.0", "id": call["id"], "result": "0x" + "00" * 32}
        if method in self.answers:
            return {"jsonrpc": "2.0", "id": call["id"], "result": self.answers[method](params)}
        asked = urllib.request.Request(self.node_url, json.dumps(call).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked) as reply:
            answer: dict[str, Any] = json.loads(reply.read())
        return None if method == SEND and self.mutes else answer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    between: RpcBetween

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        calls = body if isinstance(body, list) else [body]
        replies = [self.between.handle(call) for call in calls]
        if None in replies:
            self.close_connection = True
            return
        answer = json.dumps(replies if isinstance(body, list) else replies[0]).encode()
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
def running_rpc_between(node_url: str) -> Iterator[RpcBetween]:
    """A proxy on a free port of 127.0.0.1 in front of `node_url`."""
    handler = type("Handler", (_Handler,), {})
    server = _Server(("127.0.0.1", 0), handler)
    between = RpcBetween(f"http://127.0.0.1:{server.server_address[1]}", node_url)
    handler.between = between  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield between
    finally:
        server.shutdown()
        server.server_close()
