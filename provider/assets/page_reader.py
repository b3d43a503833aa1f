"""Requests the logs of one page after another from a node, some of them ahead of their turn.

A range of blocks that a node refuses, or whose logs are too large, is asked for again in shorter pieces. That is no
fault of the node. If one block is too much, it is a page of its own, whose events `chain_scan.py` reads by contract.
"""

import asyncio
import logging
import time
from collections import deque
from dataclasses import dataclass

from provider.assets.index_records import page_calls
from provider.assets.strides import MOST_PAGE_BYTES, Stride, Window
from provider.chain.contracts import block_number_call, decode_count
from provider.chain.jsonrpc import RpcCall, RpcFault
from provider.chain.networks import Network
from provider.errors import ChainUnavailable

# Number of blocks remembered as needing to be read by contract.
_MAX_CROWDED = 1000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answers:
    """A node's answer about a page, as JSON values; `events` None if they are to be read by contract.

    `base_block`: the block whose header is `base`. `head`: number of the newest block.
    """

    from_block: int
    to_block: int
    base_block: int
    nfts: object
    events: object | None
    end: object
    base: object
    head: int


class _TooLong(Exception):
    """A range of blocks that has to be shorter. `is_too_large`: for the size of its logs."""

    def __init__(self, *, is_too_large: bool) -> None:
        super().__init__()
        self.is_too_large = is_too_large


@dataclass(frozen=True, slots=True)
class _Reading:
    from_block: int
    to_block: int
    answers: "asyncio.Task[Answers]"

    @property
    def blocks(self) -> int:
        return self.to_block - self.from_block + 1


class PageReader:
    """Reads the pages of one network, with at most `batch_blocks` blocks each.

    One caller at a time. It calls `drop` when it stops.
    """

    def __init__(self, network: Network, *, batch_blocks: int) -> None:
        self._network = network
        self._stride = Stride(batch_blocks, now=time.monotonic)
        self._window = Window()
        self._ahead: deque[_Reading] = deque()
        self._crowded: dict[int, None] = {}  # blocks whose logs cannot be queried all at once

    async def next(self, from_block: int, *, base_block: int | None, head: int) -> Answers:
        """Return the answers about the page that begins with `from_block`, and ask for those behind it meanwhile.

        `base_block`: the last recorded block; None if there is none. `head`: the newest known one. Raises
        ChainUnavailable and ChainError.
        """
        while True:
            if self._ahead and self._ahead[0].from_block != from_block:
                await self.drop()
            self._ask_ahead(from_block, base_block, head)
            reading = self._ahead.popleft()
            try:
                return await reading.answers
            except _TooLong as refusal:
                if reading.blocks == 1:
                    self._note_crowded(from_block)
                else:
                    self._stride.refused(reading.blocks, is_too_large=refusal.is_too_large)
                await self.drop()
            except ChainUnavailable:
                # A node may also refuse by HTTP status or silence, so ask for less next time.
                if reading.blocks == 1:
                    self._note_crowded(from_block)
                self._stride.halve()
                self._window.failed()
                raise

    def note_size(self, blocks: int, size_bytes: int) -> None:
        """Take note of a page that was read: its blocks, and the bytes of its logs."""
        self._stride.answered(blocks, size_bytes)
        self._window.answered(size_bytes)

    async def drop(self) -> None:
        """Cancel the requests that were sent ahead."""
        readings, self._ahead = self._ahead, deque()
        for reading in readings:
            reading.answers.cancel()
        await asyncio.gather(*(reading.answers for reading in readings), return_exceptions=True)

    def _ask_ahead(self, from_block: int, base_block: int | None, head: int) -> None:
        start = self._ahead[-1].to_block + 1 if self._ahead else from_block
        while len(self._ahead) < self._window.pages and (start <= head or not self._ahead):
            if start in self._crowded and self._ahead:
                # Its data NFTs must be known, so everything before it has to be recorded.
                return
            to_block = self._last_of_page(start, head)
            before = base_block if not self._ahead else max(start - 1, base_block or 0)
            asking = asyncio.create_task(self._ask(start, to_block, to_block if before is None else before))
            self._ahead.append(_Reading(start, to_block, asking))
            start = to_block + 1

    async def _ask(self, from_block: int, to_block: int, base_block: int) -> Answers:
        crowded = from_block in self._crowded
        nfts_call, events_call = page_calls(
            self._network.factory, from_block, to_block, max_reply_bytes=MOST_PAGE_BYTES
        )
        calls = [
            nfts_call,
            *(() if crowded else (events_call,)),
            block_call(to_block),
            # In the same batch as the logs, so that both belong to the same branch.
            block_call(base_block),
            block_number_call(),
        ]
        nfts, *events, end, base, head = await self._network.rpc.batch(calls)
        refusal = next((logs for logs in (*events, nfts) if isinstance(logs, RpcFault)), None)
        if refusal is not None and (to_block > from_block or (events and isinstance(events[0], RpcFault))):
            raise _TooLong(is_too_large=refusal.is_too_large)
        return Answers(
            from_block=from_block,
            to_block=to_block,
            base_block=base_block,
            nfts=nfts,
            events=events[0] if events else None,
            end=end,
            base=base,
            head=decode_count(head),
        )

    def _last_of_page(self, from_block: int, head: int) -> int:
        """The end of the stride, or the block before one that is read by contract, which is a page of its own."""
        if from_block in self._crowded:
            return from_block
        to_block = max(from_block, min(from_block + self._stride.blocks - 1, head))
        return min([to_block, *(block - 1 for block in self._crowded if from_block < block <= to_block)])

    def _note_crowded(self, block: int) -> None:
        if block not in self._crowded:
            _log.warning(
                "the logs of a block cannot be read at once, reading them by contract",
                extra={"fields": {"chain": self._network.chain_id, "block": block}},
            )
        self._crowded[block] = None
        if len(self._crowded) > _MAX_CROWDED:
            del self._crowded[next(iter(self._crowded))]


def block_call(number: int) -> RpcCall:
    """Return the query for a block's header."""
    return RpcCall("eth_getBlockByNumber", (hex(number), False))
