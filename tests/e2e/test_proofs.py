"""Proofs of download by the server as a process: on the real chain, and to a real proof service."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from eth_account import Account
from eth_account.messages import encode_defunct
from eth_utils import keccak

from provider.testing.chain.keys import CONSUMER_KEY, PROVIDER_KEY, SPARE_KEYS
from provider.testing.http_client import get_json
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, url_file
from provider.testing.ports import free_ports
from provider.testing.readings import scrape
from provider.testing.stage import DemoChain, DemoServer
from tests.e2e.conftest import LaunchServer, Sell
from tests.support.logs import tracebacks
from tests.support.metadata_store import StoringPublisher
from tests.support.origin import CSV, Origin
from tests.support.proof_events import executed
from tests.support.raw_http import connected
from tests.support.rpc_proxy import running_rpc_proxy

PROVIDER = Account.from_key(PROVIDER_KEY).address
BIG, HUGE = 300_000, 200_000_000


def until(is_so: Callable[[], bool], *, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


def counted(server: DemoServer, kind: str, outcome: str) -> float:
    return scrape(server.admin_url).total("provider_proofs_total", kind=kind, outcome=outcome)


def buyer_at(chain: DemoChain, server: DemoServer, key: str = CONSUMER_KEY) -> Consumer:
    return Consumer(chain.wallet(key), server.url)


def test_each_download_is_proven_on_chain_with_what_was_really_sent(
    chain: DemoChain,
    launch: LaunchServer,
    publisher: StoringPublisher,
    consumer: Consumer,
    origin: Origin,
) -> None:
    server = launch(USE_CHAIN_PROOF="1", PROVIDER_FINALITY_BLOCKS="0", PROVIDER_PROOF_PERIOD_SECONDS="0")
    paths = ("data.csv", f"bytes/{BIG}", f"bytes/{HUGE}")
    asset = publisher.publish([url_file(f"{origin.url}/{path}") for path in paths])
    buyers = [buyer_at(chain, server, key) for key in SPARE_KEYS[:4]]
    orders = {}
    for buyer in buyers:
        publisher.mint(asset.datatokens[0], consumer.address)
        orders[buyer.address] = consumer.order(asset, consumer=buyer.address)

    def take(number: int) -> int:
        buyer = buyers[number]
        headers = {"Range": "bytes=10-109"} if number == 3 else None
        got = buyer.download(asset, orders[buyer.address], file_index=number % 2, headers=headers)
        assert got.complete
        return got.size_bytes

    with ThreadPoolExecutor(4) as pool:
        sizes = list(pool.map(take, range(4)))
    assert sizes == [len(CSV), BIG, len(CSV), 100]
    until(lambda: counted(server, "chain", "confirmed") == 4)
    events = executed(chain, asset.datatokens[0])
    by_buyer = {event.consumer: event for event in events}
    assert len(events) == len(by_buyer) == 4
    for number, buyer in enumerate(buyers):
        event = by_buyer[buyer.address]
        assert (event.provider, event.order_tx_id) == (PROVIDER, orders[buyer.address])
        assert event.statement == {
            "documentId": asset.did,
            "serviceId": asset.service(0)["id"],
            "fileIndex": number % 2,
            "downloadedBytes": sizes[number],
        }
        assert event.consumer_data.startswith(asset.did)
    with_token(server, buyers[0], asset, orders[buyers[0].address])
    until(lambda: counted(server, "chain", "skipped") == 1)
    statement = cut_short(chain, server, asset, orders)
    assert 0 < statement["downloadedBytes"] < HUGE
    until(lambda: counted(server, "chain", "confirmed") == 5)
    until(lambda: scrape(server.admin_url).total("provider_proofs_queued") == 0)
    assert counted(server, "chain", "queued") == 5
    log = server.child.stderr_tail(1 << 26)
    assert '"proof confirmed"' in log
    assert tracebacks(log) == []


def cut_short(chain: DemoChain, server: DemoServer, asset: Published, orders: dict[str, str]) -> dict[str, Any]:
    """A consumer leaves in the middle of the largest file; what the chain tells of that download."""
    buyer = buyer_at(chain, server, SPARE_KEYS[0])
    url = buyer.download_url(asset, orders[buyer.address], file_index=2)
    with connected(server.url) as sock:
        sock.sendall(f"GET {url.removeprefix(server.url)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert sock.recv(65536).startswith(b"HTTP/1.1 200")
        # The head may come alone, and a stream of which nothing was sent has nothing to prove.
        received = 0
        while received < BIG:
            received += len(sock.recv(65536))
    until(lambda: len(executed(chain, asset.datatokens[0])) == 5)
    return executed(chain, asset.datatokens[0])[-1].statement


def with_token(server: DemoServer, buyer: Consumer, asset: Published, order: str) -> None:
    nonce, expiration = buyer.next_nonce(), int(time.time()) + 600
    token = get_json(
        f"{server.url}/api/services/createAuthToken",
        {
            "address": buyer.address,
            "nonce": nonce,
            "expiration": expiration,
            "signature": buyer.sign(buyer.address, nonce),
        },
    )["token"]
    got = buyer.download(asset, order, headers={"AuthToken": token}, signature="")
    assert got.complete


def test_killed_server_sends_each_proof_once(
    chain: DemoChain, launch: LaunchServer, sell: Sell, origin: Origin, server_folder: Path
) -> None:
    asset, order = sell(url_file(f"{origin.url}/data.csv"))
    with running_rpc_proxy(chain.url) as between:
        settings = {
            "NETWORK_URL": between.url,
            "USE_CHAIN_PROOF": "true",
            "PROVIDER_PROOF_PERIOD_SECONDS": "0",
            "PROVIDER_FINALITY_BLOCKS": "0",
            "STORAGE_PATH": str(server_folder / "killed.db"),
        }
        between.cuts = True
        server = launch(**settings)
        buyer = buyer_at(chain, server)
        assert buyer.download(asset, order).complete
        until(lambda: len(set(between.raw_sent)) == 1)
        between.cuts, between.mutes = False, True
        assert buyer.download(asset, order).complete
        until(lambda: len(set(between.raw_sent)) == 2)
        os.killpg(server.child.pid, signal.SIGKILL)
        between.mutes = False
        server = launch(**settings)
        until(lambda: scrape(server.admin_url).total("provider_proofs_total", outcome="confirmed") == 2)
    assert len(set(between.raw_sent)) == 2
    assert [event.statement["downloadedBytes"] for event in executed(chain, asset.datatokens[0])] == [len(CSV)] * 2


class Taker(BaseHTTPRequestHandler):
    """A proof service that keeps the forms."""

    protocol_version = "HTTP/1.1"
    forms: list[list[tuple[str, str]]]

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        assert self.headers["Content-Type"] == "application/x-www-form-urlencoded"
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.forms.append(parse_qsl(body, strict_parsing=True))
        self.send_response(204)
        self.end_headers()


@contextmanager
def taker_at(port: int) -> Iterator[list[list[tuple[str, str]]]]:
    forms: list[list[tuple[str, str]]] = []
    server = ThreadingHTTPServer(("127.0.0.1", port), type("OneTaker", (Taker,), {"forms": forms}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield forms
    finally:
        server.shutdown()
        server.server_close()


def test_http_proof_arrives_with_every_field_once_the_service_is_there(
    chain: DemoChain, launch: LaunchServer, sell: Sell, origin: Origin
) -> None:
    """Both ways are asked for: HTTP wins."""
    (port,) = free_ports(1)
    asset, order = sell(url_file(f"{origin.url}/bytes/{BIG}"))
    server = launch(USE_HTTP_PROOF=f"http://127.0.0.1:{port}/planted", USE_CHAIN_PROOF="true", PROVIDER_WORKERS="2")
    buyer = buyer_at(chain, server)
    nonce = buyer.next_nonce()
    parameters = buyer.download_parameters(asset, order, nonce=nonce)
    assert buyer.download(asset, order, nonce=nonce).complete
    until(lambda: "proof not accepted" in server.child.stderr_tail(1 << 20))
    with taker_at(port) as forms:
        until(lambda: counted(server, "http", "confirmed") == 1)
    (form,) = forms
    fields = dict(form)
    statement = {
        "documentId": asset.did,
        "serviceId": asset.service(0)["id"],
        "fileIndex": 0,
        "downloadedBytes": BIG,
    }
    signature = bytes.fromhex(fields.pop("providerSignature")[2:])
    assert fields == {
        "orderTxId": order,
        "providerData": json.dumps(statement, separators=(",", ":")),
        "consumerData": f"{asset.did}{nonce}",
        "consumerSignature": parameters["signature"],
        "consumerAddress": buyer.address,
    }
    inner = keccak(text=fields["providerData"])
    assert Account.recover_message(encode_defunct(primitive=inner), signature=signature) == PROVIDER
    assert executed(chain, asset.datatokens[0]) == []
    log = server.child.stderr_tail(1 << 26)
    for secret in ("planted", str(parameters["signature"])[2:], "raceback"):
        assert secret not in log


def test_many_downloads_of_one_order_cost_the_provider_one_transaction(
    chain: DemoChain, launch: LaunchServer, sell: Sell, origin: Origin
) -> None:
    server = launch(USE_CHAIN_PROOF="1", PROVIDER_FINALITY_BLOCKS="0")
    asset, order = sell(url_file(f"{origin.url}/data.csv"))
    buyer = buyer_at(chain, server)
    for _ in range(25):
        assert buyer.download(asset, order).complete
    until(lambda: counted(server, "chain", "skipped") == 24)
    until(lambda: counted(server, "chain", "confirmed") == 1)
    assert len(executed(chain, asset.datatokens[0])) == 1
