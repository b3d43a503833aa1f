"""A compute environment as the operator service describes it (pure; `provider-api.md` section 5.11)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from provider.crypto.keccak import is_address, to_checksum_address
from provider.errors import OperatorUnavailable

# No real price has this size or precision, and arithmetic on one would cost time.
_MAX_PRICE_CHARS = 60
_MAX_EXPONENT = 60


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment where jobs run.

    `price_per_minute`: in tokens; None if unreadable, in which case nothing can be ordered there.
    `consumer_address`: checksummed; the address that downloads for its jobs.
    `listed`: the fields shown to clients.
    """

    id: str
    chain_id: int
    consumer_address: str | None
    price_per_minute: Decimal | None
    listed: Mapping[str, object] = field(repr=False)


def parse_environments(raw: object, *, chain_id: int, fee_token: str) -> tuple[Environment, ...]:
    """Parse the operator's answer for one chain. Raises OperatorUnavailable if it is not a list of objects."""
    if not isinstance(raw, list) or not all(isinstance(item, Mapping) for item in raw):
        raise OperatorUnavailable(detail=f"operator: environments of chain {chain_id} are not a list of objects")
    return tuple(_environment(item, chain_id, fee_token) for item in raw)


def _environment(raw: Mapping[str, object], chain_id: int, fee_token: str) -> Environment:
    address, name = raw.get("consumerAddress"), raw.get("id")
    return Environment(
        id=str(name) if isinstance(name, str | int) else "",
        chain_id=chain_id,
        consumer_address=to_checksum_address(str(address)) if is_address(address) else None,
        price_per_minute=parse_price(raw.get("priceMin")),
        listed={**raw, "feeToken": fee_token},
    )


def parse_price(value: object) -> Decimal | None:
    """Parse a price from a JSON number or text. None if it is negative, not finite, absurdly long or no number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = str(value).strip()
    if len(text) > _MAX_PRICE_CHARS or "_" in text:
        return None
    try:
        price = Decimal(text)
    except InvalidOperation:
        return None
    if not price.is_finite() or price < 0 or abs(price.adjusted()) > _MAX_EXPONENT:
        return None
    return price
