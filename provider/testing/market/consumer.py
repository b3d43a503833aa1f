"""What a consumer does, as ocean.js does it: quote, order, nonce, signature, download."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

from web3.contract.contract import ContractFunction

from provider.testing.chain.contracts import contract_at
from provider.testing.chain.wallet import Wallet, tx_id
from provider.testing.http_client import Downloaded, Progress, ReplyRefused, download, get_json, post_json, with_query
from provider.testing.market.publisher import ZERO_ADDRESS, Published

NO_MARKET_FEE = (ZERO_ADDRESS, ZERO_ADDRESS, 0)

Fee = Mapping[str, Any]  # `providerFee` of initialize, wire shape (`provider-api.md` section 9.1)
FeeTuple = tuple[str, str, int, int, bytes, bytes, int, bytes]

VISIBLE_SECONDS = 20.0
"""How long the server may take to know a published DDO."""


def fee_tuple(fee: Fee) -> FeeTuple:
    """`providerFee` of the wire in the contract's order: address, token, amount, v, r, s, validUntil, data."""
    return (
        fee["providerFeeAddress"],
        fee["providerFeeToken"],
        int(fee["providerFeeAmount"]),
        fee["v"],
        bytes.fromhex(fee["r"][2:]),
        bytes.fromhex(fee["s"][2:]),
        fee["validUntil"],
        bytes.fromhex(fee["providerData"][2:]),
    )


class Consumer:
    """Buys and downloads with one wallet from one Provider (`provider_url` without trailing slash)."""

    def __init__(self, wallet: Wallet, provider_url: str) -> None:
        self.wallet = wallet
        self.provider_url = provider_url

    @property
    def address(self) -> str:
        """Checksum address of the consumer."""
        return self.wallet.address

    def _endpoint(self, name: str) -> str:
        return f"{self.provider_url}/api/services/{name}"

    def initialize(self, asset: Published, index: int = 0, **more: object) -> dict[str, Any]:
        """Reply of `initialize` for a service; `more`: fileIndex, transferTxId, … Raises ReplyRefused."""
        parameters = {
            "documentId": asset.did,
            "serviceId": asset.service(index)["id"],
            "consumerAddress": self.address,
            **more,
        }
        reply: dict[str, Any] = get_json(self._endpoint("initialize"), parameters)
        return reply

    def order(self, asset: Published, index: int = 0, *, fee: Fee | None = None, consumer: str | None = None) -> str:
        """Pay one datatoken (which the wallet must hold) with `startOrder`; the transaction id.

        The fee comes from `initialize` unless given; `consumer` is who may download, by default the wallet.
        """
        paid = fee if fee is not None else self.initialize(asset, index)["providerFee"]
        return self._send(
            self._datatoken(asset.datatokens[index]).startOrder(
                consumer or self.address, index, fee_tuple(paid), NO_MARKET_FEE
            )
        )

    def reuse_order(self, asset: Published, order_tx: str, index: int = 0, *, fee: Fee | None = None) -> str:
        """Renew the provider fee of an order with `reuseOrder`; the transaction id."""
        paid = fee if fee is not None else self.initialize(asset, index)["providerFee"]
        datatoken = self._datatoken(asset.datatokens[index])
        return self._send(datatoken.reuseOrder(bytes.fromhex(order_tx.removeprefix("0x")), fee_tuple(paid)))

    def order_many(self, factory: str, orders: Sequence[tuple[Published, int]]) -> str:
        """Order several services in one transaction with the factory's `startMultipleTokenOrder`.

        The payer on chain is then the factory, which is first allowed to take the wallet's datatokens.
        """
        items = []
        for asset, index in orders:
            datatoken = asset.datatokens[index]
            self._send(self._datatoken(datatoken).approve(factory, 10**18))
            fee = self.initialize(asset, index)["providerFee"]
            items.append((datatoken, self.address, index, fee_tuple(fee), NO_MARKET_FEE))
        functions = contract_at(self.wallet.w3, "ERC721Factory", factory).functions
        return self._send(functions.startMultipleTokenOrder(items))

    def _datatoken(self, address: str) -> Any:
        return contract_at(self.wallet.w3, "ERC20Template", address).functions

    def _send(self, call: ContractFunction) -> str:
        return tx_id(self.wallet.send(call))

    def next_nonce(self) -> str:
        """Number after the one that the Provider knows, as ocean.js computes it."""
        nonce = get_json(self._endpoint("nonce"), {"userAddress": self.address})["nonce"]
        return str(int(float(nonce)) + 1)

    def sign(self, message: str, nonce: str) -> str:
        """Signature over `message` followed by the nonce (`provider-api.md` section 4.1)."""
        return self.wallet.sign_text(message + nonce)

    def download_parameters(
        self,
        asset: Published,
        order_tx: str,
        index: int = 0,
        *,
        file_index: int = 0,
        nonce: str | None = None,
        **more: object,
    ) -> dict[str, object]:
        """Signed parameters of one download; `more` overrides or adds any of them after signing."""
        used = nonce if nonce is not None else self.next_nonce()
        return {
            "documentId": asset.did,
            "serviceId": asset.service(index)["id"],
            "transferTxId": order_tx,
            "fileIndex": file_index,
            "consumerAddress": self.address,
            "nonce": used,
            "signature": self.sign(asset.did, used),
            **more,
        }

    def create_links(self, asset: Published, order_tx: str, index: int = 0, **more: object) -> dict[str, Any]:
        """Manifest of the links to the files of a service; `more`: fileIndex, seconds, … Raises ReplyRefused."""
        nonce = self.next_nonce()
        fields = {
            "documentId": asset.did,
            "serviceId": asset.service(index)["id"],
            "transferTxId": order_tx,
            "consumerAddress": self.address,
            "nonce": nonce,
            "signature": self.sign(f"{self.address}{nonce}", "createLinks"),
            **more,
        }
        manifest: dict[str, Any] = post_json(self._endpoint("links"), fields)
        return manifest

    def download_url(self, asset: Published, order_tx: str, index: int = 0, **more: Any) -> str:
        """Signed download URL, good for one request; arguments as `download_parameters`."""
        return with_query(self._endpoint("download"), self.download_parameters(asset, order_tx, index, **more))

    def download(
        self,
        asset: Published,
        order_tx: str,
        index: int = 0,
        *,
        headers: Mapping[str, str] | None = None,
        sink: BinaryIO | None = None,
        progress: Progress = lambda _: None,
        checksum: bool = True,
        **more: Any,
    ) -> Downloaded:
        """Sign and download one file; `more` as `download_parameters`."""
        url = self.download_url(asset, order_tx, index, **more)
        return download(url, headers=headers, sink=sink, progress=progress, checksum=checksum)


def first_quote(consumer: Consumer, asset: Published) -> dict[str, object]:
    """Call `initialize` until the server has seen the asset on chain; return its provider fee."""
    deadline = time.monotonic() + VISIBLE_SECONDS
    while True:
        try:
            fee: dict[str, object] = consumer.initialize(asset, fileIndex=0)["providerFee"]
        except ReplyRefused as refused:
            if "Cannot resolve DID" not in str(refused) or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return fee
