"""Builds the configured chains from settings and the address book. A single chain's node is asked for its chain id."""

import asyncio
import logging
import time

from provider.chain.config import ChainConfig
from provider.chain.networks import (
    ZERO_ADDRESS,
    ChainAddresses,
    Network,
    Networks,
    bundled_address_book,
    load_address_book,
)
from provider.chain.rpc import Rpc
from provider.config import Settings
from provider.crypto.accounts import Account
from provider.errors import ChainError
from provider.errors.start import StartError
from provider.observability.metrics import Metrics
from provider.outgoing.sessions import Outgoing

log = logging.getLogger("provider.server")
# How long a start waits for a node that is also starting, as in a compose file.
FIRST_ANSWER_SECONDS = 60.0
RETRY_SECONDS = 1.0


async def build_networks(settings: Settings, metrics: Metrics, outgoing: Outgoing) -> Networks:
    """Build the configured chains. In single-chain mode the node is asked for its chain id. Raises StartError."""
    book = load_address_book(settings.addresses_text) if settings.addresses_text else bundled_address_book()
    networks: dict[int, Network] = {}
    for chain in settings.chains:
        chain_id = chain.chain_id if chain.chain_id is not None else await _ask_chain_id(chain, settings, outgoing)
        networks[chain_id] = network = _network(
            chain, chain_id, book.get(chain_id), settings, metrics=metrics, outgoing=outgoing
        )
        network.rpc.endpoints.watch()
    return Networks(networks)


def _network(
    chain: ChainConfig,
    chain_id: int,
    addresses: ChainAddresses | None,
    settings: Settings,
    *,
    metrics: Metrics,
    outgoing: Outgoing,
) -> Network:
    if addresses is None or addresses.factory is None:
        raise StartError(f"ADDRESS_FILE: has no ERC721Factory for chain {chain_id}; name a file that lists the chain")
    return Network(
        chain_id=chain_id,
        name=addresses.name,
        rpc=Rpc(
            chain.rpc_urls,
            settings.rpc,
            chain_id=chain_id,
            metrics=metrics.chains,
            outgoing=outgoing,
        ),
        factory=addresses.factory,
        fee_token=chain.fee_token or addresses.ocean or ZERO_ADDRESS,
        account=Account.from_hex(chain.private_key),
        start_block=addresses.start_block,
        finality_blocks=settings.rpc.finality_blocks.of(chain_id),
    )


async def _ask_chain_id(chain: ChainConfig, settings: Settings, outgoing: Outgoing) -> int:
    rpc = Rpc(chain.rpc_urls, settings.rpc, chain_id=None, outgoing=outgoing)
    deadline = time.monotonic() + FIRST_ANSWER_SECONDS
    told = False
    try:
        while True:
            try:
                return await rpc.learn_chain_id()
            except ChainError as exc:
                if time.monotonic() > deadline:
                    raise StartError(
                        "NETWORK_URL: no endpoint reported its chain id; is the node running there?"
                    ) from exc
                if not told:
                    log.warning("waiting for the node of NETWORK_URL to report its chain id")
                    told = True
                await asyncio.sleep(RETRY_SECONDS)
    finally:
        await rpc.close()
