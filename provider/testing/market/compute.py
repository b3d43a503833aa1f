"""Compute-to-data as publishers and consumers do it with ocean.js: publish, quote, order, start, watch, fetch."""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from provider.testing.chain.contracts import contract_at
from provider.testing.chain.wallet import Wallet
from provider.testing.http_client import Reply, ReplyRefused, request, with_query
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, Publisher, build_ddo, files_document, service_entry, url_file

# What a real operator service would run in a container. The demo's runs the program in its sandbox instead.
CONTAINER = {
    "entrypoint": "python $ALGO",
    "image": "python",
    "tag": "3",
    "checksum": "sha256:" + hashlib.sha256(b"the demo pulls no image").hexdigest(),
}

Json = dict[str, Any]


def publish_algorithm(publisher: Publisher, url: str, *, name: str) -> Published:
    """Publish an algorithm asset with one program."""
    details = {"language": "python", "version": "1", "container": CONTAINER}
    return _publish(publisher, url, name=name, kind="access", metadata={"type": "algorithm", "algorithm": details})


def publish_dataset(publisher: Publisher, url: str, *, name: str, compute: Json) -> Published:
    """Publish a dataset that only jobs can read; `compute` says which (section 10.3)."""
    return _publish(publisher, url, name=name, kind="compute", compute=compute)


def trusting_only(entry: Json) -> Json:
    """Return the `compute` section of a service that accepts one algorithm and no raw code."""
    return {
        "allowRawAlgorithm": False,
        "allowNetworkAccess": False,
        "publisherTrustedAlgorithmPublishers": [],
        "publisherTrustedAlgorithms": [entry],
    }


def trust(algorithm: Published, program: bytes) -> Json:
    """Return a publisherTrustedAlgorithms entry: this asset with exactly this program and container (section 10.3)."""
    container = CONTAINER["entrypoint"] + CONTAINER["checksum"]
    return {
        "did": algorithm.did,
        "filesChecksum": hashlib.sha256(program).hexdigest(),
        "containerSectionChecksum": hashlib.sha256(container.encode()).hexdigest(),
    }


def _publish(
    publisher: Publisher,
    url: str,
    *,
    name: str,
    kind: str,
    metadata: Mapping[str, object] | None = None,
    **more: object,
) -> Published:
    data_nft, datatoken = publisher.create_nft(name=name)
    files = publisher.encrypt(files_document(data_nft, datatoken, [url_file(url)]))
    service = service_entry(datatoken, files, publisher.provider_url) | {"type": kind, **more}
    ddo = build_ddo(data_nft, publisher.wallet.chain_id, [service], name=name)
    ddo["metadata"] |= metadata or {}
    document = json.dumps(ddo, separators=(",", ":")).encode()
    publish_tx = publisher.set_metadata(data_nft, document)
    return Published(ddo["id"], publisher.wallet.chain_id, data_nft, (datatoken,), ddo, document, publish_tx)


def item(asset: Published, order_tx: str | None = None) -> Json:
    """Return an asset's service as compute requests name it."""
    named = {"documentId": asset.did, "serviceId": asset.service()["id"]}
    return {**named, "transferTxId": order_tx} if order_tx else named


@dataclass(frozen=True, slots=True)
class ComputeConsumer:
    """A consumer of compute services.

    `environment`: an object of computeEnvironments.
    `fee_source`: a wallet that holds tokens.
    """

    consumer: Consumer
    environment: Json
    fee_source: Wallet

    @property
    def base(self) -> str:
        """The URL where the endpoints are."""
        return f"{self.consumer.provider_url}/api/services"

    def _send(self, method: str, path: str, body: object) -> Reply:
        headers = {"Content-Type": "application/json"}
        return request(method, f"{self.base}/{path}", body=json.dumps(body).encode(), headers=headers)

    def quote(self, dataset: Published, algorithm: object, *, seconds: int) -> Reply:
        """Call initializeCompute for one dataset; `algorithm` as requests name it."""
        body = {
            "datasets": [item(dataset)],
            "algorithm": algorithm,
            "compute": {"env": self.environment["id"], "validUntil": int(time.time()) + seconds},
            "consumerAddress": self.consumer.address,
        }
        return self._send("POST", "initializeCompute", body)

    def order(self, asset: Published, offer: Json) -> str:
        """Pay the offered fee and one datatoken, which the wallet must hold. The environment may download."""
        fee, wallet = offer["providerFee"], self.consumer.wallet
        amount = int(fee["providerFeeAmount"])
        if amount:
            token = contract_at(wallet.w3, "MockOcean", fee["providerFeeToken"]).functions
            self.fee_source.send(token.transfer(wallet.address, amount))
            wallet.send(token.approve(asset.datatokens[0], amount))
        return self.consumer.order(asset, fee=fee, consumer=self.environment["consumerAddress"])

    def start(self, dataset: Json, algorithm: Json) -> Reply:
        """POST compute with items as requests name them."""
        nonce = self.consumer.next_nonce()
        address = self.consumer.address
        body = {
            "dataset": dataset,
            "algorithm": algorithm,
            "environment": self.environment["id"],
            "consumerAddress": address,
            "nonce": nonce,
            "signature": self.consumer.sign(address + dataset["documentId"], nonce),
        }
        return self._send("POST", "compute", body)

    def status_url(self, job_id: str) -> str:
        """Return the URL of the job's status: unsigned, and good any number of times."""
        return with_query(f"{self.base}/compute", {"consumerAddress": self.consumer.address, "jobId": job_id})

    def job(self, job_id: str) -> Json:
        """Return the job's current state. Raises ReplyRefused."""
        reply = request("GET", self.status_url(job_id))
        if reply.status != 200 or not reply.json():
            raise ReplyRefused(reply)
        shown: Json = reply.json()[0]
        return shown

    def result_url(self, job_id: str, index: int) -> str:
        """Return the signed URL of a result, good for one request."""
        nonce = self.consumer.next_nonce()
        address = self.consumer.address
        fields = {
            "jobId": job_id,
            "index": index,
            "consumerAddress": address,
            "nonce": nonce,
            "signature": self.consumer.sign(f"{address}{job_id}{index}", nonce),
        }
        return with_query(f"{self.base}/computeResult", fields)

    def result(self, job_id: str, index: int) -> Reply:
        """Fetch a whole result."""
        return request("GET", self.result_url(job_id, index))


def environments(provider_url: str, chain_id: int) -> Sequence[Json]:
    """Fetch the compute environments of a chain. Raises ReplyRefused."""
    reply = request("GET", f"{provider_url}/api/services/computeEnvironments")
    if reply.status != 200:
        raise ReplyRefused(reply)
    listed: Sequence[Json] = reply.json()[str(chain_id)]
    return listed


def token_text(amount_wei: int) -> str:
    """Format an amount of a token with 18 decimals, to the last unit."""
    whole, rest = divmod(amount_wei, 10**18)
    return f"{whole}.{rest:018d}".rstrip("0").rstrip(".")
