"""Describes what the chain and the counts say about a download (pure): each step of its order, and each quota.

`orders/check.py` and `quotas/quota.py` decide. Nothing here judges an order: the class of the refusal names the step
that failed.
"""

from collections.abc import Iterator, Mapping, Sequence

from provider.assets.ddo import Service
from provider.chain.events import Receipt
from provider.commands.check.table import Finding, failed, passed, skipped
from provider.commands.times import utc
from provider.errors import (
    OrderDatatokenUnknown,
    OrderError,
    OrderExpired,
    OrderFeeMismatch,
    OrderFeeMissing,
    OrderNotConsumer,
    OrderUnderpaid,
    QuotaExhausted,
)
from provider.orders.check import Order, OrderFacts
from provider.quotas.quota import DOWNLOAD, Count, Quota, decide

DATATOKEN, TRANSACTION, FEE, EVENT = "datatoken", "transaction", "provider fee", "order event"
AMOUNT, TIME, BUYER = "amount", "time", "buyer"
STEPS = (DATATOKEN, TRANSACTION, FEE, EVENT, AMOUNT, TIME, BUYER)
"""In the order of `check_order`."""

_REFUSED_AT: Mapping[type[OrderError], str] = {
    OrderDatatokenUnknown: DATATOKEN,
    OrderFeeMissing: FEE,
    OrderFeeMismatch: FEE,
    OrderUnderpaid: AMOUNT,
    OrderExpired: TIME,
    OrderNotConsumer: BUYER,
}
_MAX_EVENTS = 5
_QUOTA_NAMES = {"order": "quota of order", "consumer": "quota of day", "asset": "quota of month"}


def order_findings(
    facts: OrderFacts, service: Service, verdict: Order | OrderError, ends_at: int | None = None
) -> Iterator[Finding]:
    """One finding for each step.

    Args:
        facts: those of the chain.
        service: the service that was ordered.
        verdict: of `check_order` about the same facts.
        ends_at: when an accepted order ends, unix seconds; None if never.
    """
    refused_at = None if isinstance(verdict, Order) else _refused_at(facts, verdict)
    seen = _seen(facts, service, verdict, ends_at)
    is_reached = True
    for step in STEPS:
        if not is_reached:
            yield skipped(step)
        elif step == refused_at and isinstance(verdict, OrderError):
            is_reached = False
            yield failed(step, f"{verdict.code}: {verdict.public_text} {seen.get(step, '')}".strip(), verdict.remedy)
        else:
            yield passed(step, seen.get(step, ""))


def _refused_at(facts: OrderFacts, error: OrderError) -> str:
    """Two classes may concern the transaction itself, or the one that it refers to."""
    known = _REFUSED_AT.get(type(error))
    if known is not None:
        return known
    return TRANSACTION if facts.receipt is None or not facts.receipt.succeeded else EVENT


def _seen(facts: OrderFacts, service: Service, verdict: Order | OrderError, ends_at: int | None) -> Mapping[str, str]:
    seen = {DATATOKEN: f"{service.datatoken} of service {service.id}, number {service.index} on chain"}
    if facts.receipt is not None:
        outcome = "succeeded" if facts.receipt.succeeded else "was reverted"
        seen[TRANSACTION] = f"{outcome} in block {facts.receipt.block_number}: {_events(facts.receipt)}"
    if facts.started_receipt is not None:
        seen[EVENT] = f"the order of {facts.started_receipt.tx_id}, used again: {_events(facts.started_receipt)}"
    if isinstance(verdict, OrderError):
        return seen
    fee = verdict.fee
    return {
        **seen,
        FEE: f"{fee.amount} units of token {fee.token}, signed by {fee.provider}",
        EVENT: seen.get(EVENT) or f"OrderStarted in {verdict.started_tx_id}",
        AMOUNT: "at least one datatoken",
        TIME: f"began {utc(verdict.started_at)}, {'never ends' if ends_at is None else f'ends {utc(ends_at)}'}",
        BUYER: f"consumer {verdict.consumer}, payer {verdict.payer}",
    }


def _events(receipt: Receipt) -> str:
    """The events that could make it an order, from any emitter."""
    events = [
        *(
            f"OrderStarted of {event.emitter} for service number {event.service_index}, consumer {event.consumer}, "
            f"payer {event.payer}, at {utc(event.timestamp)}"
            for event in receipt.order_started[:_MAX_EVENTS]
        ),
        *(f"OrderReused of {event.emitter}" for event in receipt.order_reused[:_MAX_EVENTS]),
        *(f"ProviderFee of {event.emitter} for {event.provider}" for event in receipt.provider_fees[:_MAX_EVENTS]),
    ]
    return "; ".join(events) or "no event of an order"


def quota_findings(quotas: Sequence[Quota], counts: Sequence[Count], did: str, now: float) -> Iterator[Finding]:
    """One finding for each quota. `now`: unix seconds."""
    for quota, count in zip(quotas, counts, strict=True):
        # A publisher's limit of a consumer counts one dataset only.
        of_dataset = ", this dataset" if quota.scope == "consumer" and did in quota.name else ""
        name, detail = f"{_QUOTA_NAMES[quota.scope]}{of_dataset}", "; ".join(_quota_parts(quota, count))
        if decide([quota], [count], None, now) is None:
            yield passed(name, detail)
        else:
            yield failed(name, f"{QuotaExhausted.code}: {detail}", QuotaExhausted.remedy)


def _quota_parts(quota: Quota, count: Count) -> Iterator[str]:
    limit, sent, held = quota.limit, count.sent, count.held
    if limit.downloads:
        under_way = f" and {held.parts / DOWNLOAD:g} in progress" if held.parts else ""
        yield f"{sent.parts / DOWNLOAD:g}{under_way} of {limit.downloads} downloads"
    if limit.bytes:
        under_way = f" and {held.bytes} held by downloads in progress" if held.bytes else ""
        yield f"{sent.bytes}{under_way} of {limit.bytes} bytes"
    if quota.ends_at is not None:
        ends = "the order ends" if quota.scope == "order" else "begins anew"
        yield f"{ends} at {utc(quota.ends_at)}"
