"""Keeps consumers to their quotas: asks the store before a body is sent, and reports to it the bytes sent."""

import asyncio
import logging
import math
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from provider.errors import QuotaExhausted, StoreError
from provider.observability.metrics.backends import QuotaMetrics
from provider.quotas.quota import (
    NO_LIMITS,
    NOTHING,
    PORTION_BYTES,
    Amount,
    Body,
    Limit,
    Limits,
    Quota,
    Refusal,
    Taker,
    decide,
    quotas_of,
)
from provider.quotas.store import Move, QuotaStore

LOOK_SECONDS = 1.0
"""How often a body of unknown length asks for its next portion. It is cut at most this long after it has sent all that
was left."""
NOTE_LOOKS = 5
"""Number of looks after which the bytes sent are noted in the store. A crash loses those sent since the last note."""

_WHOSE = {
    "order": "the quota of this order",
    "consumer": "the consumer's quota for this day",
    "asset": "the quota of this dataset for this month",
}
_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Hold:
    """The part of its quotas that a download in progress holds.

    Attributes:
        held: in all, with what was sent.
        sent_bytes: returns the bytes sent so far.
        cut: ends a body that may not go on.
        ended_bytes: the bytes sent in all; None while the download goes on.
    """

    id: str
    quotas: Sequence[Quota]
    body: Body
    held: Amount
    sent_bytes: Callable[[], int] = field(repr=False)
    cut: Callable[[], None] = field(repr=False)
    noted: Amount = NOTHING
    ended_bytes: int | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its counts."""
        return tuple(quota.name for quota in self.quotas)

    def move(self) -> Move:
        """The report for the store."""
        ended = self.ended_bytes
        if ended is not None:
            return Move(self.id, self.names, self.body.sent(ended), self.noted, NOTHING, is_end=True)
        sent = self.body.sent(max(self.sent_bytes(), self.noted.bytes))
        return Move(self.id, self.names, sent, self.noted, self.held.without(sent), is_end=False)

    @property
    def left_bytes(self) -> float:
        """The bytes it may send before it has to hold more; below zero if it sent more. Infinite for a known length."""
        is_open = self.body.length_bytes is None and any(quota.limit.bytes for quota in self.quotas)
        return self.held.bytes - self.sent_bytes() if is_open and self.ended_bytes is None else math.inf


class Quotas:
    """The quotas of this worker. `clock` gives unix seconds; days and months are those of UTC."""

    def __init__(
        self,
        limits: Limits,
        store: QuotaStore,
        metrics: QuotaMetrics,
        *,
        clock: Callable[[], float] = time.time,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._limits = limits
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._look_seconds = look_seconds
        self._holds: dict[str, Hold] = {}
        self._ended: list[Hold] = []
        self._is_failing = False
        self._looking: asyncio.Task[None] | None = None
        self._settling: asyncio.Task[None] | None = None

    async def check(self, taker: Taker, publisher: Limits = NO_LIMITS, body: Body | None = None) -> None:
        """Raise QuotaExhausted if nothing is left, or if `body` does not fit; StoreError. Nothing is counted.

        `publisher`: the limits of the service, as far as they are known.
        """
        now = self._clock()
        quotas = quotas_of(self._limits, publisher, taker, now)
        if quotas:
            counts = await self._store.counts([quota.name for quota in quotas])
            self._refuse(decide(quotas, counts, body, now), now)

    async def take(
        self, taker: Taker, publisher: Limits, body: Body, *, sent_bytes: Callable[[], int], cut: Callable[[], None]
    ) -> Hold | None:
        """Hold what `body` may take, until `end`. None if no quota applies.

        Raises:
            QuotaExhausted: it does not fit.
            StoreError: the counts cannot be read or written.
        """
        now = self._clock()
        quotas = quotas_of(self._limits, publisher, taker, now)
        if not quotas:
            return None
        hold = Hold(secrets.token_hex(8), quotas, body, NOTHING, sent_bytes, cut)
        try:
            held = await self._store.take(hold.id, quotas, body, now)
        except asyncio.CancelledError:
            # The consumer left. The store holds it all the same, or will.
            self.end(hold, 0)
            raise
        if isinstance(held, Refusal):
            self._refuse(held, now)
            return None
        hold.held = held
        self._holds[hold.id] = hold
        if self._looking is None:
            self._looking = asyncio.get_running_loop().create_task(self._look())
        return hold

    def end(self, hold: Hold, sent_bytes: int) -> None:
        """Count the bytes sent, in the background, and give back the rest."""
        hold.ended_bytes = sent_bytes
        self._holds.pop(hold.id, None)
        self._ended.append(hold)
        if self._settling is None:
            self._settling = asyncio.get_running_loop().create_task(self._settle())

    async def close(self) -> None:
        """Count the bytes sent, then close the store."""
        if self._looking is not None:
            self._looking.cancel()
        if self._settling is not None:
            await asyncio.wait({self._settling})
        if self._ended:
            await self._tell(self._ended)
        await self._store.close()

    def _refuse(self, refusal: Refusal | None, now: float) -> None:
        if refusal is not None:
            self._metrics.refusals.add(refusal.scope, refusal.unit)
            raise QuotaExhausted(
                _text(refusal), after_seconds=None if refusal.until is None else max(0.0, refusal.until - now)
            )

    async def _settle(self) -> None:
        """If the store is unreachable, the count is tried again at each look."""
        while self._ended:
            ended, self._ended = self._ended, []
            if not await self._tell(ended):
                self._ended = ended + self._ended
                break
        self._settling = None
        if self._ended and self._looking is None:
            self._looking = asyncio.get_running_loop().create_task(self._look())

    async def _look(self) -> None:
        """While downloads are in progress, keep them to what is left, and report to the store the bytes sent."""
        looks = 0
        while self._holds or self._ended:
            await asyncio.sleep(self._look_seconds)
            looks += 1
            short = [hold for hold in self._holds.values() if hold.left_bytes < PORTION_BYTES // 2]
            if short:
                await self._keep(short)
            if looks % NOTE_LOOKS == 0:
                await self._tell(list(self._holds.values()))
            if self._ended and self._settling is None:
                self._settling = asyncio.get_running_loop().create_task(self._settle())
        self._looking = None

    async def _keep(self, short: Sequence[Hold]) -> None:
        """Hold the next portions for bodies of unknown length. Cut those that have sent more than was left."""
        # The store first counts the bytes sent beyond a hold. By this report it also knows again a hold it gave back.
        is_up = await self._tell(short)
        for hold in short:
            try:
                if not (is_up and await self._extend(hold)) and hold.left_bytes < 0:
                    hold.cut()
            except StoreError:
                # The next look cuts it, if it has to be cut.
                is_up = False
            except Exception as error:  # noqa: BLE001 - the top of a background task, which has others to look at
                _log.error("quotas: a download in progress cannot be kept to its quotas", exc_info=error)

    async def _extend(self, hold: Hold) -> bool:
        """Hold a portion beyond the bytes sent. False if nothing is left, or if the download has ended."""
        if hold.ended_bytes is not None:
            return False
        # It is no further download.
        quotas = [replace(quota, limit=Limit(bytes=quota.limit.bytes)) for quota in hold.quotas]
        more = await self._store.take(hold.id, quotas, Body(None, parts=0), self._clock())
        if isinstance(more, Refusal):
            return False
        hold.held = replace(hold.held, bytes=max(hold.held.bytes, hold.noted.bytes) + more.bytes)
        return True

    async def _tell(self, holds: Sequence[Hold]) -> bool:
        """Report to the store what these have sent. False if it gives no answer."""
        try:
            moves = [hold.move() for hold in holds]
            await self._store.move(moves)
        except StoreError as error:
            # It is tried again every second.
            if not self._is_failing:
                self._is_failing = True
                _log.warning("quotas: the bytes sent cannot be counted yet: %s", error.detail)
            return False
        except Exception as error:  # noqa: BLE001 - the top of background tasks, which try it again
            _log.error("quotas: the bytes sent cannot be counted yet", exc_info=error)
            return False
        if self._is_failing:
            self._is_failing = False
            _log.info("quotas: the bytes sent are counted again")
        for hold, move in zip(holds, moves, strict=True):
            hold.noted = move.sent
        return True


def _text(refusal: Refusal) -> str:
    whose = _WHOSE[refusal.scope]
    if refusal.is_held:
        return f"Downloads in progress hold what is left of {whose}. Try again in 10 seconds."
    again = "" if refusal.until is None else datetime.fromtimestamp(refusal.until, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if refusal.scope == "order":
        then = "Order again to go on." + (f" The order ends at {again}." if again else "")
    else:
        then = f"It begins anew at {again}."
    if refusal.is_partly_left:
        return f"Less is left of {whose} than was asked for. {then}"
    return f"{whose[0].upper()}{whose[1:]} is used up. {then}"
