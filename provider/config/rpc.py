"""Settings of how chains are read."""

from collections.abc import Mapping

from provider.config.model import RpcSettings
from provider.config.source import Source
from provider.wire.text import digits

FINALITY = ("PROVIDER_FINALITY_BLOCKS", "rpc.finality_blocks")
DEFAULT_FINALITY_BLOCKS = 12
MAX_FINALITY_BLOCKS = 100_000


def read_rpc(source: Source) -> RpcSettings:
    """Checked values; faults are noted in `source`."""
    finality_blocks, finality_by_chain = _finality(source)
    return RpcSettings(
        timeout_seconds=source.seconds(
            "PROVIDER_RPC_TIMEOUT_SECONDS", "rpc.timeout_seconds", 10.0, minimum=0.1, maximum=120.0
        ),
        hedge_after_seconds=source.seconds(
            "PROVIDER_RPC_HEDGE_SECONDS", "rpc.hedge_seconds", 1.0, minimum=0.0, maximum=120.0
        ),
        watch_seconds=source.seconds(
            "PROVIDER_RPC_WATCH_SECONDS", "rpc.watch_seconds", 30.0, minimum=0.0, maximum=3600.0
        ),
        max_lag_blocks=source.integer(
            "PROVIDER_RPC_MAX_LAG_BLOCKS", "rpc.max_lag_blocks", 20, minimum=0, maximum=1_000_000
        ),
        receipt_wait_seconds=source.seconds(
            "PROVIDER_RECEIPT_WAIT_SECONDS", "rpc.receipt_wait_seconds", 3.0, minimum=0.0, maximum=60.0
        ),
        finality_blocks=finality_blocks,
        finality_by_chain=finality_by_chain,
    )


def _finality(source: Source) -> tuple[int, Mapping[int, int]]:
    """Depth for chains that are not listed, and of those that are."""
    value = source.json_or_text(*FINALITY)
    if value is None:
        return DEFAULT_FINALITY_BLOCKS, {}
    if isinstance(value, dict):
        depths = {_chain_id(key): _depth(depth) for key, depth in value.items()}
        found = {chain: depth for chain, depth in depths.items() if chain is not None and depth is not None}
        if len(found) == len(value):
            return DEFAULT_FINALITY_BLOCKS, found
    depth = _depth(value)
    if depth is not None:
        return depth, {}
    source.fault(*FINALITY, f"must be a whole number up to {MAX_FINALITY_BLOCKS}, or one per chain id")
    return DEFAULT_FINALITY_BLOCKS, {}


def _chain_id(text: object) -> int | None:
    return digits(text, max_chars=18) if isinstance(text, str) else None


def _depth(value: object) -> int | None:
    if isinstance(value, str):
        value = digits(value, max_chars=9)
    is_depth = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_FINALITY_BLOCKS
    return value if is_depth and isinstance(value, int) else None
