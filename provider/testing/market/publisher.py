"""What a publisher does, as ocean.js does it: data NFT, datatokens, encrypted files, DDO, metadata on chain."""

import hashlib
import json
import lzma
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eth_utils.address import to_checksum_address
from web3.contract import Contract
from web3.logs import DISCARD
from web3.types import TxReceipt

from provider.testing.chain.contracts import TEMPLATE_STANDARD, Contracts, contract_at
from provider.testing.chain.wallet import Wallet, tx_id
from provider.testing.http_client import ReplyRefused, request, with_query

ZERO_ADDRESS = "0x" + "00" * 20
TOKEN_WEI = 10**18  # an order costs exactly one datatoken
DATATOKEN_CAP_WEI = 10**6 * TOKEN_WEI
FLAG_COMPRESSED, FLAG_ENCRYPTED = 1, 2

Ddo = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Published:
    """An asset on chain. `services[i]` is paid with `datatokens[i]`; `publish_tx` holds MetadataCreated."""

    did: str
    chain_id: int
    data_nft: str
    datatokens: tuple[str, ...]
    ddo: Ddo = field(repr=False)
    document: bytes = field(repr=False)
    publish_tx: str

    def service(self, index: int = 0) -> dict[str, Any]:
        """Service of the DDO by position, which is its index on chain."""
        service: dict[str, Any] = self.ddo["services"][index]
        return service


def did_for(data_nft: str, chain_id: int) -> str:
    """DID of a data NFT (`provider-api.md` section 7)."""
    return "did:op:" + hashlib.sha256(f"{to_checksum_address(data_nft)}{chain_id}".encode()).hexdigest()


def files_document(data_nft: str, datatoken: str, files: Sequence[Mapping[str, object]]) -> bytes:
    """Plaintext of a service's `files` for DDO versions after 4.0.0."""
    bound = {"datatokenAddress": datatoken, "nftAddress": data_nft, "files": list(files)}
    return json.dumps(bound, separators=(",", ":")).encode()


def url_file(url: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> dict[str, object]:
    """File object of type `url`."""
    return {"type": "url", "url": url, "method": method, **({"headers": dict(headers)} if headers else {})}


def service_entry(
    datatoken: str, files: str, endpoint: str, *, timeout_seconds: int = 0, **more: object
) -> dict[str, Any]:
    """One `services` entry of type access with a random id; `more` overrides or adds fields."""
    return {
        "id": uuid.uuid4().hex,
        "type": "access",
        "files": files,
        "datatokenAddress": datatoken,
        "serviceEndpoint": endpoint,
        "timeout": timeout_seconds,
        **more,
    }


def build_ddo(
    data_nft: str,
    chain_id: int,
    services: Sequence[Mapping[str, Any]],
    *,
    version: str = "4.1.0",
    name: str = "Demo dataset",
    **more: object,
) -> Ddo:
    """Clear DDO of version 4.x; `more` overrides or adds top-level fields (`credentials`, …)."""
    return {
        "@context": ["https://w3id.org/did/v1"],
        "id": did_for(data_nft, chain_id),
        "version": version,
        "chainId": chain_id,
        "nftAddress": data_nft,
        "metadata": {
            "created": "2026-01-01T00:00:00Z",
            "updated": "2026-01-01T00:00:00Z",
            "type": "dataset",
            "name": name,
            "description": f"{name}, published by the local demo",
            "author": "Provider demo",
            "license": "CC0-1.0",
        },
        "services": [dict(service) for service in services],
        **more,
    }


class Publisher:
    """Publishes with one wallet through one Provider (`provider_url` without trailing slash).

    `encrypt` stands in for the Provider's encrypt endpoint where none is running: clear bytes to 0x hex.
    """

    def __init__(
        self,
        wallet: Wallet,
        contracts: Contracts,
        provider_url: str,
        *,
        encrypt: Callable[[bytes], str] | None = None,
    ) -> None:
        self.wallet = wallet
        self.contracts = contracts
        self.provider_url = provider_url
        self._encrypt = encrypt

    def create_nft(self, *, template: int = TEMPLATE_STANDARD, name: str = "Demo") -> tuple[str, str]:
        """Data NFT with one datatoken in one factory call: their checksum addresses."""
        factory = self._contract("ERC721Factory", self.contracts.factory)
        nft = (name, "DEMO", 1, "", True, self.wallet.address)
        receipt = self.wallet.send(factory.functions.createNftWithErc20(nft, self._datatoken(template)))
        data_nft = factory.events.NFTCreated().process_receipt(receipt, errors=DISCARD)[0]["args"]
        datatoken = factory.events.TokenCreated().process_receipt(receipt, errors=DISCARD)[0]["args"]
        return str(data_nft["newTokenAddress"]), str(datatoken["newTokenAddress"])

    def add_datatoken(self, data_nft: str, *, template: int = TEMPLATE_STANDARD) -> str:
        """One more datatoken for an existing data NFT."""
        nft = self._contract("ERC721Template", data_nft)
        receipt = self.wallet.send(nft.functions.createERC20(*self._datatoken(template)))
        created = nft.events.TokenCreated().process_receipt(receipt, errors=DISCARD)[0]["args"]
        return str(created["newTokenAddress"])

    def _datatoken(self, template: int) -> tuple[object, ...]:
        me = self.wallet.address
        # strings: name, symbol; addresses: minter, payment collector, publish market, its fee token;
        # uints: cap, publish market fee (ERC20Template.initialize)
        return (
            template,
            ["Demo token", "DT"],
            [me, ZERO_ADDRESS, ZERO_ADDRESS, ZERO_ADDRESS],
            [DATATOKEN_CAP_WEI, 0],
            [],
        )

    def encrypt(self, data: bytes) -> str:
        """Ciphertext (0x hex) from the Provider's encrypt endpoint. Raises ReplyRefused."""
        if self._encrypt is not None:
            return self._encrypt(data)
        reply = request(
            "POST",
            with_query(f"{self.provider_url}/api/services/encrypt", {"chainId": self.wallet.chain_id}),
            body=data,
            headers={"Content-Type": "application/octet-stream"},
        )
        if reply.status != 201:
            raise ReplyRefused(reply)
        return reply.body.decode()

    def set_metadata(
        self,
        data_nft: str,
        document: bytes,
        *,
        flags: int = FLAG_ENCRYPTED,
        state: int = 0,
        document_hash: bytes | None = None,
    ) -> str:
        """Write a DDO document on chain, compressed and encrypted as `flags` say; the transaction id."""
        data = lzma.compress(document) if flags & FLAG_COMPRESSED else document
        if flags & FLAG_ENCRYPTED:
            data = bytes.fromhex(self.encrypt(data)[2:])
        return tx_id(
            self.set_raw_metadata(
                data_nft,
                data,
                flags=bytes([flags]),
                state=state,
                document_hash=document_hash or hashlib.sha256(document).digest(),
            )
        )

    def set_raw_metadata(
        self, data_nft: str, data: bytes, *, flags: bytes, state: int, document_hash: bytes
    ) -> TxReceipt:
        """`setMetaData` with exactly these values."""
        nft = self._contract("ERC721Template", data_nft)
        return self.wallet.send(nft.functions.setMetaData(state, self.provider_url, "", flags, data, document_hash, []))

    def set_state(self, data_nft: str, state: int) -> str:
        """`setMetaDataState`: 0 active, 1 end of life, 2 deprecated, 3 revoked, 4 disabled, 5 unlisted."""
        return tx_id(self.wallet.send(self._contract("ERC721Template", data_nft).functions.setMetaDataState(state)))

    def mint(self, datatoken: str, to: str, amount_wei: int = TOKEN_WEI) -> str:
        """Mint datatokens to an account."""
        token = self._contract("ERC20Template", datatoken)
        return tx_id(self.wallet.send(token.functions.mint(to, amount_wei)))

    def publish(
        self,
        *services: Sequence[Mapping[str, object]],
        template: int = TEMPLATE_STANDARD,
        timeout_seconds: int = 0,
        flags: int = FLAG_ENCRYPTED,
        version: str = "4.1.0",
        name: str = "Demo dataset",
        **more: object,
    ) -> Published:
        """Publish an asset with one access service (and datatoken) per list of file objects.

        Files and DDO are encrypted by the Provider; `more` goes to the top level of the DDO.
        """
        data_nft, first = self.create_nft(template=template, name=name)
        datatokens = (first, *(self.add_datatoken(data_nft, template=template) for _ in services[1:]))
        entries = []
        for datatoken, files in zip(datatokens, services, strict=True):
            clear = (
                json.dumps(list(files)).encode() if version == "4.0.0" else files_document(data_nft, datatoken, files)
            )
            entries.append(
                service_entry(datatoken, self.encrypt(clear), self.provider_url, timeout_seconds=timeout_seconds)
            )
        ddo = build_ddo(data_nft, self.wallet.chain_id, entries, version=version, name=name, **more)
        document = json.dumps(ddo, separators=(",", ":")).encode()
        publish_tx = self.set_metadata(data_nft, document, flags=flags)
        return Published(ddo["id"], self.wallet.chain_id, data_nft, datatokens, ddo, document, publish_tx)

    def _contract(self, name: str, address: str) -> Contract:
        return contract_at(self.wallet.w3, name, address)
