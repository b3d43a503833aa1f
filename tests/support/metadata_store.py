"""A small metadata store over HTTP, in a thread of the test process: Aquarius' answers, or an ocean-node's."""

import copy
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from eth_account import Account
from eth_account.messages import encode_defunct

from provider.testing.market.publisher import Published, Publisher

PATH = "/api/aquarius/assets/ddo/"
VALIDATOR_KEY = "0x" + "a9" * 32


@dataclass
class MetadataStore:
    """The running store: its base URL, its documents by DID, and the paths (and traces) of its requests.

    `catch_up` runs before an unknown DID is reported as missing: the work of an indexer.
    """

    url: str
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    traceparents: list[str | None] = field(default_factory=list)
    catch_up: Callable[[], None] | None = None

    def find(self, did: str) -> dict[str, Any] | None:
        """Return the document of a DID, catching up with the chain if necessary."""
        if did not in self.documents and self.catch_up is not None:
            self.catch_up()
        return self.documents.get(did)

    def put(self, asset: Published, *, owner: str | None = None, state: int = 0, shape: str = "aquarius") -> None:
        """Hold an asset as Aquarius (`nft` at the top) or an `ocean-node` (under `indexedMetadata`) shows it."""
        nft = {"address": asset.data_nft, "state": state, "owner": owner}
        document = copy.deepcopy(asset.ddo)
        if shape == "ocean-node":
            document["indexedMetadata"] = {"nft": nft, "event": {"txid": asset.publish_tx}}
        else:
            document |= {"nft": nft, "event": {"tx": asset.publish_tx}}
        self.documents[asset.did] = document


class StoringPublisher(Publisher):
    """A publisher whose assets appear in the store at once, as if it had followed the chain.

    `store_state`, `store_shape`: what the store reports. Everything else as in `Publisher.publish`.
    """

    store: MetadataStore

    def publish(self, *services: Any, store_state: int = 0, store_shape: str = "aquarius", **more: Any) -> Published:
        """Publish on chain and in the store."""
        asset = super().publish(*services, **more)
        self.store.put(asset, owner=self.wallet.address, state=store_state, shape=store_shape)
        return asset


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    store: MetadataStore

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.store.traceparents.append(self.headers.get("traceparent"))
        self.store.asked.append(self.path)
        path = unquote(self.path)
        document = self.store.find(path.removeprefix(PATH)) if path.startswith(PATH) else None
        if path == "/":
            self._send(200, {"software": "Aquarius"})
        elif document is None:
            self._send(404, {"error": f"Asset DID {path.removeprefix(PATH)} not found in Elasticsearch."})
        else:
            self._send(200, document)

    def do_POST(self) -> None:
        self.store.asked.append(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == PATH + "validate":
            self._send(200, _proof(body))
        else:
            self._send(404, {"error": "Not found."})

    def _send(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _proof(document: bytes) -> dict[str, object]:
    """Aquarius' answer for a valid DDO: its hash, and a validator's signature that the NFT contract accepts."""
    digest = hashlib.sha256(document).digest()
    signed = Account.from_key(VALIDATOR_KEY).sign_message(encode_defunct(primitive=digest))
    return {
        "hash": "0x" + digest.hex(),
        "publicKey": Account.from_key(VALIDATOR_KEY).address,
        "r": [f"0x{signed.r:064x}"],
        "s": [f"0x{signed.s:064x}"],
        "v": signed.v,
    }


@contextmanager
def running_metadata_store() -> Iterator[MetadataStore]:
    """A store on a free port of 127.0.0.1."""
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    store = MetadataStore(f"http://127.0.0.1:{server.server_address[1]}")
    handler.store = store  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
