"""Settings of the nodes, and how chains are read."""

from dataclasses import dataclass, field
from typing import ClassVar

from provider.setting import BadSettingError, PerChain, integer, per_chain, seconds, special
from provider.wire.text import digits

_DEFAULT_FINALITY, _MAX_FINALITY = 12, 100_000


@dataclass(frozen=True, slots=True)
class ChainConfig:
    """One chain. `chain_id` is None in single-chain mode: the node is asked at start."""

    chain_id: int | None
    rpc_urls: tuple[str, ...] = field(repr=False)
    private_key: str = field(repr=False)
    fee_token: str | None


def _depth(value: object) -> int | None:
    if isinstance(value, str):
        value = digits(value, max_chars=9)
    is_depth = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_FINALITY
    return value if is_depth and isinstance(value, int) else None


_depths = per_chain(_depth, _DEFAULT_FINALITY, f"must be a whole number up to {_MAX_FINALITY}, or one per chain id")


def _chain_ids(value: object) -> frozenset[int]:
    """Chain ids, as a list or as text with commas. Raises BadSettingError."""
    listed = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else [None]
    ids = [digits(item.strip(), max_chars=15) if isinstance(item, str) else item for item in listed if item != ""]
    if not all(type(item) is int and item > 0 for item in ids):
        raise BadSettingError("must be chain ids, separated by commas")
    return frozenset(item for item in ids if item is not None)


@dataclass(frozen=True, slots=True)
class RpcConfig:
    """How nodes are asked; the same for every chain."""

    SECTION: ClassVar = "rpc"

    timeout_seconds: float = seconds(
        "PROVIDER_RPC_TIMEOUT_SECONDS", 10, minimum=0.1, maximum=120, help="Limit of one JSON-RPC round trip."
    )
    receipt_wait_seconds: float = seconds(
        "PROVIDER_RECEIPT_WAIT_SECONDS",
        3,
        minimum=0,
        maximum=60,
        help="How long a download waits for a transaction that the node does not know yet.",
    )
    finality_blocks: PerChain[int] = special(
        "PROVIDER_FINALITY_BLOCKS",
        _depths,
        _DEFAULT_FINALITY,
        help="Depth at which a receipt counts as immutable and stays cached. One number, or one per chain id; a chain "
        f"that is not listed has {_DEFAULT_FINALITY}. Younger receipts are read again after some seconds, so an order "
        "that a reorganisation removed is no longer served.",
        bounds=f"0 to {_MAX_FINALITY}",
        examples=({"1": 12, "137": 64},),
    )
    idle_chains: frozenset[int] = special(
        "PROVIDER_IDLE_CHAINS",
        _chain_ids,
        [],
        help="Chains that make blocks only for transactions, as private ones do. Such a chain causes no alert while "
        "it makes no blocks: `provider_chain_heads_total` does not count its reports.",
        bounds="chain ids, separated by commas",
        examples=([8996],),
    )
    hedge_after_seconds: float = seconds(
        "PROVIDER_RPC_HEDGE_SECONDS",
        1,
        minimum=0,
        maximum=120,
        key="hedge_seconds",
        help="The next endpoint is asked as well when there is no answer after this time. 0 disables this.",
    )
    watch_seconds: float = seconds(
        "PROVIDER_RPC_WATCH_SECONDS",
        30,
        minimum=0,
        maximum=3600,
        help="Interval at which the heights of several endpoints are compared. 0 disables this.",
    )
    max_lag_blocks: int = integer(
        "PROVIDER_RPC_MAX_LAG_BLOCKS",
        20,
        minimum=0,
        maximum=1_000_000,
        help="An endpoint that is further behind the others is asked last.",
    )
