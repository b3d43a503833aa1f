"""Settings of proofs of download: whether, where to, and what they may cost (`provider-api.md` section 13.2)."""

from dataclasses import dataclass
from typing import ClassVar

from provider.setting import PerChain, boolean, integer, per_chain, seconds, special, url

GWEI = 10**9
_DEFAULT_MAX_FEE_GWEI = 100.0
_HIGHEST_MAX_FEE_GWEI = 1_000_000.0
_DAY_SECONDS = 86_400


def _wei(value: object) -> int | None:
    try:
        gwei = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else 0.0
    except ValueError:
        return None
    return round(gwei * GWEI) or None if 0 < gwei <= _HIGHEST_MAX_FEE_GWEI else None


_fees = per_chain(
    _wei,
    round(_DEFAULT_MAX_FEE_GWEI * GWEI),
    f"must be gwei above 0, {_HIGHEST_MAX_FEE_GWEI:.0f} at most: one number, or one per chain id",
)


@dataclass(frozen=True, slots=True)
class ProofConfig:
    """Proofs to `http_url`, or as transactions, or none. 0 switches the last three bounds off."""

    SECTION: ClassVar = "proofs"

    http_url: str | None = url(
        "USE_HTTP_PROOF", help="Send each proof as a form to this URL.", example="http://accounting:8000/proofs"
    )
    on_chain: bool = boolean(
        "USE_CHAIN_PROOF", False, help="Send each proof as a transaction, paid by the Provider's key."
    )
    max_fee_wei: PerChain[int] = special(
        "PROVIDER_PROOF_MAX_FEE_GWEI",
        _fees,
        _DEFAULT_MAX_FEE_GWEI,
        key="max_fee_gwei",
        help="Highest fee per gas of such a transaction, in gwei. Proofs wait while the chain asks more. One number, "
        f"or one per chain id; a chain that is not listed has {_DEFAULT_MAX_FEE_GWEI:g}.",
        bounds=f"above 0, up to {_HIGHEST_MAX_FEE_GWEI:.0f}",
        examples=({"1": 20.0, "137": 300.0},),
    )
    max_queued: int = integer(
        "PROVIDER_PROOF_MAX_QUEUED",
        10_000,
        minimum=1,
        maximum=10_000_000,
        help="Proofs kept on disk. Any more are lost; their downloads are served.",
    )
    max_age_seconds: float = seconds(
        "PROVIDER_PROOF_MAX_AGE_SECONDS",
        _DAY_SECONDS,
        minimum=1,
        maximum=30 * _DAY_SECONDS,
        help="A proof that could not be sent within this time is lost.",
    )
    period_seconds: float = seconds(
        "PROVIDER_PROOF_PERIOD_SECONDS",
        _DAY_SECONDS,
        minimum=0,
        maximum=365 * _DAY_SECONDS,
        help="The Provider pays for one transaction per order and consumer in this time. Downloads beyond this bound "
        "or the next two are served and not proven. 0 disables the bound.",
    )
    max_per_order: int = integer(
        "PROVIDER_PROOF_MAX_PER_ORDER",
        10,
        minimum=0,
        maximum=10_000_000,
        help="Transactions for one order in all. 0 disables the bound.",
    )
    max_per_day: int = integer(
        "PROVIDER_PROOF_MAX_PER_DAY",
        1000,
        minimum=0,
        maximum=10_000_000,
        help="Transactions on one chain in a day (UTC). 0 disables the bound.",
    )
