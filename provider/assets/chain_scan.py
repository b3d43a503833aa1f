"""One chain's logs, read page by page into the index store, from where it stopped to the node's newest block.

Each scan reads the last `finality_blocks` again and replaces what was recorded there. A reorganisation deeper than
that shows in the hashes of earlier page ends: the scan then goes back to the last one that still holds.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from provider.assets.index_records import Page, Scan, Stride, event_records, nft_records, page_calls
from provider.assets.index_store import IndexStore
from provider.chain.contracts import block_number_call, decode_quantity
from provider.chain.events import parse_logs
from provider.chain.jsonrpc import RpcCall, RpcFault
from provider.chain.logs import json_object
from provider.chain.networks import Network
from provider.errors import ChainError, ChainUnavailable

# Replaced documents are kept this much longer than finality, should a reorganisation go deeper.
_SPARE_BLOCKS = 1000
_MAX_HASHES_AT_ONCE = 32

_log = logging.getLogger(__name__)


class ChainScan:
    """Reads one network, whose `factory` must be known, into `store`.

    `start_block`: first block read. `batch_blocks`: most blocks asked for at once. `observe(chain_id, block)` is
    told the last block read.
    """

    def __init__(
        self,
        network: Network,
        store: IndexStore,
        *,
        start_block: int,
        batch_blocks: int,
        max_document_bytes: int,
        observe: Callable[[int, int], None],
    ) -> None:
        if network.factory is None:
            raise ValueError(f"chain {network.chain_id} has no ERC721Factory")
        self.network = network
        self.head: int | None = None
        self.last_block: int | None = None
        self._factory = network.factory
        self._store = store
        self._start_block = start_block
        self._max_document_bytes = max_document_bytes
        self._observe = observe
        self._stride = Stride(batch_blocks)
        self._head_was_lower = False

    @property
    def behind(self) -> int | None:
        """Blocks between the newest one seen and the last one read; None before both are known."""
        if self.head is None or self.last_block is None:
            return None
        return max(0, self.head - self.last_block)

    async def run(self, *, budget_seconds: float | None = None) -> bool:
        """Read up to the newest block; False when the budget was used up before.

        Raises ChainUnavailable, ChainError and StoreError; what was read until then is kept.
        """
        loop = asyncio.get_running_loop()
        deadline = None if budget_seconds is None else loop.time() + budget_seconds
        next_block = await self._resume()
        while self.head is not None and next_block <= self.head:
            if deadline is not None and loop.time() > deadline:
                return False
            page = await self._read_page(next_block)
            prune_below = page.to_block - self.network.finality_blocks - _SPARE_BLOCKS
            if await self._store.record(page, prune_below_block=prune_below):
                next_block = page.to_block + 1
                self._note(page.to_block)
            else:
                # Another process went back behind a reorganisation meanwhile.
                next_block = await self._resume()
        return True

    async def _resume(self) -> int:
        """Ask for the newest block, go back behind a reorganisation, and tell the first block to read."""
        scan = await self._begin()
        depth = self.network.finality_blocks
        anchor = next((anchor for anchor in scan.anchors if anchor[0] <= scan.last_block - depth), None)
        head, *blocks = await self._ask([block_number_call(), *([_block_call(anchor[0])] if anchor else [])])
        self.head = decode_quantity(head)
        if anchor and _hash_of(blocks[0]) not in (None, anchor[1]):
            scan = await self._go_back(scan)
        elif self.head >= scan.last_block:
            self._head_was_lower = False
        elif self._head_was_lower:
            # Twice in a row: the chain was cut back. Once may be a node that lags behind the one asked before.
            self._head_was_lower = False
            await self._store.rewind(self.network.chain_id, self.head)
            scan = await self._begin()
        else:
            self._head_was_lower = True
        self.last_block = scan.last_block
        return max(self._start_block, min(scan.last_block, self.head) - depth + 1)

    async def _begin(self) -> Scan:
        return await self._store.begin(self.network.chain_id, factory=self._factory, start_block=self._start_block)

    async def _go_back(self, scan: Scan) -> Scan:
        """Forget everything above the newest page end whose block is still part of the chain."""
        held = self._start_block - 1
        for start in range(0, len(scan.anchors), _MAX_HASHES_AT_ONCE):
            anchors = scan.anchors[start : start + _MAX_HASHES_AT_ONCE]
            blocks = await self._ask([_block_call(number) for number, _ in anchors])
            found = [
                number
                for (number, block_hash), block in zip(anchors, blocks, strict=True)
                if _hash_of(block) == block_hash
            ]
            if found:
                held = max(found)
                break
        _log.warning(
            "the chain was reorganised deeply, reading it again",
            extra={"facts": {"chain": self.network.chain_id, "from_block": held + 1, "last_block": scan.last_block}},
        )
        await self._store.rewind(self.network.chain_id, held)
        return await self._begin()

    async def _read_page(self, from_block: int) -> Page:
        """The next page, as long as the node allows. Takes notice of the newest block by the way."""
        while True:
            assert self.head is not None  # noqa: S101 - `_resume` has set it
            to_block = min(from_block + self._stride.blocks - 1, self.head)
            calls = [*page_calls(self._factory, from_block, to_block), _block_call(to_block), block_number_call()]
            try:
                nfts, events, block, head = await self.network.rpc.batch(calls)
            except ChainUnavailable:
                # A node may also refuse by HTTP status, silence or an endless answer: ask for less next time.
                self._stride.halve()
                raise
            if (isinstance(nfts, RpcFault) or isinstance(events, RpcFault)) and to_block > from_block:
                self._stride.blocks = min(self._stride.blocks, to_block - from_block + 1)
                self._stride.halve()
                continue
            page = self._page(from_block, to_block, nfts, events, block)
            self.head = max(to_block, decode_quantity(head))
            self._stride.grow()
            return page

    def _page(self, from_block: int, to_block: int, nfts: object, events: object, block: object) -> Page:
        block_hash = _hash_of(block)
        if block_hash is None:
            raise ChainError(detail=f"the node does not know its own block {to_block}")
        return Page(
            chain_id=self.network.chain_id,
            from_block=from_block,
            to_block=to_block,
            block_hash=block_hash,
            nfts=nft_records(parse_logs(nfts), chain_id=self.network.chain_id, factory=self._factory),
            events=event_records(parse_logs(events), max_document_bytes=self._max_document_bytes),
        )

    async def _ask(self, calls: Sequence[RpcCall]) -> list[object]:
        return await self.network.rpc.batch(calls)

    def _note(self, block: int) -> None:
        self.last_block = block if self.last_block is None else max(self.last_block, block)
        self._observe(self.network.chain_id, self.last_block)


def _block_call(number: int) -> RpcCall:
    return RpcCall("eth_getBlockByNumber", (hex(number), False))


def _hash_of(block: object) -> str | None:
    """Hash of an eth_getBlockByNumber result; None when the node has no such block. Raises ChainError."""
    if block is None:
        return None
    block_hash = json_object(block, "block").get("hash")
    if not isinstance(block_hash, str):
        raise ChainError(detail="block without hash")
    return block_hash.lower()
