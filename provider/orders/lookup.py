"""Looks up facts about orders, data NFTs and their transactions: in the caches first, else on the chain.

`check.py` interprets the facts. Pass addresses checksummed and transaction ids as returned by `check.parse_tx_id`,
because they are the keys of the caches.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from provider.cache import FactCache
from provider.chain import contracts
from provider.chain.events import Receipt, parse_receipt
from provider.chain.jsonrpc import RpcCall
from provider.chain.networks import Network
from provider.errors import ChainError, OrderNotFound
from provider.orders.check import OrderFacts, parse_tx_id, referenced_order

NftKey = tuple[int, str]
"""Chain id, data NFT."""
DatatokenKey = tuple[int, str, str]
"""Chain id, data NFT, datatoken."""
TxKey = tuple[int, str]
"""Chain id, transaction id."""

_FIRST_POLL_SECONDS = 0.5  # doubles each time, so that an unknown transaction costs few calls


@dataclass(frozen=True, slots=True)
class SeenReceipt:
    """A cached receipt. `is_final`: it was so deep when read that it counts as immutable."""

    receipt: Receipt
    is_final: bool


class _NotMined(Exception):
    """The transaction is unknown or not mined yet. An exception, so that no cache keeps it."""


class OrderLookup:
    """Order facts through caches. One JSON-RPC batch fetches everything unknown; a reused order needs a second one.

    NFT states and owners, datatokens and NFTs known to be genuine, and final receipts live as long as their caches say.

    Args:
        states, datatokens, receipts, factory_nfts, owners: the caches.
        unsettled_ttl_seconds: lifetime of facts that the next block may change: receipts that are not final, and
            negative answers about states, datatokens, NFTs and owners (kept as "").
        receipt_wait_seconds: longest wait for a transaction or contract that the node does not know yet.
    """

    def __init__(
        self,
        *,
        states: FactCache[NftKey, int],
        datatokens: FactCache[DatatokenKey, bool],
        receipts: FactCache[TxKey, SeenReceipt],
        factory_nfts: FactCache[NftKey, bool],
        owners: FactCache[NftKey, str],
        unsettled_ttl_seconds: float = 10.0,
        receipt_wait_seconds: float = 3.0,
    ) -> None:
        self._states = states
        self._datatokens = datatokens
        self._receipts = receipts
        self._factory_nfts = factory_nfts
        self._owners = owners
        self._unsettled_ttl_seconds = unsettled_ttl_seconds
        self._receipt_wait_seconds = receipt_wait_seconds

    async def facts(
        self, network: Network, *, data_nft: str, datatoken: str, tx_id: str, wait: bool = True
    ) -> tuple[int, OrderFacts]:
        """State of the data NFT, and the facts for `check_order`.

        `wait`: False to skip the wait for an unknown transaction. Raises ChainError; a failure is never taken for "no
        order".
        """
        chain_id = network.chain_id
        state = self._states.peek((chain_id, data_nft))
        deployed = self._datatokens.peek((chain_id, data_nft, datatoken))
        seen = self._receipts.peek((chain_id, tx_id))
        receipt = seen.receipt if seen is not None else None
        if state is None or deployed is None or receipt is None:
            state, deployed, receipt = await self._look_up(network, data_nft, datatoken, tx_id)
            if receipt is None and deployed and wait:
                receipt = await self._receipt_later(network, tx_id)
        started_receipt = None
        if receipt is not None and receipt.order_reused:
            started_tx_id = referenced_order(receipt, datatoken)
            if started_tx_id is not None:
                seen = self._receipts.peek((chain_id, started_tx_id))
                started_receipt = seen.receipt if seen else await self._receipt_now(network, started_tx_id)
        return state, OrderFacts(deployed, receipt, started_receipt)

    async def nft_state(self, network: Network, data_nft: str) -> int:
        """`getMetaData().state`; `contracts.NO_STATE` if the address is not a data NFT. Raises ChainError."""

        async def fetch() -> int:
            return contracts.decode_metadata_state(await self._ask(network, contracts.get_metadata_call(data_nft)))

        return await self._states.get((network.chain_id, data_nft), fetch, ttl_seconds=self._state_ttl_seconds)

    async def nft_owner(self, network: Network, data_nft: str) -> str | None:
        """Owner of the data NFT, checksummed; None if the address is not a data NFT. Raises ChainError."""

        async def fetch() -> str:
            return contracts.decode_address(await self._ask(network, contracts.owner_of_call(data_nft))) or ""

        key = (network.chain_id, data_nft)
        return await self._owners.get(key, fetch, ttl_seconds=self._owner_ttl_seconds) or None

    async def genuine_owner(self, network: Network, data_nft: str) -> str | None:
        """Owner of a data NFT that the chain's factory deployed, checksummed; None for any other contract.

        A contract of a stranger names whatever owner it likes. Raises ChainError.
        """
        is_genuine, owner = await asyncio.gather(
            self.is_factory_nft(network, data_nft), self.nft_owner(network, data_nft)
        )
        return owner if is_genuine else None

    async def document_senders(self, network: Network, data_nft: str, tx_id: str | None) -> frozenset[str]:
        """Accounts (checksummed) that sent a document to a data NFT in a transaction; none if it is not known.

        The owner of the NFT says less: anybody can give an NFT, with its document, to somebody else. `tx_id`: as the
        source of the asset names it. Raises ChainError.
        """
        try:
            parsed = parse_tx_id(tx_id or "")
        except OrderNotFound:
            return frozenset()
        # A contract of a stranger emits whatever sender it likes.
        if not await self.is_factory_nft(network, data_nft):
            return frozenset()
        receipt = await self.receipt(network, parsed)
        if receipt is None or not receipt.succeeded:
            return frozenset()
        return frozenset(event.sender for event in receipt.metadata if event.emitter == data_nft)

    async def is_deployed(self, network: Network, data_nft: str, datatoken: str) -> bool:
        """True if the data NFT deployed the datatoken. Raises ChainError."""

        async def fetch() -> bool:
            return contracts.decode_bool(await self._ask(network, contracts.is_deployed_call(data_nft, datatoken)))

        key = (network.chain_id, data_nft, datatoken)
        return await self._datatokens.get(key, fetch, ttl_seconds=self._datatoken_ttl_seconds)

    async def is_factory_nft(self, network: Network, data_nft: str) -> bool:
        """True if the chain's ERC721Factory deployed the data NFT. Raises ChainError."""
        # The factory's list returns zero for unknown NFTs, which must not make the zero address a known one.
        if not int(data_nft, 16):
            return False

        async def fetch() -> bool:
            call = contracts.erc721_list_call(network.factory, data_nft)
            listed = contracts.decode_address(await self._ask(network, call))
            return listed is not None and listed.lower() == data_nft.lower()

        key = (network.chain_id, data_nft)
        return await self._factory_nfts.get(key, fetch, ttl_seconds=self._factory_nft_ttl_seconds)

    async def receipt(self, network: Network, tx_id: str) -> Receipt | None:
        """Receipt of a transaction; None if it is still unknown after the limited wait. Raises ChainError."""
        receipt = await self._receipt_now(network, tx_id)
        return receipt if receipt is not None else await self._receipt_later(network, tx_id)

    def forget(self, data_nfts: Sequence[NftKey] | None) -> None:
        """Drop state and owner of these data NFTs, since they may have changed; None: of all."""
        for cache in (self._states, self._owners):
            for key in cache.all_keys() if data_nfts is None else data_nfts:
                cache.discard(key)

    async def _look_up(
        self, network: Network, data_nft: str, datatoken: str, tx_id: str
    ) -> tuple[int, bool, Receipt | None]:
        """Look up everything unknown in one batch: `Rpc.submit` combines the calls of one turn of the loop."""
        return await asyncio.gather(
            self.nft_state(network, data_nft),
            self.is_deployed(network, data_nft, datatoken),
            self._receipt_now(network, tx_id),
        )

    async def _ask(self, network: Network, call: RpcCall) -> object:
        """Call a contract. If the node does not know it yet, retry as for an unknown receipt."""
        result = await network.rpc.submit(call)
        if not contracts.is_empty(result) or not self._receipt_wait_seconds:
            return result
        elsewhere = await network.rpc.elsewhere([call])
        if elsewhere is not None and not contracts.is_empty(elsewhere[0]):
            return elsewhere[0]
        for pause in _pauses(self._receipt_wait_seconds):
            await asyncio.sleep(pause)
            result = await network.rpc.submit(call)
            if not contracts.is_empty(result):
                break
        return result

    async def _receipt_later(self, network: Network, tx_id: str) -> Receipt | None:
        """Ask another node, then again with growing pauses until the transaction is mined or the wait is over."""
        if self._receipt_wait_seconds and (found := await self._receipt_elsewhere(network, tx_id)) is not None:
            return found
        for pause in _pauses(self._receipt_wait_seconds):
            await asyncio.sleep(pause)
            receipt = await self._receipt_now(network, tx_id)
            if receipt is not None:
                return receipt
        return None

    async def _receipt_elsewhere(self, network: Network, tx_id: str) -> Receipt | None:
        """Ask another node: nodes of one service differ by a few blocks, so it may already have the transaction."""
        key = (network.chain_id, tx_id)

        async def fetch() -> SeenReceipt:
            results = await network.rpc.elsewhere((contracts.receipt_call(tx_id), contracts.block_number_call()))
            if results is None:
                raise _NotMined
            return _seen(network, tx_id, *results)

        try:
            seen = await self._receipts.get(key, fetch, ttl_seconds=self._receipt_ttl_seconds)
        except _NotMined:
            return None
        return seen.receipt

    async def _receipt_now(self, network: Network, tx_id: str) -> Receipt | None:
        key = (network.chain_id, tx_id)
        try:
            seen = await self._receipts.get(
                key, lambda: self._fetch_receipt(network, tx_id), ttl_seconds=self._receipt_ttl_seconds
            )
        except _NotMined:
            return None
        return seen.receipt

    async def _fetch_receipt(self, network: Network, tx_id: str) -> SeenReceipt:
        raw, head = await asyncio.gather(
            network.rpc.submit(contracts.receipt_call(tx_id)),
            network.rpc.submit(contracts.block_number_call()),
        )
        return _seen(network, tx_id, raw, head)

    def _receipt_ttl_seconds(self, seen: SeenReceipt) -> float:
        if seen.is_final:
            return self._receipts.ttl_seconds
        return min(self._unsettled_ttl_seconds, self._receipts.ttl_seconds)

    def _state_ttl_seconds(self, state: int) -> float:
        ttl_seconds = self._states.ttl_seconds
        return ttl_seconds if state != contracts.NO_STATE else min(self._unsettled_ttl_seconds, ttl_seconds)

    def _datatoken_ttl_seconds(self, deployed: bool) -> float:
        ttl_seconds = self._datatokens.ttl_seconds
        return ttl_seconds if deployed else min(self._unsettled_ttl_seconds, ttl_seconds)

    def _owner_ttl_seconds(self, owner: str) -> float:
        ttl_seconds = self._owners.ttl_seconds
        return ttl_seconds if owner else min(self._unsettled_ttl_seconds, ttl_seconds)

    def _factory_nft_ttl_seconds(self, listed: bool) -> float:
        ttl_seconds = self._factory_nfts.ttl_seconds
        return ttl_seconds if listed else min(self._unsettled_ttl_seconds, ttl_seconds)


def _pauses(total_seconds: float) -> Iterator[float]:
    """Growing pauses that add up to `total_seconds`."""
    pause = _FIRST_POLL_SECONDS
    while total_seconds > 0:
        yield min(pause, total_seconds)
        total_seconds -= pause
        pause *= 2


def _seen(network: Network, tx_id: str, raw: object, head: object) -> SeenReceipt:
    """Parse the receipt in a reply. Raises _NotMined, and ChainError if it is for another transaction."""
    receipt = parse_receipt(raw)
    if receipt is None:
        raise _NotMined
    if receipt.tx_id != tx_id:
        raise ChainError(detail=f"chain {network.chain_id}: receipt of another transaction")
    depth = contracts.decode_count(head) - receipt.block_number
    return SeenReceipt(receipt, is_final=depth >= network.finality_blocks)


def receipt_bytes(seen: SeenReceipt) -> int:
    """Approximate memory, in bytes, of a receipt in a cache."""
    receipt = seen.receipt
    events = len(receipt.order_started) + len(receipt.order_reused) + len(receipt.provider_fees)
    return (
        600  # the key, the place in the cache, the receipt without events
        + events * 600  # three address texts and a few integers each
        + sum(len(fee.provider_data) for fee in receipt.provider_fees)
        + sum(600 + len(item.data) + len(item.flags) + len(item.decryptor_url) for item in receipt.metadata)
    )
