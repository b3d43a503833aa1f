"""Proofs of download: whether, where to, and what they may cost (`provider-api.md` section 13.2)."""

from collections.abc import Mapping

from provider.config.model import ProofSettings
from provider.config.source import Source
from provider.wire.text import digits

GWEI = 10**9
MAX_FEE = ("PROVIDER_PROOF_MAX_FEE_GWEI", "proofs.max_fee_gwei")
DEFAULT_MAX_FEE_GWEI = 100.0
HIGHEST_MAX_FEE_GWEI = 1_000_000.0


def read_proofs(source: Source) -> ProofSettings:
    """The settings; faults are noted in `source`."""
    http_url = source.url("USE_HTTP_PROOF", "proofs.http_url")
    on_chain = source.boolean("USE_CHAIN_PROOF", "proofs.on_chain", False)
    if http_url is not None and on_chain:
        source.warnings.append("USE_CHAIN_PROOF is ignored: USE_HTTP_PROOF is set, and one proof is enough")
    max_fee_wei, by_chain = _max_fees(source)
    return ProofSettings(
        http_url=http_url,
        on_chain=on_chain and http_url is None,
        max_fee_wei=max_fee_wei,
        max_fee_wei_by_chain=by_chain,
        max_queued=source.integer(
            "PROVIDER_PROOF_MAX_QUEUED", "proofs.max_queued", 10_000, minimum=1, maximum=10_000_000
        ),
        max_age_seconds=source.seconds(
            "PROVIDER_PROOF_MAX_AGE_SECONDS", "proofs.max_age_seconds", 86_400.0, minimum=1.0, maximum=30 * 86_400.0
        ),
        period_seconds=source.seconds(
            "PROVIDER_PROOF_PERIOD_SECONDS", "proofs.period_seconds", 86_400.0, minimum=0.0, maximum=365 * 86_400.0
        ),
        max_per_order=source.integer(
            "PROVIDER_PROOF_MAX_PER_ORDER", "proofs.max_per_order", 10, minimum=0, maximum=10_000_000
        ),
        max_per_day=source.integer(
            "PROVIDER_PROOF_MAX_PER_DAY", "proofs.max_per_day", 1000, minimum=0, maximum=10_000_000
        ),
    )


def _max_fees(source: Source) -> tuple[int, Mapping[int, int]]:
    value = source.json_or_text(*MAX_FEE)
    default = round(DEFAULT_MAX_FEE_GWEI * GWEI)
    if value is None:
        return default, {}
    if not isinstance(value, Mapping):
        fee = _wei(value)
        if fee is None:
            _fault(source)
        return fee or default, {}
    by_chain: dict[int, int] = {}
    for chain, text in value.items():
        fee, chain_id = _wei(text), digits(str(chain))
        if fee is None or chain_id is None:
            _fault(source)
        else:
            by_chain[chain_id] = fee
    return default, by_chain


def _wei(value: object) -> int | None:
    try:
        gwei = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else 0.0
    except ValueError:
        return None
    return round(gwei * GWEI) or None if 0 < gwei <= HIGHEST_MAX_FEE_GWEI else None


def _fault(source: Source) -> None:
    source.fault(*MAX_FEE, f"must be gwei above 0, {HIGHEST_MAX_FEE_GWEI:.0f} at most: one number, or one per chain id")
