"""nginx and Caddy before this server and a stand-in for an ocean-node, with the configuration of docs/compute.md.

The stand-in verifies signatures, and takes nonces as ocean-node does: greater than the last one of the address.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_utils import keccak

from provider.testing.chain.keys import SPARE_KEYS
from provider.testing.child import Children
from provider.testing.http_client import Reply, request, with_query
from provider.testing.market.consumer import Consumer
from provider.testing.stage import DemoServer, launch_server
from tests.deploy.conftest import SMALL, Stage, tool
from tests.deploy.fronts import Front, caddy_front, nginx_front
from tests.support.certificates import Authority
from tests.support.origin import CSV
from tests.support.recipes import recipes

NODE_PATHS = ("computeEnvironments", "initializeCompute", "compute", "freeCompute", "computeResult")


@dataclass
class OceanNode:
    """The stand-in: its port, the last nonce of each address, and the paths that reached it."""

    port: int
    nonces: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def takes(self, fields: dict[str, str], command: str) -> bool:
        """Check a signature, then the nonce, as ocean-node's `nonceHandler.ts`."""
        address, nonce = fields["consumerAddress"], fields["nonce"]
        digest = keccak(text=f"{address}{nonce}{command}")
        signer = Account.recover_message(encode_defunct(primitive=digest), signature=fields["signature"])
        if signer != address or int(nonce) <= self.nonces.get(address, 0):
            return False
        self.nonces[address] = int(nonce)
        return True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    node: OceanNode

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer(200, {"node": self.path})

    def do_PUT(self) -> None:
        fields = dict(parse_qsl(urlsplit(self.path).query))
        good = self.node.takes(fields, "stopCompute")
        self._answer(200 if good else 401, [] if good else {"error": "Invalid nonce"})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self._answer(200, {"node": self.path})

    def _answer(self, status: int, value: object) -> None:
        self.node.asked.append(urlsplit(self.path).path)
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def running_node() -> Iterator[OceanNode]:
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    node = OceanNode(server.server_address[1])
    handler.node = node  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield node
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Joined:
    """A front, and the two servers behind it."""

    front: Front
    node: OceanNode
    server: DemoServer


@pytest.fixture(scope="module")
def beside(children: Children, stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> DemoServer:
    """The server with the setting."""
    folder = tmp_path_factory.mktemp("beside")
    settings = {"PROVIDER_BESIDE_OCEAN_NODE": "true"}
    server = launch_server(children, stage.chain, folder, settings, name="beside")
    server.wait_ready()
    return server


@contextmanager
def joined(kind: str, folder: Path, server: DemoServer) -> Iterator[Joined]:
    """The front of `conf/` with the block of the page in it."""
    program, authority, port = tool(kind), Authority(folder), urlsplit(server.url).port
    assert port is not None
    block = recipes("compute.md")[f"{kind}-beside"]
    with running_node() as node, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(authority.ca_path))
        block = block.replace("127.0.0.1:8000", f"127.0.0.1:{node.port}")
        tls = authority.issue("front")
        if kind == "nginx":
            running = nginx_front(program, folder, port, tls, {"    location / {": f"{block}    location / {{"})
        else:
            running = caddy_front(program, folder, port, tls, {"\treverse_proxy": f"{block}\treverse_proxy"})
        with running as front:
            yield Joined(front, node, server)


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def both(
    request: pytest.FixtureRequest, beside: DemoServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Joined]:
    with joined(request.param, tmp_path_factory.mktemp(request.param), beside) as running:
        yield running


def next_nonce(url: str, consumer: Consumer) -> str:
    """As ocean.js 8 and 9: what the server tells, and one."""
    reply = request("GET", with_query(f"{url}/api/services/nonce", {"userAddress": consumer.address}))
    return str(int(reply.json()["nonce"]) + 1)


def stop_job(url: str, consumer: Consumer) -> Reply:
    """`computeStop` of ocean.js 8."""
    nonce = next_nonce(url, consumer)
    signature = consumer.sign(f"{consumer.address}{nonce}stopCompute", "")
    fields = {"consumerAddress": consumer.address, "nonce": nonce, "signature": signature, "jobId": "j"}
    return request("PUT", with_query(f"{url}/api/services/compute", fields))


def download(stage: Stage, url: str, consumer: Consumer) -> Reply:
    nonce = next_nonce(url, consumer)
    fields = {
        "documentId": stage.asset.did,
        "serviceId": stage.asset.service()["id"],
        "transferTxId": stage.order_tx,
        "fileIndex": SMALL,
        "consumerAddress": consumer.address,
        "nonce": nonce,
        "signature": consumer.sign(f"{consumer.address}{nonce}download", ""),
    }
    return request("GET", with_query(f"{url}/api/services/download", fields))


def test_each_request_goes_to_its_server(both: Joined) -> None:
    both.node.asked.clear()
    for name in (*NODE_PATHS, "computeStreamableLogs"):
        assert request("GET", f"{both.front.url}/api/services/{name}").json() == {"node": f"/api/services/{name}"}
    assert len(both.node.asked) == 6
    root = request("GET", both.front.url).json()
    assert root["software"] == "Provider"
    assert {"freeCompute", "computeStreamableLogs"} <= root["serviceEndpoints"].keys()
    for path in ("/api/services/computeEnvironmentsX", "/api/aquarius/assets/ddo/x", "/d/x/compute"):
        assert request("GET", both.front.url + path).status >= 400
    assert len(both.node.asked) == 6


def test_calls_to_both_servers_in_any_order_are_accepted(both: Joined, stage: Stage) -> None:
    url = both.front.url
    consumer = stage.consumer(url)
    for _ in range(3):
        assert [stop_job(url, consumer).status for _ in range(3)] == [200, 200, 200]
        for _ in range(2):
            got = download(stage, url, consumer)
            assert (got.status, got.body) == (200, CSV)


def test_without_the_setting_the_second_compute_request_is_refused(stage: Stage, tmp_path: Path) -> None:
    with joined("nginx", tmp_path, stage.server) as running:
        consumer = Consumer(stage.chain.wallet(SPARE_KEYS[7]), running.front.url)
        assert [stop_job(running.front.url, consumer).status for _ in range(2)] == [200, 401]


def test_the_node_command_tells_the_same_nonce(beside: DemoServer, stage: Stage) -> None:
    consumer = Consumer(stage.chain.wallet(SPARE_KEYS[8]), beside.url)
    body = json.dumps({"command": "nonce", "address": consumer.address}).encode()
    headers = {"Content-Type": "application/json"}
    told = request("POST", f"{beside.url}/directCommand", body=body, headers=headers).json()["nonce"]
    assert re.fullmatch(r"1[0-9]{12}", told)
    assert int(told) < int(next_nonce(beside.url, consumer))
