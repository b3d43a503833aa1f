"""Shares the reading of a chain between hosts through Redis: one host asks the node, the others take its pages.

A page is stored under the number and hash of the block that it continues. So a host finds it only if it has read the
same chain up to that block, and needs no node to check that both fit. If a page is missing, too long or malformed, the
host reads from the node, as without Redis. Values are signed and expire (`redis/fact_cache.py`). An attacker who can
write to Redis can withhold them, or repeat values that one of our hosts wrote in the last minute or so, but cannot make
up an asset.
"""

import base64
from dataclasses import dataclass

from provider.assets.index_records import EventRecord, NftRecord, Page, SealedDocument
from provider.redis.fact_cache import FactStore

Block = tuple[int, str]
"""Number and hash."""

# Beyond this, each host asks the node itself.
MAX_PAGE_BYTES = 1 << 20
# Hosts that look less often than this find a gap, and read it from the node.
_PAGE_POLLS = 20
# If no host looks at the node for this many polls, each host does so itself.
_SEEN_POLLS = 3
_LEAST_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Seen:
    """The last look at a node by any host.

    Attributes:
        last: the block up to which it has read.
        head: number of the newest block that it knew.
        at: unix seconds before it asked.
    """

    last: Block
    head: int
    at: float


class SharedChain:
    """One chain in Redis, for hosts with the same factory and limit of documents.

    `poll_seconds`: how often one of the hosts is to look at the node.
    """

    def __init__(
        self, facts: FactStore, *, chain_id: int, factory: str, max_document_bytes: int, poll_seconds: float
    ) -> None:
        self.poll_seconds = poll_seconds
        self._facts = facts
        self._chain_id = chain_id
        self._name = f"index:{chain_id}:{factory}:{max_document_bytes}"

    def now(self) -> float:
        """Unix seconds, which all hosts count alike."""
        return self._facts.clock()

    async def seen(self) -> Seen | None:
        """The last look of any host; None if no host has looked lately, or Redis does not answer."""
        found = await self._facts.read(f"{self._name}:seen")
        return None if found is None else _unpack_seen(found[0])

    def tell(self, seen: Seen) -> None:
        """Report a look at the node. Call this after `publish`."""
        lifetime_seconds = max(_LEAST_SECONDS, _SEEN_POLLS * self.poll_seconds)
        self._facts.write(f"{self._name}:seen", [*seen.last, seen.head, seen.at], lifetime_seconds)

    async def page_after(self, last: Block) -> Page | None:
        """The page that continues `last`, if a host has stored it."""
        found = await self._facts.read(self._page_name(last), max_bytes=MAX_PAGE_BYTES)
        return None if found is None else _unpack_page(found[0], self._chain_id, last)

    def publish(self, page: Page) -> None:
        """Store a page that continues another one, for the other hosts."""
        if page.base is not None:
            lifetime_seconds = max(_LEAST_SECONDS, _PAGE_POLLS * self.poll_seconds)
            self._facts.write(self._page_name(page.base), _pack_page(page), lifetime_seconds, max_bytes=MAX_PAGE_BYTES)

    async def claim(self, purpose: str, seconds: float) -> bool:
        """True for one host in `seconds`, which is to look at the node. True for all while Redis does not answer."""
        return await self._facts.claim(f"{self._name}:{purpose}", seconds)

    def _page_name(self, last: Block) -> str:
        return f"{self._name}:after:{last[0]}:{last[1]}"


def _unpack_seen(value: object) -> Seen | None:
    match value:
        case [int(number), str(block_hash), int(head), int() | float() as at]:
            return Seen((number, block_hash), head, float(at))
    return None


def _pack_page(page: Page) -> object:
    return [
        page.from_block,
        page.to_block,
        page.block_hash,
        [[nft.data_nft, nft.did_key, nft.block_number] for nft in page.nfts],
        [_pack_event(event) for event in page.events],
        sorted(page.transferred),
    ]


def _pack_event(event: EventRecord) -> list[object]:
    document = event.document
    sealed = None
    if document is not None:
        data = None if document.data is None else base64.b64encode(document.data).decode()
        sealed = [document.flags, data, document.document_hash.hex()]
    return [event.data_nft, event.block_number, event.log_index, event.tx_id, event.state, sealed]


def _unpack_page(value: object, chain_id: int, base: Block) -> Page | None:
    """The page in a JSON value; None if a host of another version wrote something else."""
    try:
        match value:
            case [int(from_block), int(to_block), str(block_hash), [*nfts], [*events], [*transferred]]:
                return Page(
                    chain_id=chain_id,
                    from_block=from_block,
                    to_block=to_block,
                    block_hash=block_hash,
                    base=base,
                    is_linked=True,
                    nfts=tuple(map(_unpack_nft, nfts)),
                    events=tuple(map(_unpack_event, events)),
                    transferred=frozenset(map(str, transferred)),
                )
    except ValueError:
        pass
    return None


def _unpack_nft(value: object) -> NftRecord:
    match value:
        case [str(data_nft), str(did_key), int(block_number)]:
            return NftRecord(data_nft, did_key, block_number)
    raise ValueError("no data NFT")


def _unpack_event(value: object) -> EventRecord:
    match value:
        case [str(data_nft), int(block_number), int(log_index), str(tx_id), int(state), sealed]:
            return EventRecord(data_nft, block_number, log_index, tx_id, state, _unpack_document(sealed))
    raise ValueError("no event")


def _unpack_document(value: object) -> SealedDocument | None:
    match value:
        case None:
            return None
        case [int(flags), (str() | None) as data, str(document_hash)]:
            clear = None if data is None else base64.b64decode(data, validate=True)
            return SealedDocument(flags, clear, bytes.fromhex(document_hash))
    raise ValueError("no document")
