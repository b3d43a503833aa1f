"""A scan of the made-up chain of `benchmarks/log_node.py` into an index."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.log_node import CHAIN_ID, FACTORY, LogNode
from provider.assets.chain_scan import ChainScan
from provider.assets.did import did_for
from provider.assets.index_store import IndexStore
from provider.assets.shared_chain import SharedChain
from provider.chain.config import RpcConfig
from provider.chain.networks import Network
from provider.chain.rpc import Rpc
from provider.crypto.accounts import Account
from provider.crypto.keccak import to_checksum_address
from provider.observability.metrics.backends import Index

FINALITY = 16


@asynccontextmanager
async def scan_of(
    node: LogNode, path: Path, *, batch_blocks: int = 1000, others: SharedChain | None = None
) -> AsyncIterator[tuple[ChainScan, IndexStore]]:
    network = Network(
        chain_id=CHAIN_ID,
        name="made up",
        rpc=Rpc([node.url], RpcConfig(timeout_seconds=60), chain_id=CHAIN_ID),
        factory=to_checksum_address(FACTORY),
        fee_token="0x" + "00" * 20,
        account=Account.from_hex("01" * 32),
        finality_blocks=FINALITY,
    )
    store = IndexStore(path)
    scan = ChainScan(
        network,
        store,
        start_block=0,
        batch_blocks=batch_blocks,
        max_document_bytes=10 << 20,
        metrics=Index(is_on=False),
        others=others,
    )
    try:
        yield scan, store
    finally:
        await network.rpc.close()
        await store.close()


async def is_known(store: IndexStore, data_nft: str) -> bool:
    key = did_for(to_checksum_address(data_nft), CHAIN_ID).rpartition(":")[2]
    return await store.find(key) is not None
