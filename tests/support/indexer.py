"""An indexer for the metadata store: reads the NFTs' metadata events and lets the Provider decrypt them.

It talks to the Provider like Aquarius or like an ocean-node (`provider-api.md` section 15.3, `ocean-node-compat.md`
section 3.4), and returns the DDO in the shape of that one.
"""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from provider.testing.chain.contracts import contract_at
from provider.testing.chain.wallet import Wallet
from provider.testing.http_client import Reply, get_json, request
from provider.testing.stage import DemoChain
from tests.support.metadata_store import MetadataStore

Family = Literal["aquarius", "ocean-node"]
ANY_ADDRESS = "0x" + "00" * 20


@dataclass
class Indexer:
    """Follows the chain from the block of its creation. Sees only assets whose decryptor URL starts with this one."""

    chain: DemoChain
    store: MetadataStore
    wallet: Wallet
    family: Family
    provider_url: str
    replies: list[Reply] = field(default_factory=list)
    _next_block: int = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._next_block = self.chain.w3.eth.block_number + 1

    def catch_up(self) -> None:
        """Index every block up to the newest. Documents that the Provider refuses to decrypt are not stored."""
        with self._lock:
            newest = self.chain.w3.eth.block_number
            if newest >= self._next_block:
                for event in self._events(self._next_block, newest):
                    self._index(event)
                self._next_block = newest + 1

    def _events(self, first: int, last: int) -> Iterator[Any]:
        any_nft = contract_at(self.chain.w3, "ERC721Template", ANY_ADDRESS)
        for kind in ("MetadataCreated", "MetadataUpdated"):
            event = any_nft.events[kind]()
            logs = self.chain.w3.eth.get_logs(
                {"fromBlock": first, "toBlock": last, "topics": [event.topic]}  # type: ignore[typeddict-item]
            )
            for log in logs:
                found = event.process_log(log)
                if found["args"]["decryptorUrl"].startswith(self.provider_url):
                    yield found

    def _index(self, event: Any) -> None:
        args, tx = event["args"], "0x" + bytes(event["transactionHash"]).hex()
        reply = self.decrypt(args["decryptorUrl"], event["address"], tx)
        self.replies.append(reply)
        if reply.status != 201:
            return
        ddo = json.loads(reply.body)
        shown = {"nft": self._nft(event), "event": {"tx": tx, "txid": tx}, "datatokens": self._datatokens(ddo)}
        shown["stats"] = {"price": {"value": 0}, "orders": 0} if self.family == "aquarius" else []
        if self.family == "ocean-node":
            shown = {"indexedMetadata": shown, "datatokens": shown["datatokens"]}
        self.store.documents[ddo["id"]] = {**ddo, **shown}

    def decrypt(self, decryptor_url: str, data_nft: str, tx: str) -> Reply:
        """Ask like the real one. Aquarius appends a slash to the URL, however it ends."""
        me, chain_id = self.wallet.address, self.chain.contracts.chain_id
        if self.family == "aquarius":
            nonce = str(time.time_ns())
            message = f"{tx}{me}{chain_id}{nonce}"
        else:
            stored = get_json(f"{decryptor_url}/api/services/nonce", {"userAddress": me})["nonce"]
            nonce = str(int(stored) + 1)
            message = f"{me}{nonce}decryptDDO"
        body = {
            "transactionId": tx,
            "chainId": chain_id,
            "decrypterAddress": me,
            "dataNftAddress": data_nft,
            "signature": self.wallet.sign_text(message),
            "nonce": nonce,
        }
        url = f"{decryptor_url}/api/services/decrypt"
        return request("POST", url, body=json.dumps(body).encode(), headers={"Content-Type": "application/json"})

    def _nft(self, event: Any) -> dict[str, Any]:
        nft = contract_at(self.chain.w3, "ERC721Template", event["address"]).functions
        return {
            "address": event["address"],
            "state": nft.getMetaData().call()[2],
            "owner": nft.ownerOf(1).call(),
            "name": nft.name().call(),
            "symbol": nft.symbol().call(),
        }

    def _datatokens(self, ddo: dict[str, Any]) -> list[dict[str, str]]:
        tokens = []
        for service in ddo["services"]:
            token = contract_at(self.chain.w3, "ERC20Template", service["datatokenAddress"]).functions
            tokens.append(
                {
                    "address": service["datatokenAddress"],
                    "name": token.name().call(),
                    "symbol": token.symbol().call(),
                    "serviceId": service["id"],
                }
            )
        return tokens
