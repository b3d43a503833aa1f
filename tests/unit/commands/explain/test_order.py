"""The findings about an order: what each refusal of `check_order` is shown as. What is refused is tested there."""

from dataclasses import replace

import pytest

from provider.chain.events import OrderStarted, Receipt
from provider.commands.check.table import State
from provider.commands.explain.findings import STEPS, order_findings
from provider.errors import (
    OrderDatatokenUnknown,
    OrderError,
    OrderExpired,
    OrderFeeMismatch,
    OrderFeeMissing,
    OrderNotConsumer,
    OrderNotFound,
    OrderTransactionFailed,
    OrderUnderpaid,
)
from provider.orders.check import OrderFacts
from tests.support.services import service

SERVICE = service("s", index=0, datatoken="0x" + "d1" * 20)
TX = "0x" + "ab" * 32
STARTED = OrderStarted("0x" + "d1" * 20, "0x" + "c3" * 20, "0x" + "a4" * 20, 10**18, 0, 1_700_000_000, TX)
MINED = Receipt(TX, succeeded=True, block_number=7, order_started=(STARTED,))
REVERTED = replace(MINED, succeeded=False, order_started=())


@pytest.mark.parametrize(
    ("error", "facts", "step"),
    [
        (OrderDatatokenUnknown(), OrderFacts(False, MINED), "datatoken"),
        (OrderNotFound(), OrderFacts(True, None), "transaction"),
        (OrderTransactionFailed(), OrderFacts(True, REVERTED), "transaction"),
        (OrderFeeMissing(), OrderFacts(True, MINED), "provider fee"),
        (OrderFeeMismatch(), OrderFacts(True, MINED), "provider fee"),
        (OrderNotFound(), OrderFacts(True, MINED), "order event"),
        (OrderTransactionFailed(), OrderFacts(True, MINED, REVERTED), "order event"),
        (OrderUnderpaid(), OrderFacts(True, MINED), "amount"),
        (OrderExpired(), OrderFacts(True, MINED), "time"),
        (OrderNotConsumer(), OrderFacts(True, MINED), "buyer"),
    ],
)
def test_a_refusal_is_shown_at_its_step_and_no_later_one_is_judged(
    error: OrderError, facts: OrderFacts, step: str
) -> None:
    found = list(order_findings(facts, SERVICE, error))
    place = STEPS.index(step)
    states = [State.OK] * place + [State.FAIL] + [State.SKIP] * (len(STEPS) - place - 1)
    assert [(finding.what, finding.state) for finding in found] == list(zip(STEPS, states, strict=True))
    assert found[place].what_to_do == error.remedy
    assert error.code in found[place].detail


def test_every_event_of_the_transaction_is_shown_whoever_emitted_it() -> None:
    found = {finding.what: finding for finding in order_findings(OrderFacts(True, MINED), SERVICE, OrderFeeMissing())}
    assert STARTED.emitter in found["transaction"].detail
    assert STARTED.consumer in found["transaction"].detail
    assert "2023-11-14T22:13:20Z" in found["transaction"].detail


@pytest.mark.parametrize("timestamp", [2**255, 10**12])
def test_a_time_that_is_none_is_shown_as_it_is(timestamp: int) -> None:
    mined = replace(MINED, order_started=(replace(STARTED, timestamp=timestamp),))
    found = list(order_findings(OrderFacts(True, mined), SERVICE, OrderExpired()))
    assert str(timestamp) in found[STEPS.index("transaction")].detail
