"""Reads one chain's logs page by page into the index store, from where it stopped to the node's newest block.

`page_reader.py` requests them, some ahead of their turn. This module checks, parses and records them in order.

Strangers cannot set the size of a step. If one block has more logs than a node returns or we accept, they are queried
by contract, in pieces, for the known data NFTs. Then only the logs of an NFT that emits too much by itself are left
out.

Reorganisations show in the hash of the last block read, which is queried together with the logs after it. If it
differs from the recorded one, the scan goes back to the newest page end that still holds. Each scan also reads the last
`finality_blocks` again, because a node that lags behind may have left out some of their logs.
"""

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from provider.assets.index_records import (
    EventRecord,
    NftRecord,
    Page,
    Scan,
    event_records,
    events_of_call,
    nft_records,
    transfers_call,
)
from provider.assets.index_store import IndexStore
from provider.assets.page_reader import Answers, PageReader, block_call
from provider.assets.progress import Progress, told_duration
from provider.assets.shared_chain import Seen, SharedChain
from provider.assets.strides import MOST_PAGE_BYTES
from provider.chain.contracts import block_number_call, decode_count
from provider.chain.events import Log, parse_logs
from provider.chain.logs import json_object
from provider.chain.networks import Network
from provider.errors import ChainError
from provider.observability.metrics.backends import Index

# Replaced documents are kept this many blocks beyond finality, for a deeper reorganisation.
_SPARE_BLOCKS = 1000
_MAX_HASHES_AT_ONCE = 32
# For a block that is read by contract: data NFTs per query, and queries per request.
_CONTRACTS_PER_QUERY = 200
_QUERIES_AT_ONCE = 10
# JSON of a log without its data.
_LOG_BYTES = 600
# Read in about a millisecond. A thread that only works is waited for, 5 ms each time (sys.getswitchinterval).
_LOGS_AT_ONCE = 16
_PAUSE_SECONDS = 0.0001
# Transfers are followed only at the end of the chain: nothing older is in a cache.
_TRANSFER_BLOCKS = 64

# An index that is farther behind logs its progress.
_FAR_BLOCKS = 10_000
_TELL_SECONDS = 30.0

# Within this time, one host looks at the node for unknown DIDs. The others wait for its result.
LOOK_SECONDS = 0.5
_ASK_AGAIN_SECONDS = 0.1

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Task:
    """A range to read from the node. `to_block` None: to the newest block. `is_shared`: for other hosts too."""

    to_block: int | None = None
    is_shared: bool = False


class ChainScan:
    """Reads one network, whose `factory` must be known, into `store`.

    Args:
        start_block: first block to read.
        batch_blocks: most blocks per query.
        others: pages of other hosts; None: there are no other hosts.
    """

    def __init__(
        self,
        network: Network,
        store: IndexStore,
        *,
        start_block: int,
        batch_blocks: int,
        max_document_bytes: int,
        metrics: Index,
        others: SharedChain | None = None,
    ) -> None:
        self.network = network
        self.last_block: int | None = None
        self._store = store
        self._start_block = start_block
        self._max_document_bytes = max_document_bytes
        self._metrics = metrics
        self._reader = PageReader(network, batch_blocks=batch_blocks)
        self._others = others
        self._known_head = -1
        self._base: tuple[int, str] | None = None
        self._head_was_lower = False
        self._transfers_read: int | None = None
        self._advanced_at: float | None = None
        self._seen_at = 0.0
        self._stepped_back = False
        self._progress = Progress()
        self._tell_at = 0.0

    @property
    def behind(self) -> int | None:
        """Number of blocks between the newest known one and the last one read; None before both are known."""
        return None if self.last_block is None else max(0, self._known_head - self.last_block)

    @property
    def left_seconds(self) -> float | None:
        """Seconds until the end of the chain at the present rate; None as long as that is not known."""
        return None if self.behind is None else self._progress.left_seconds(self.behind)

    @property
    def stalled_seconds(self) -> float:
        """Seconds without progress although the chain has more blocks; 0 at its end."""
        return 0.0 if self._advanced_at is None else max(0.0, self._seen_at - self._advanced_at)

    def hand_over(self) -> None:
        """From now on, read only blocks that somebody waits for: a run without a limit ends after its page."""
        self._stepped_back = True

    async def run(self, *, budget_seconds: float | None = None) -> bool:
        """Read up to the newest block. False if the budget ran out first, or another process is to do it.

        Without a budget, the blocks before finality are read again. With one, nothing is if there is no new block.
        Raises ChainUnavailable, ChainError and StoreError. Everything read before is kept.
        """
        try:
            loop = asyncio.get_running_loop()
            deadline = None if budget_seconds is None else loop.time() + budget_seconds
            task = _Task() if self._others is None else await self._left_by(self._others, deadline)
            if task is None:
                self._seen_at = self._advanced_at = loop.time()
                return deadline is None or loop.time() <= deadline
            asked_at = time.time() if self._others is None else self._others.now()
            is_done = await self._run(task, deadline)
            if is_done and task.is_shared and self._others is not None and self._base is not None:
                self._others.tell(Seen(self._base, self._known_head, asked_at))
            return is_done
        finally:
            await self._reader.drop()

    async def _left_by(self, others: SharedChain, deadline: float | None) -> _Task | None:
        """Take the pages of other hosts, and return the range left to us; None if none is, or at the deadline."""
        loop, asked_at = asyncio.get_running_loop(), others.now()
        purpose, seconds = ("poll", others.poll_seconds) if deadline is None else ("look", LOOK_SECONDS)
        while True:
            seen = await others.seen()
            has_taken = await self._take(others)
            base = self._base
            if seen is None:
                return _Task(is_shared=await others.claim(purpose, seconds))
            self._known_head = max(self._known_head, seen.head)
            if base is None or base[0] < seen.last[0]:
                # Ends where theirs does, so that we can take the next page.
                return _Task(to_block=seen.last[0])
            if base == seen.last or not has_taken:
                if base == seen.last and deadline is not None and seen.at >= asked_at:
                    return None
                if await others.claim(purpose, seconds):
                    return _Task(is_shared=True)
                if deadline is None or loop.time() > deadline:
                    return None
                await asyncio.sleep(_ASK_AGAIN_SECONDS)

    async def _take(self, others: SharedChain) -> bool:
        """Record the pages of other hosts that continue ours. False if there was none. Raises StoreError."""
        scan = await self._begin()
        self.last_block, self._base = scan.last_block, scan.anchors[0] if scan.anchors else None
        has_taken = False
        while self._base is not None and (page := await others.page_after(self._base)) is not None:
            prune_below = page.to_block - self.network.finality_blocks - _SPARE_BLOCKS
            if page.to_block <= self._base[0] or not await self._store.record(page, prune_below_block=prune_below):
                break
            self._note(page)
            has_taken = True
        return has_taken

    async def _run(self, task: _Task, deadline: float | None) -> bool:
        loop = asyncio.get_running_loop()
        next_block = await self._resume()
        self._seen_at = loop.time()
        if self._advanced_at is None:
            self._advanced_at = self._seen_at
        if deadline is not None and self.last_block == self._known_head:
            # A DID that was unknown at this block is unknown.
            next_block = None
        while next_block is not None and next_block <= self._last_wanted(task):
            if self._stepped_back if deadline is None else loop.time() > deadline:
                return False
            page = await self._read_page(next_block, self._last_wanted(task))
            if deadline is None:
                page = replace(page, transferred=await self._transferred(page.to_block))
            prune_below = page.to_block - self.network.finality_blocks - _SPARE_BLOCKS
            if page.is_linked and await self._store.record(page, prune_below_block=prune_below):
                next_block = page.to_block + 1
                self._note(page)
                is_near = self._known_head - page.from_block < _FAR_BLOCKS
                if task.is_shared and is_near and self._others is not None:
                    self._others.publish(page)
                self._tell_progress()
            elif page.is_linked:
                # Another process wrote in the meantime.
                next_block = await self._resume()
            else:
                await self._go_back()
                next_block = await self._resume()
        self._advanced_at = loop.time()
        self._progress.rest()
        return True

    def _last_wanted(self, task: _Task) -> int:
        return self._known_head if task.to_block is None else min(task.to_block, self._known_head)

    async def _resume(self) -> int | None:
        """The first block to read; None if the node is behind its earlier state."""
        await self._reader.drop()
        scan = await self._begin()
        self._known_head = decode_count(await self.network.rpc.call("eth_blockNumber"))
        is_lower = self._known_head < scan.last_block
        if is_lower and self._head_was_lower:
            # Twice in a row: the chain was cut back. Once may be a node that lags behind the one asked before.
            await self._go_back()
            scan = await self._begin()
            is_lower = False
        self._head_was_lower = is_lower
        self.last_block = scan.last_block
        self._base = scan.anchors[0] if scan.anchors else None
        return None if is_lower else max(self._start_block, scan.last_block - self.network.finality_blocks + 1)

    async def _begin(self) -> Scan:
        return await self._store.begin(
            self.network.chain_id, factory=self.network.factory, start_block=self._start_block
        )

    async def _go_back(self) -> None:
        """Forget everything above the newest page end whose block is still part of the chain."""
        anchors = (await self._begin()).anchors
        held = self._start_block - 1
        for start in range(0, len(anchors), _MAX_HASHES_AT_ONCE):
            some = anchors[start : start + _MAX_HASHES_AT_ONCE]
            blocks = await self.network.rpc.batch([block_call(number) for number, _ in some])
            found = [number for (number, known), block in zip(some, blocks, strict=True) if _hash_of(block) == known]
            if found:
                held = max(found)
                break
        _log.info(
            "the chain was reorganised, reading it again",
            extra={"fields": {"chain": self.network.chain_id, "from_block": held + 1}},
        )
        await self._store.rewind(self.network.chain_id, held)

    async def _read_page(self, from_block: int, last_wanted: int) -> Page:
        """Read the next page, as long as the node allows, up to `last_wanted`, and note the newest block."""
        base_block = self._base[0] if self._base else None
        answers = await self._reader.next(from_block, base_block=base_block, head=last_wanted)
        events = answers.events
        if events is None:
            events = await self._events_by_contract(from_block, answers.nfts)
        # In a thread: strangers decide how many logs there are.
        page, size_bytes = await asyncio.to_thread(self._page, answers, events)
        self._reader.note_size(page.to_block - from_block + 1, size_bytes)
        self._known_head = max(page.to_block, answers.head)
        return page

    async def _events_by_contract(self, block: int, nfts: object) -> list[object]:
        """The metadata events of one block, for the data NFTs that are known or created in it."""
        made = nft_records(parse_logs(nfts), chain_id=self.network.chain_id, factory=self.network.factory)
        known = sorted({*await self._store.nfts(self.network.chain_id), *(nft.data_nft for nft in made)})
        pieces = [known[start : start + _CONTRACTS_PER_QUERY] for start in range(0, len(known), _CONTRACTS_PER_QUERY)]
        events: list[object] = []
        while pieces:
            asked, pieces = pieces[:_QUERIES_AT_ONCE], pieces[_QUERIES_AT_ONCE:]
            calls = [
                events_of_call(piece, block, max_reply_bytes=MOST_PAGE_BYTES if len(piece) > 1 else None)
                for piece in asked
            ]
            *answers, head = await self.network.rpc.batch([*calls, block_number_call()])
            decode_count(head)  # a node that cannot answer this is broken, however long the logs are
            for piece, logs in zip(asked, answers, strict=True):
                if isinstance(logs, list):
                    events += logs
                elif len(piece) > 1:
                    pieces += [piece[: len(piece) // 2], piece[len(piece) // 2 :]]
                else:
                    # Tried again when the blocks before finality are read again.
                    _log.warning(
                        "the logs of a data NFT in one block are left out: the node does not give them",
                        extra={"fields": {"chain": self.network.chain_id, "block": block, "data_nft": piece[0]}},
                    )
        return events

    async def _transferred(self, to_block: int) -> frozenset[str]:
        """Emitters of transfers that are new at the end of the chain; none if the node does not answer."""
        if to_block < self._known_head:
            return frozenset()
        from_block = max(to_block - _TRANSFER_BLOCKS + 1, (self._transfers_read or 0) + 1)
        if from_block > to_block:
            return frozenset()
        try:
            (logs,) = await self.network.rpc.batch([transfers_call(from_block, to_block)])
            emitters = frozenset(log.address for log in parse_logs(logs))
        except ChainError:
            # The lifetime of cached facts then limits how outdated they get.
            return frozenset()
        self._transfers_read = to_block
        return emitters

    def _page(self, answers: Answers, events: object) -> tuple[Page, int]:
        """The page, and the bytes of its logs."""
        end_hash, base_hash = _hash_of(answers.end), _hash_of(answers.base)
        if end_hash is None or base_hash is None:
            raise ChainError(detail="blocks that the node had before are missing: it lags behind another one")
        size_bytes = 0
        nfts: list[NftRecord] = []
        for logs in _parsed(answers.nfts):
            nfts += nft_records(logs, chain_id=self.network.chain_id, factory=self.network.factory)
            size_bytes += _size_of(logs)
        records: list[EventRecord] = []
        for logs in _parsed(events):
            records += event_records(logs, max_document_bytes=self._max_document_bytes)
            size_bytes += _size_of(logs)
        page = Page(
            chain_id=self.network.chain_id,
            from_block=answers.from_block,
            to_block=answers.to_block,
            block_hash=end_hash,
            base=self._base,
            is_linked=self._base is None or self._base == (answers.base_block, base_hash),
            nfts=tuple(nfts),
            events=tuple(records),
        )
        return page, size_bytes

    def _note(self, page: Page) -> None:
        if self._base is None or page.to_block >= self._base[0]:
            if self.last_block is None or page.to_block > self.last_block:
                self._advanced_at = asyncio.get_running_loop().time()
            self._base = (page.to_block, page.block_hash)
            self.last_block = page.to_block
            self._progress.note(page.to_block, asyncio.get_running_loop().time())
            self._metrics.block.set(page.to_block, self.network.chain_id)

    def _tell_progress(self) -> None:
        now = asyncio.get_running_loop().time()
        left_seconds = self.left_seconds
        if now < self._tell_at or (self.behind or 0) < _FAR_BLOCKS or left_seconds is None:
            return
        self._tell_at = now + _TELL_SECONDS
        facts = {
            "chain": self.network.chain_id,
            "block": self.last_block,
            "blocks_left": self.behind,
            "blocks_per_second": round(self._progress.blocks_per_second),
        }
        _log.info("reading the chain, about %s left", told_duration(left_seconds), extra={"fields": facts})


def _parsed(raw: object) -> Iterator[Sequence[Log]]:
    """Some logs at a time. In between, a thread gives way to the event loop. Raises ChainError."""
    if not isinstance(raw, list):
        yield parse_logs(raw)
        return
    for start in range(0, len(raw), _LOGS_AT_ONCE):
        yield parse_logs(raw[start : start + _LOGS_AT_ONCE])
        time.sleep(_PAUSE_SECONDS)


def _size_of(logs: Sequence[Log]) -> int:
    """About the bytes of their JSON."""
    return sum(_LOG_BYTES + 2 * len(log.data) for log in logs)


def _hash_of(block: object) -> str | None:
    """Hash in an eth_getBlockByNumber result; None if the node lacks the block. Raises ChainError."""
    if block is None:
        return None
    block_hash = json_object(block, "block").get("hash")
    if not isinstance(block_hash, str):
        raise ChainError(detail="block without hash")
    return block_hash.lower()
