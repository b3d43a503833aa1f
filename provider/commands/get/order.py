"""Finds the order and the service that give the buyer access: from the chain, the Provider and a metadata store.

Any contract can emit an event that looks like an order. So orders are searched at the datatokens that the Provider or
the asset's document names. Only if the buyer names no service, the logs of all contracts are searched. Such a log leads
to a document, which is checked against the DID.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import aiohttp

from provider.assets.ddo import Asset, check_binding, parse_ddo
from provider.assets.did import matches
from provider.chain import contracts, events
from provider.chain.jsonrpc import MalformedReply, RpcCall, RpcFault, decode, is_answer
from provider.chain.logs import Log
from provider.commands.get.failures import GetFailed, Misuse, NoAccess, printable
from provider.commands.get.links import Links, Reply, ask
from provider.commands.get.retries import Pause, patiently
from provider.commands.times import utc
from provider.errors import ProviderError
from provider.wire.json import read_json

MAX_ORDERS_TRIED = 10
MAX_CONTRACTS_TRIED = 50
MAX_LOG_QUERIES = 2000
_STORE_PATH = "/api/aquarius/assets/ddo/"


class Node:
    """JSON-RPC of the buyer's own node."""

    def __init__(self, links: Links, url: str) -> None:
        self._links = links
        self._url = url

    async def call(self, call: RpcCall) -> object:
        """Return the result of one call, or an RpcFault. Raises GetFailed."""
        body = {"jsonrpc": "2.0", "id": 1, "method": call.method, "params": call.params}

        async def post() -> Reply:
            return await ask(self._links.session, "POST", self._url, body=body, who="the node")

        reply = await self._links.patiently(post)
        try:
            return decode(reply.body, 1)[0]
        except MalformedReply:
            raise GetFailed(f"the node answers with status {reply.status} and no JSON-RPC") from None

    async def chain_id(self) -> int:
        """Return the id of the node's chain."""
        return contracts.decode_quantity(await self.call(RpcCall("eth_chainId")))

    async def receipt(self, tx_id: str) -> events.Receipt | None:
        """Return the receipt of a transaction; None if the node does not know it."""
        return events.parse_receipt(await self.call(contracts.receipt_call(tx_id)))

    async def newest_logs(self, address: Sequence[str] | None, topics: Sequence[object]) -> AsyncIterator[Log]:
        """Return matching logs, the newest first.

        Nodes limit the number of blocks in a query. It is halved until the node answers.
        """
        end = contracts.decode_count(await self.call(contracts.block_number_call()))
        blocks = end + 1
        for _ in range(MAX_LOG_QUERIES):
            if end < 0:
                return
            first = max(0, end - blocks + 1)
            query = contracts.logs_call(address, topics, first, end)
            result = await self.call(query)
            if isinstance(result, RpcFault) and is_answer(query, result) and blocks > 1:
                blocks = -(-min(blocks, end + 1) // 2)
                continue
            for log in reversed(events.parse_logs(result)):
                yield log
            end = first - 1
        raise GetFailed(
            f"the node answers for {blocks} blocks at once, and there are too many; blocks below {end} were not "
            "searched: name the order's transaction with --tx, or another node with --rpc"
        )


@dataclass(frozen=True, slots=True)
class Purchase:
    """A service and the transaction that paid for it."""

    service_id: str
    order_tx_id: str


class OrderSearch:
    """Finds the purchase of one asset. Arguments that are None are searched with the help of the others."""

    def __init__(
        self,
        links: Links,
        did: str,
        *,
        service_id: str | None,
        order_tx_id: str | None,
        node: Node | None,
        asset: Asset | None,
    ) -> None:
        self._links = links
        self._did = did
        self._service_id = service_id
        self._order_tx_id = order_tx_id
        self._node = node
        self._asset = asset

    async def run(self) -> Purchase:
        """Raises NoAccess if there is no valid order, Misuse if an argument is needed, GetFailed if asking fails."""
        if self._service_id is not None and self._order_tx_id is not None:
            return Purchase(self._service_id, self._order_tx_id)
        try:
            return await self._search()
        except ProviderError as error:
            raise GetFailed(printable(error.detail or error.public_text)) from None

    async def _search(self) -> Purchase:
        services = await self._services()
        if self._order_tx_id is None:
            return await self._valid_order(services)
        if len(services) == 1:
            return Purchase(next(iter(services.values())), self._order_tx_id)
        for order in await self._orders_of_tx(self._order_tx_id):
            if order.emitter in services:
                return Purchase(services[order.emitter], self._order_tx_id)
        # The publisher chose these ids.
        named = printable(", ".join(services.values()))
        raise NoAccess(f"the transaction of --tx ordered none of the services {named}")

    async def _services(self) -> Mapping[str, str]:
        """Return the ids of the possible services, by their datatokens."""
        if self._asset is None and self._service_id is not None:
            return {await self._datatoken(self._service_id): self._service_id}
        asset = self._asset or await self._asset_from_chain()
        found = {
            service.datatoken: service.id
            for service in asset.services
            if service.type == "access" and self._service_id in (None, service.id)
        }
        if not found:
            raise Misuse("the asset has no such service that gives files; compute services give none")
        return found

    async def _datatoken(self, service_id: str) -> str:
        quote = await self._initialize(service_id)
        datatoken = quote.get("datatoken")
        if not isinstance(datatoken, str):
            raise GetFailed("the Provider's answer to initialize names no datatoken")
        return datatoken

    async def _initialize(self, service_id: str, **more: str) -> Mapping[str, object]:
        buyer = self._links.account.address
        reply = await self._links.get(
            "initialize", documentId=self._did, serviceId=service_id, consumerAddress=buyer, **more
        )
        answer = reply.json()
        if reply.status != 200 or not isinstance(answer, Mapping):
            raise NoAccess(f"the Provider refuses: {reply.reason()}")
        return answer

    async def _valid_order(self, services: Mapping[str, str]) -> Purchase:
        newest: int | None = None
        tried = 0
        async for order in self._orders(list(services)):
            if order.emitter not in services:
                continue
            answer = await self._initialize(services[order.emitter], transferTxId=order.tx_id)
            if "validOrder" in answer:
                return Purchase(services[order.emitter], order.tx_id)
            newest, tried = newest or order.timestamp, tried + 1
            if tried == MAX_ORDERS_TRIED:
                break
        buyer = self._links.account.address
        if newest is None:
            raise NoAccess(
                f"{buyer} has not ordered {self._did}: buy access first, for example in a marketplace, or name an "
                "order with --tx"
            )
        raise NoAccess(f"no order of {buyer} for {self._did} is valid; the newest is of {utc(newest)}: order again")

    async def _orders(self, datatokens: Sequence[str] | None) -> AsyncIterator[events.OrderStarted]:
        node = self._needed_node()
        buyer = "0x" + self._links.account.address[2:].lower().rjust(64, "0")
        async for log in node.newest_logs(datatokens, [events.ORDER_STARTED, buyer]):
            order = events.order_started(log)
            if order is not None:
                yield order

    async def _orders_of_tx(self, tx_id: str) -> Sequence[events.OrderStarted]:
        receipt = await self._needed_node().receipt(tx_id)
        if receipt is None:
            raise NoAccess("the node does not know the transaction of --tx")
        return receipt.order_started

    async def _asset_from_chain(self) -> Asset:
        """Return the document that the data NFT of an order published, if its DID is the wanted one."""
        node = self._needed_node()
        chain_id = await node.chain_id()
        seen: set[str] = set()
        async for order in self._candidates():
            if order.emitter in seen:
                continue
            seen.add(order.emitter)
            data_nft = contracts.decode_address(await node.call(contracts.data_nft_call(order.emitter)))
            if data_nft is not None and matches(self._did, data_nft, chain_id):
                return await self._document(data_nft, chain_id)
            if len(seen) == MAX_CONTRACTS_TRIED:
                break
        raise NoAccess(
            f"no order of {self._links.account.address} for {self._did} was found among {len(seen)} datatokens: name "
            "the service with --service, or the order with --tx"
        )

    async def _candidates(self) -> AsyncIterator[events.OrderStarted]:
        if self._order_tx_id is None:
            async for order in self._orders(None):
                yield order
        else:
            for order in await self._orders_of_tx(self._order_tx_id):
                yield order

    async def _document(self, data_nft: str, chain_id: int) -> Asset:
        node = self._needed_node()
        topics = [[events.METADATA_CREATED, events.METADATA_UPDATED]]
        async for log in node.newest_logs([data_nft], topics):
            if events.metadata_event(log) is None:
                continue
            reply = await self._links.decrypt(data_nft, chain_id, log.tx_id)
            if reply.status != 201:
                raise NoAccess(f"the Provider does not show the document ({reply.reason()}): give --service")
            return _bound(reply.body, self._did)
        raise NoAccess("the asset has no document on this chain: give --service")

    def _needed_node(self) -> Node:
        if self._node is None:
            raise Misuse(
                "give --rpc URL to find the order and its service on chain, or name both: --tx TX --service ID"
            )
        return self._node


async def stored_asset(session: aiohttp.ClientSession, url: str, did: str, pause: Pause) -> Asset:
    """Return the document of a DID from a metadata store (Aquarius or an ocean-node). Raises GetFailed, NoAccess."""

    async def get() -> Reply:
        return await ask(session, "GET", url.rstrip("/") + _STORE_PATH + did, who="the metadata store")

    reply = await patiently(get, pause)
    if reply.status != 200:
        raise NoAccess(f"the metadata store does not know {did}: {reply.reason()}")
    return _bound(reply.body, did)


def _bound(document: bytes, did: str) -> Asset:
    try:
        asset = parse_ddo(read_json(document))
        check_binding(asset, did)
    except (ValueError, ProviderError):
        raise GetFailed(f"the document found for {did} is not its own") from None
    return asset
