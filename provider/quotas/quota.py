"""Decides whether a download fits into the quotas that apply to it (pure).

Downloads are counted in millionths, by the bytes sent. A range counts as its share of the file, and a cut download as
the share that was sent. So ranges that make up one file are one download, and a range that is fetched again counts
again.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Literal

Scope = Literal["order", "consumer", "asset"]
Unit = Literal["downloads", "bytes"]

DOWNLOAD = 1_000_000
"""One download, in the unit that is counted."""
HELD_SECONDS = 10.0
"""When to try again while downloads in progress hold what is left."""
PORTION_BYTES = 16 << 20
"""A body of unknown length holds this much at a time, so that one who reads slowly does not hold all that is left."""
_MAX_LIMIT = 2**53


@dataclass(frozen=True, slots=True)
class Limit:
    """The most that may be taken. 0 means no limit."""

    downloads: int = 0
    bytes: int = 0

    def __bool__(self) -> bool:
        return bool(self.downloads or self.bytes)

    def lowered(self, other: "Limit") -> "Limit":
        """The stricter of both, for each unit."""
        return Limit(_stricter(self.downloads, other.downloads), _stricter(self.bytes, other.bytes))


NONE = Limit()


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of an operator, or those that a publisher has set for a service."""

    order: Limit = NONE
    consumer_day: Limit = NONE
    asset_month: Limit = NONE

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self))


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Taker:
    """A proven consumer, with the order and service of a download. Until the order is checked, these are claims.

    A result of a compute job has no order of its own, so that only the operator's limit of a consumer applies.

    Attributes:
        consumer: checksummed address.
        did: empty for a result of a compute job.
        order_tx_id: the transaction that began the order, lower-case hex with `0x`.
        order_ends_at: unix seconds; None if the order has no end, or if it is not known yet.
        order_consumer: whom the order is for, checksummed; empty if it is not known yet. The payer may download too.
    """

    consumer: str
    did: str = ""
    service_id: str = ""
    order_tx_id: str = ""
    order_ends_at: int | None = None
    order_consumer: str = ""


@dataclass(frozen=True, slots=True)
class Quota:
    """One limit that applies.

    Attributes:
        name: of what is counted. It begins anew with each day and month (UTC).
        ends_at: when the count ends, in unix seconds; None if never.
    """

    scope: Scope
    name: str
    limit: Limit
    ends_at: int | None


@dataclass(frozen=True, slots=True)
class Amount:
    """`parts`: downloads in millionths."""

    parts: int = 0
    bytes: int = 0

    def without(self, other: "Amount") -> "Amount":
        """What remains, nothing at least."""
        return Amount(max(0, self.parts - other.parts), max(0, self.bytes - other.bytes))


NOTHING = Amount()


@dataclass(frozen=True, slots=True)
class Count:
    """The amount that was sent, and the amount that downloads in progress may still send."""

    sent: Amount = NOTHING
    held: Amount = NOTHING
    ends_at: int | None = None


@dataclass(frozen=True, slots=True)
class Body:
    """The body that a request asks for.

    Attributes:
        length_bytes: None if unknown. More than stores can count is as much as they can.
        parts: how much of a download all of it is.
    """

    length_bytes: int | None
    parts: int = DOWNLOAD

    def __post_init__(self) -> None:
        # Origins state what they like, such as twenty digits in a Content-Range. Stores count in 64 bits.
        if self.length_bytes is not None and self.length_bytes > _MAX_LIMIT:
            object.__setattr__(self, "length_bytes", _MAX_LIMIT)

    def sent(self, sent_bytes: int) -> Amount:
        """The amount that counts after `sent_bytes`. Fractions are rounded up, so that nothing is free."""
        if not sent_bytes:
            return NOTHING
        share = min(1.0, sent_bytes / self.length_bytes) if self.length_bytes else 1.0
        return Amount(math.ceil(self.parts * share), sent_bytes)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a download does not fit.

    Attributes:
        until: when to try again, in unix seconds; None if never.
        is_held: downloads in progress hold what is left.
        is_partly_left: something is left, but less than the whole body.
    """

    scope: Scope
    unit: Unit
    until: float | None
    is_held: bool
    is_partly_left: bool


def part_of(length_bytes: int, total_bytes: int | None) -> Body:
    """A range of a file. Without the length of the file it counts as a whole download."""
    if not total_bytes:
        return Body(length_bytes)
    return Body(length_bytes, min(DOWNLOAD, math.ceil(DOWNLOAD * length_bytes / total_bytes)))


def quotas_of(operator: Limits, publisher: Limits, taker: Taker, now: float) -> Sequence[Quota]:
    """The quotas that apply at `now` (unix seconds). A publisher's limits can only lower those of the operator.

    The operator's limit of a consumer counts all datasets, the publisher's only this one.
    """
    day = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    day_ends_at = int((day + timedelta(days=1)).timestamp())
    month_ends_at = int((day.replace(day=1) + timedelta(days=32)).replace(day=1).timestamp())
    of_day, of_month = f"day {day:%Y-%m-%d} {taker.consumer}", f"month {day:%Y-%m} {taker.did}"
    service = sha256(f"{taker.did} {taker.service_id}".encode("utf-8", "surrogatepass")).hexdigest()[:16]
    found = (
        Quota(
            "order",
            f"order {taker.order_tx_id} {taker.order_consumer or taker.consumer} {service}",
            operator.order.lowered(publisher.order),
            taker.order_ends_at,
        ),
        Quota("consumer", of_day, operator.consumer_day, day_ends_at),
        Quota("consumer", f"{of_day} {taker.did}", publisher.consumer_day, day_ends_at),
        Quota("asset", of_month, operator.asset_month.lowered(publisher.asset_month), month_ends_at),
    )
    return [quota for quota in found if quota.limit and (taker.did or quota.scope == "consumer")]


def decide(quotas: Sequence[Quota], counts: Sequence[Count], body: Body | None, now: float) -> Refusal | None:
    """Decide whether `body` fits. Returns None if it does, otherwise the refusal that lasts longest.

    A download may begin while the count is below the limit, so that a cut one can always be finished. Bytes never
    exceed their limit. Without a body, or without its length, something must be left.
    """
    refusals = [
        refusal for quota, count in zip(quotas, counts, strict=True) for refusal in _refusals(quota, count, body, now)
    ]
    return max(refusals, key=lambda refusal: math.inf if refusal.until is None else refusal.until, default=None)


def held_by(body: Body, quotas: Sequence[Quota], counts: Sequence[Count]) -> Amount:
    """The amount that an accepted body holds. A body of unknown length holds a portion of what is left."""
    if body.length_bytes is not None:
        return Amount(body.parts, body.length_bytes)
    left = [
        quota.limit.bytes - count.sent.bytes - count.held.bytes
        for quota, count in zip(quotas, counts, strict=True)
        if quota.limit.bytes
    ]
    return Amount(body.parts, min(PORTION_BYTES, *left)) if left else Amount(body.parts)


def parse_limits(raw: object) -> Limits:
    """The limits in a service's `additionalInformation`. A value that is not a positive integer sets no limit."""
    quotas = raw.get("quotas") if isinstance(raw, Mapping) else None
    if not isinstance(quotas, Mapping):
        return NO_LIMITS

    def limit(of: str) -> Limit:
        return Limit(_whole(quotas.get(f"downloadsPer{of}")), _whole(quotas.get(f"bytesPer{of}")))

    return Limits(limit("Order"), limit("ConsumerAndDay"), limit("Month"))


def _refusals(quota: Quota, count: Count, body: Body | None, now: float) -> Iterator[Refusal]:
    limit, sent, held = quota.limit, count.sent, count.held
    ends_at = count.ends_at if quota.ends_at is None else quota.ends_at
    if limit.downloads and sent.parts + held.parts >= limit.downloads * DOWNLOAD:
        is_held = sent.parts < limit.downloads * DOWNLOAD
        yield Refusal(quota.scope, "downloads", now + HELD_SECONDS if is_held else ends_at, is_held, False)
    least = 1 if body is None or body.length_bytes is None else body.length_bytes
    if limit.bytes and sent.bytes + held.bytes + least > limit.bytes:
        is_held = sent.bytes + least <= limit.bytes
        is_partly_left = sent.bytes < limit.bytes
        yield Refusal(quota.scope, "bytes", now + HELD_SECONDS if is_held else ends_at, is_held, is_partly_left)


def _stricter(one: int, other: int) -> int:
    return min(one, other) if one and other else one or other


def _whole(value: object) -> int:
    return value if type(value) is int and 0 < value <= _MAX_LIMIT else 0
