"""The steps of publishers and consumers of compute-to-data, as in ocean.js: publish, quote, order, start, fetch."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from web3.contract import Contract

from provider.testing.chain.contracts import contract_at
from provider.testing.chain.keys import DEPLOYER_KEY
from provider.testing.http_client import Downloaded, Reply, download, request, with_query
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, url_file
from provider.testing.stage import DemoChain, DemoServer
from tests.support.metadata_store import StoringPublisher
from tests.support.operator import ENVIRONMENT_ADDRESS, OperatorService

Json = dict[str, Any]
FREE, PRICED = "free-env", "priced-env"
PRICE_WEI = 5 * 10**17  # of PRICED, per minute
CONTAINER = {"entrypoint": "node $ALGO", "image": "node", "tag": "latest", "checksum": "sha256:" + "8" * 64}
RAW = {"rawcode": "console.log('a job of its own')", "language": "js", "version": "1", "container": CONTAINER}


@dataclass
class ComputeClient:
    """One consumer of one server with one operator service behind it."""

    chain: DemoChain
    server: DemoServer
    operator: OperatorService
    publisher: StoringPublisher
    consumer: Consumer

    # Publishing

    def dataset(
        self, *urls: str, kind: str = "compute", compute: object = None, change: Mapping[str, object] | None = None
    ) -> Published:
        """An asset with one service of these files; by default every published and raw algorithm may use it."""
        asset = self.publisher.publish([url_file(url) for url in urls])
        service = self.document(asset)["services"][0]
        service["type"] = kind
        if kind == "compute":
            service["compute"] = {"allowRawAlgorithm": True} if compute is None else compute
        self.document(asset).update(change or {})
        return asset

    def algorithm(self, url: str, *, kind: str = "access", metadata: Mapping[str, object] | None = None) -> Published:
        """A published algorithm."""
        asset = self.publisher.publish([url_file(url)])
        self.document(asset)["services"][0]["type"] = kind
        self.document(asset)["metadata"] |= {
            "type": "algorithm",
            "algorithm": {"language": "js", "version": "1", "container": CONTAINER},
            **(metadata or {}),
        }
        return asset

    def document(self, asset: Published) -> Json:
        """Return the DDO as the metadata store has it. Change it before a server asks for it."""
        return self.publisher.store.documents[asset.did]

    # Requests

    @property
    def base(self) -> str:
        """The URL where the endpoints are."""
        return f"{self.server.url}/api/services"

    def send(self, method: str, path: str, body: object) -> Reply:
        """JSON to an endpoint."""
        headers = {"Content-Type": "application/json"}
        return request(method, f"{self.base}/{path}", body=json.dumps(body).encode(), headers=headers)

    def item(self, asset: Published, tx_id: str | None = None, **more: object) -> Json:
        """An asset's service as requests name it."""
        order = {"transferTxId": tx_id} if tx_id else {}
        return {"documentId": asset.did, "serviceId": asset.service()["id"], **order, **more}

    def quote(
        self,
        datasets: Sequence[Json],
        algorithm: Json,
        *,
        environment: str,
        seconds: int = 3600,
        end: object = None,
        consumer: str | None = None,
    ) -> Reply:
        """initializeCompute."""
        body = {
            "datasets": datasets,
            "algorithm": algorithm,
            "compute": {"env": environment, "validUntil": int(time.time()) + seconds if end is None else end},
            "consumerAddress": consumer or self.consumer.address,
        }
        return self.send("POST", "initializeCompute", body)

    def order(self, asset: Published, offer: Json) -> str:
        """Do what an offer asks for: nothing, `reuseOrder`, or `startOrder` for the environment's address."""
        if "providerFee" not in offer:
            return str(offer["validOrder"])
        fee = offer["providerFee"]
        datatoken = asset.datatokens[0]
        self._allow(fee, datatoken)
        if "validOrder" in offer:
            return self.consumer.reuse_order(asset, offer["validOrder"], fee=fee)
        self.publisher.mint(datatoken, self.consumer.address)
        return self.consumer.order(asset, fee=fee, consumer=ENVIRONMENT_ADDRESS)

    def _allow(self, fee: Json, datatoken: str) -> None:
        """Mint the fee, and allow the datatoken to take it."""
        amount = int(fee["providerFeeAmount"])
        if amount:
            self.chain.wallet(DEPLOYER_KEY).send(self._token(fee).functions.transfer(self.consumer.address, amount))
            self.consumer.wallet.send(self._token(fee).functions.approve(datatoken, amount))

    def _token(self, fee: Json) -> Contract:
        return contract_at(self.chain.w3, "MockOcean", fee["providerFeeToken"])

    def buy(
        self, datasets: Sequence[Published], algorithm: Published | None, *, environment: str, seconds: int = 3600
    ) -> list[str]:
        """Quote and order everything. Returns the transactions, the algorithm's last."""
        named = self.item(algorithm) if algorithm is not None else {"meta": RAW}
        reply = self.quote([self.item(one) for one in datasets], named, environment=environment, seconds=seconds)
        assert reply.status == 200, reply.body
        told = reply.json()
        assets = [*datasets, *([algorithm] if algorithm is not None else [])]
        offers = [*told["datasets"], *([told["algorithm"]] if algorithm is not None else [])]
        return [self.order(asset, offer) for asset, offer in zip(assets, offers, strict=True)]

    def start_body(
        self, dataset: Json, algorithm: object, *, environment: str, nonce: str | None = None, **more: object
    ) -> Json:
        """Signed body of a start; `more` overrides or adds fields after signing."""
        used = nonce or self.consumer.next_nonce()
        message = f"{self.consumer.address}{dataset.get('documentId', '')}"
        return {
            "dataset": dataset,
            "algorithm": algorithm,
            "environment": environment,
            "consumerAddress": self.consumer.address,
            "nonce": used,
            "signature": self.consumer.sign(message, used),
            **more,
        }

    def start(self, dataset: Json, algorithm: object, *, environment: str, **more: Any) -> Reply:
        """POST compute."""
        return self.send("POST", "compute", self.start_body(dataset, algorithm, environment=environment, **more))

    def change(self, method: str, *, job_id: str = "", document_id: str = "", **more: object) -> Reply:
        """PUT or DELETE compute."""
        nonce = self.consumer.next_nonce()
        body = {
            "consumerAddress": self.consumer.address,
            "jobId": job_id,
            "documentId": document_id,
            "nonce": nonce,
            "signature": self.consumer.sign(f"{self.consumer.address}{job_id}{document_id}", nonce),
            **more,
        }
        return self.send(method, "compute", body)

    def status(self, **fields: object) -> Reply:
        """GET compute."""
        return request("GET", with_query(f"{self.base}/compute", {"consumerAddress": self.consumer.address, **fields}))

    def result_url(self, job_id: str, index: object, **more: object) -> str:
        """Signed URL of a result."""
        nonce = self.consumer.next_nonce()
        fields = {
            "jobId": job_id,
            "index": index,
            "consumerAddress": self.consumer.address,
            "nonce": nonce,
            "signature": self.consumer.sign(f"{self.consumer.address}{job_id}{index}", nonce),
            **more,
        }
        return with_query(f"{self.base}/computeResult", fields)

    def result(self, job_id: str, index: object, *, headers: Mapping[str, str] | None = None) -> Downloaded:
        """GET computeResult."""
        return download(self.result_url(job_id, index), headers=headers)
