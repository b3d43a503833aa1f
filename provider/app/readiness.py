"""Builds the readiness checks: everything that must work before this server is ready."""

import asyncio
from collections.abc import Awaitable, Callable

from provider.admin.health import Check, NotReady, Readiness
from provider.assets.catalog import AssetSource
from provider.assets.chain_index import ChainIndex
from provider.assets.progress import told_duration
from provider.auth.nonce_store import NonceStore
from provider.chain.networks import Networks
from provider.config import Settings
from provider.errors import ChainError
from provider.proofs.queue import ProofQueue


def build_readiness(
    settings: Settings,
    networks: Networks,
    nonces: NonceStore,
    source: AssetSource,
    proofs: ProofQueue | None,
    *,
    index_here: bool,
) -> Readiness:
    """Build the checks: stores can be written, a chain and the metadata store answer, the index is not far behind."""
    checks: dict[str, Check] = {"store": nonces.check, "metadata": source.check, "chain": any_chain(networks)}
    max_behind_blocks = settings.observing.ready_max_index_lag_blocks
    if isinstance(source, ChainIndex) and index_here and max_behind_blocks:
        checks["index"] = index_is_near(source, max_behind_blocks)
    if proofs is not None:
        checks["proofs"] = proofs.check
    return Readiness(checks)


# Longer than the longest pause between two attempts of the index.
MAX_STALLED_SECONDS = 150.0


def index_is_near(index: ChainIndex, max_behind_blocks: int) -> Check:
    """Check for every chain that answers: reading goes on, and at most `max_behind_blocks` are left to read.

    Before a chain has answered for the first time, the check fails.
    """

    async def check() -> None:
        behind = index.behind()
        unread = [chain_id for chain_id, blocks in behind.items() if blocks is None]
        if behind and len(unread) == len(behind):
            raise NotReady("the metadata index has not read any chain yet")
        far = {chain_id: blocks for chain_id, blocks in behind.items() if blocks and blocks > max_behind_blocks}
        if far:
            left = index.left_seconds()
            told = ", ".join(
                f"{blocks} blocks on chain {chain_id}{_about(left.get(chain_id))}"
                for chain_id, blocks in sorted(far.items())
            )
            raise NotReady(f"the metadata index is behind: {told}")
        stuck = {chain_id: seconds for chain_id, seconds in index.stalled().items() if seconds > MAX_STALLED_SECONDS}
        if stuck:
            told = ", ".join(f"{seconds:.0f} s on chain {chain_id}" for chain_id, seconds in sorted(stuck.items()))
            raise NotReady(f"the metadata index reads nothing new although there are new blocks: {told}")

    return check


def _about(left_seconds: float | None) -> str:
    return "" if left_seconds is None else f" (about {told_duration(left_seconds)})"


def any_chain(networks: Networks) -> Callable[[], Awaitable[None]]:
    """Check that at least one chain answers. All are asked at once.

    One is enough: assets of the others get a 503 with their own reason.
    """

    async def ask(calls: list[Awaitable[object]]) -> None:
        failures: list[ChainError] = []
        for call in asyncio.as_completed(calls):
            try:
                await call
            except ChainError as error:
                failures.append(error)
            else:
                return
        if failures:
            raise failures[-1]

    async def check() -> None:
        tasks = [asyncio.ensure_future(network.rpc.call("eth_blockNumber")) for network in networks]
        try:
            await ask([*tasks])
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    return check
