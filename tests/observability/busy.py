"""A server in use, compressed: everything that a metric tells of happens in each round."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provider.testing.chain.keys import PUBLISHER_KEY, SPARE_KEYS
from provider.testing.child import Children
from provider.testing.http_client import request, with_query
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, Publisher, url_file
from provider.testing.stage import DemoChain, DemoServer, launch_server
from tests.support.certificates import Authority
from tests.support.compute import FREE, ComputeClient
from tests.support.links import links
from tests.support.metadata_store import StoringPublisher, running_metadata_store
from tests.support.operator import Result, environment, running_operator
from tests.support.origin import running_origin
from tests.support.raw_http import connected
from tests.support.redis_server import RedisServer
from tests.support.rpc_proxy import RpcProxy, running_rpc_proxy

PATHS = ("data.csv", "bytes/300000", "chunked/10", "flaky/300000/200000", "dies", "bytes/200000000", "missing")
SMALL, SPLICED, COPIED, FLAKY, DIES, HUGE, MISSING = range(len(PATHS))
INDEX_SECONDS = 60.0
WORKERS, STREAMS_PER_CONSUMER = 2, 4
TOO_MANY = WORKERS * STREAMS_PER_CONSUMER + 1


@dataclass
class Shop:
    """One server that reads the chain itself, with two workers and two nodes, and its people."""

    chain: DemoChain
    server: DemoServer
    nodes: tuple[RpcProxy, RpcProxy]
    publisher: Publisher
    consumer: Consumer
    stranger: Consumer
    asset: Published
    order: str
    denied: Published

    def round(self, number: int) -> None:
        """A second or so of traffic."""
        self.chain.rpc("evm_mine")
        self._publish()
        self._download()
        self._cut_streams()
        self._be_refused()
        if number % 4 == 2:
            self._lose_nodes()

    def _publish(self) -> None:
        """Encrypt, and let the index read the DDO."""
        fresh = self.publisher.publish([url_file("http://127.0.0.1:9/never")])
        self.until_known(fresh)

    def until_known(self, asset: Published) -> None:
        """Wait until the index has the asset and its files can be read."""
        deadline = time.monotonic() + INDEX_SECONDS
        while self._fileinfo(asset) != 200:
            assert time.monotonic() < deadline, self.server.child.stderr_tail()
            time.sleep(0.05)

    def _fileinfo(self, asset: Published) -> int:
        body = json.dumps({"did": asset.did, "serviceId": asset.service()["id"]}).encode()
        headers = {"Content-Type": "application/json"}
        return request("POST", f"{self.server.url}/api/services/fileinfo", body=body, headers=headers).status

    def _download(self) -> None:
        self.consumer.initialize(self.asset)
        for file_index in (SMALL, SPLICED, COPIED, FLAKY):
            assert self.consumer.download(self.asset, self.order, file_index=file_index).complete
        ranged = self.consumer.download(
            self.asset, self.order, file_index=SPLICED, headers={"Range": "bytes=1000-199999"}
        )
        assert ranged.status == 206
        (linked,) = links(self.consumer, self.asset, self.order, fileIndex=SPLICED)
        assert request("GET", linked["url"]).status == 200
        self._decrypt()

    def _decrypt(self) -> None:
        """As an indexer does."""
        nonce, me, chain_id = self.stranger.next_nonce(), self.stranger.address, self.asset.chain_id
        body = {
            "transactionId": self.asset.publish_tx,
            "dataNftAddress": self.asset.data_nft,
            "chainId": chain_id,
            "decrypterAddress": me,
            "nonce": nonce,
            "signature": self.stranger.sign(f"{self.asset.publish_tx}{me}{chain_id}", nonce),
        }
        headers = {"Content-Type": "application/json"}
        url = f"{self.server.url}/api/services/decrypt"
        assert request("POST", url, body=json.dumps(body).encode(), headers=headers).status == 201

    def _cut_streams(self) -> None:
        """The origin ends early; the consumer takes more at once than it may, then leaves."""
        assert not self.consumer.download(self.asset, self.order, file_index=DIES).complete
        with ExitStack() as stack:
            replies = [self._begin(stack.enter_context(connected(self.server.url))) for _ in range(TOO_MANY)]
        assert {b"200", b"429"} == set(replies)

    def _begin(self, sock: socket.socket) -> bytes:
        """Status of a download that goes on."""
        url = self.consumer.download_url(self.asset, self.order, file_index=HUGE)
        sock.sendall(f"GET {url.removeprefix(self.server.url)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return sock.recv(4096)[9:12]

    def _be_refused(self) -> None:
        refused = [
            self._asked(self.asset, self.order, file_index=MISSING),
            self._asked(self.asset, self.order, signature="0x" + "1" * 130),
            self._asked(self.asset, self.order, nonce="1"),
            self._asked(self.asset, self.asset.publish_tx),
            self._asked(self.denied, self.order, who=self.stranger),
            request("GET", f"{self.server.url}/nothing/here").status,
        ]
        assert refused == [400] * 5 + [404]

    def _asked(self, asset: Published, order: str, *, who: Consumer | None = None, **more: Any) -> int:
        parameters = (who or self.consumer).download_parameters(asset, order, **more)
        return request("GET", with_query(f"{self.server.url}/api/services/download", parameters)).status

    def _lose_nodes(self) -> None:
        """First one, which nobody notices; then both, which is a 503 for what is not known yet."""
        unknown = "0x" + "ab" * 32
        first, second = self.nodes
        first.up = False
        assert self._asked(self.asset, unknown) == 400
        second.up = False
        assert self._asked(self.asset, unknown) == 503
        first.up = second.up = True


@dataclass
class ComputeShop:
    """A server with compute, and a finished job."""

    client: ComputeClient
    job_id: str
    limited: Published
    order: str

    def round(self) -> None:
        """Look at environments and the job, fetch its result; download until a quota is used up."""
        statuses = [self.client.consumer.download(self.limited, self.order).status for _ in range(2)]
        assert statuses[-1] == 429
        assert request("GET", f"{self.client.base}/computeEnvironments?chainId=8996").status == 200
        assert self.client.status(jobId=self.job_id).status == 200
        assert self.client.result(self.job_id, 0).complete


@contextmanager
def open_shop(children: Children, chain: DemoChain, folder: Path) -> Iterator[Shop]:
    """Two workers, the chain as metadata store, two nodes, proofs of download."""
    with ExitStack() as stack:
        origin = stack.enter_context(running_origin())
        nodes = tuple(stack.enter_context(running_rpc_proxy(chain.url)) for _ in range(2))
        settings = {
            "NETWORK_URL": json.dumps({"8996": [node.url for node in nodes]}),
            "PROVIDER_PRIVATE_KEY": json.dumps({"8996": chain.provider_key}),
            "UNIVERSAL_PRIVATE_KEY": chain.provider_key,
            "PROVIDER_WORKERS": str(WORKERS),
            "PROVIDER_MAX_STREAMS_PER_CONSUMER": str(STREAMS_PER_CONSUMER),
            "PROVIDER_RPC_WATCH_SECONDS": "1",
            "PROVIDER_FINALITY_BLOCKS": "0",
            "PROVIDER_RECEIPT_WAIT_SECONDS": "0.2",
            "PROVIDER_INDEX_POLL_SECONDS": "0.2",
            "USE_HTTP_PROOF": f"{origin.url}/echo",
            "PROVIDER_CACHE_DIR": str(folder / "slices"),
        }
        server = launch_server(children, chain, folder, settings, name="watched")
        stack.callback(server.child.stop)
        server.wait_ready()
        publisher = Publisher(chain.wallet(PUBLISHER_KEY), chain.contracts, server.url)
        consumer, stranger = (Consumer(chain.wallet(key), server.url) for key in SPARE_KEYS[7:9])
        asset = publisher.publish([url_file(f"{origin.url}/{path}") for path in PATHS])
        deny = {"deny": [{"type": "address", "values": [stranger.address]}]}
        denied = publisher.publish([url_file(f"{origin.url}/data.csv")], credentials=deny)
        shop = Shop(chain, server, nodes, publisher, consumer, stranger, asset, "", denied)
        for published in (asset, denied):
            shop.until_known(published)
        publisher.mint(asset.datatokens[0], consumer.address)
        shop.order = consumer.order(asset)
        yield shop


@contextmanager
def running_secure_server(children: Children, chain: DemoChain, folder: Path) -> Iterator[DemoServer]:
    """One with TLS of its own; nobody asks it anything."""
    files = Authority(folder).issue("watched")
    settings = {"PROVIDER_TLS_CERT_FILE": files.certificate, "PROVIDER_TLS_KEY_FILE": files.key}
    server = launch_server(children, chain, folder, settings, name="watched-secure")
    try:
        yield server
    finally:
        server.child.stop()


@contextmanager
def open_compute_shop(children: Children, chain: DemoChain, folder: Path) -> Iterator[ComputeShop]:
    """One worker, a metadata store, an operator service, a Redis, and a job that has run."""
    with ExitStack() as stack:
        store = stack.enter_context(running_metadata_store())
        origin = stack.enter_context(running_origin())
        operator = stack.enter_context(running_operator({chain.contracts.chain_id: [environment(FREE)]}))
        redis = RedisServer(folder).start()
        stack.callback(redis.stop)
        settings = {"AQUARIUS_URL": store.url, "OPERATOR_SERVICE_URL": operator.url, "REDIS_CONNECTION": redis.url}
        settings["PROVIDER_QUOTA_DOWNLOADS_PER_ORDER"] = "1"
        server = launch_server(children, chain, folder, settings, name="watched-compute")
        stack.callback(server.child.stop)
        server.wait_ready()
        publisher = StoringPublisher(chain.wallet(PUBLISHER_KEY), chain.contracts, server.url)
        publisher.store = store
        client = ComputeClient(chain, server, operator, publisher, Consumer(chain.wallet(SPARE_KEYS[9]), server.url))
        dataset, algorithm = client.dataset(f"{origin.url}/data.csv"), client.algorithm(f"{origin.url}/data.csv")
        dataset_order, algorithm_order = client.buy([dataset], algorithm, environment=FREE)
        started = client.start(
            client.item(dataset, dataset_order), client.item(algorithm, algorithm_order), environment=FREE
        )
        assert started.status == 200, started.body
        job_id = started.json()[0]["jobId"]
        operator.finish(job_id, Result("result.csv", "output", size_bytes=200_000))
        limited = publisher.publish([url_file(f"{origin.url}/data.csv")])
        publisher.mint(limited.datatokens[0], client.consumer.address)
        yield ComputeShop(client, job_id, limited, client.consumer.order(limited))
