"""The order decision: valid facts are accepted, and every single forgery is refused with its own error.

The forgeries are those of provider-api.md sections 8.3 and 16 (K1, K3). Facts are made by hand, fees are signed by
eth_account, so nothing here is checked by what made it.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import pytest
from eth_abi.packed import encode_packed
from eth_account import Account as EthAccount
from eth_account.messages import encode_defunct
from eth_utils import keccak, to_checksum_address
from hypothesis import given, settings
from hypothesis import strategies as st

from provider.chain.events import OrderReused, OrderStarted, ProviderFee, Receipt
from provider.errors import (
    OrderDatatokenUnknown,
    OrderEnvironmentMismatch,
    OrderError,
    OrderExpired,
    OrderFeeExpired,
    OrderFeeMismatch,
    OrderFeeMissing,
    OrderNotConsumer,
    OrderNotFound,
    OrderTransactionFailed,
    OrderUnderpaid,
)
from provider.orders.check import (
    ONE_DATATOKEN_WEI,
    Order,
    OrderFacts,
    check_order,
    parse_tx_id,
    referenced_order,
)
from tests.support.services import service

PROVIDER_KEY = "fd5c1ccea015b6d663618850824154a3b3fb2882c46cefb05b9a93fea8c3d215"
PROVIDER = "0xe08A1dAe983BC701D05E492DB80e0144f8f4b909"
STRANGER_KEY = "5d75837394b078ce97bc289fa8d75e21000573520bfa7784a9d28ccaae602bf8"
STRANGER = "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"


def address(byte: str) -> str:
    return to_checksum_address("0x" + byte * 20)


DATATOKEN, OTHER_DATATOKEN, FAKE = address("d1"), address("d2"), address("fa")
CONSUMER, PAYER, FEE_TOKEN, FACTORY = address("c3"), address("a4"), address("b5"), address("f6")
TX, STARTED_TX = "0x" + "ab" * 32, "0x" + "cd" * 32
SERVICE_ID, SERVICE_INDEX, ENVIRONMENT = "Service-7", 2, "env1"
STARTED_AT = 1_700_000_000
QUOTED_AT = STARTED_AT - 60.5


@lru_cache
def sign(data: bytes, provider: str, amount: int, valid_until: int, key: str) -> tuple[int, bytes, bytes]:
    types = ["bytes", "address", "address", "uint256", "uint256"]
    inner = keccak(encode_packed(types, [data, provider, FEE_TOKEN, amount, valid_until]))
    signed = EthAccount.sign_message(encode_defunct(primitive=inner), key)
    return signed.v, signed.r.to_bytes(32, "big"), signed.s.to_bytes(32, "big")


def provider_data(**changes: object) -> bytes:
    fields = {"environment": ENVIRONMENT, "timestamp": QUOTED_AT, "dt": DATATOKEN, "id": SERVICE_ID, **changes}
    return json.dumps(fields, separators=(",", ":")).encode()


def fee(
    data: bytes | None = None,
    *,
    provider: str = PROVIDER,
    key: str = PROVIDER_KEY,
    amount: int = 5,
    valid_until: int = 0,
    emitter: str = DATATOKEN,
) -> ProviderFee:
    data = provider_data() if data is None else data
    v, r, s = sign(data, provider, amount, valid_until, key)
    return ProviderFee(emitter, provider, FEE_TOKEN, amount, data, v, r, s, valid_until)


def started(**changes: object) -> OrderStarted:
    event = OrderStarted(DATATOKEN, CONSUMER, PAYER, ONE_DATATOKEN_WEI, SERVICE_INDEX, STARTED_AT, TX)
    return replace(event, **changes)


def reused(**changes: object) -> OrderReused:
    return replace(OrderReused(DATATOKEN, STARTED_TX, CONSUMER, STARTED_AT + 500), **changes)


@dataclass(frozen=True)
class Case:
    """Arguments of one check; `check` runs it."""

    facts: OrderFacts
    now: float = STARTED_AT + 1000
    timeout_seconds: int = 3600
    sender: str = CONSUMER
    environment: str | None = None
    tolerate_expired_fee: bool = False
    datatoken: str = DATATOKEN
    service_id: str = SERVICE_ID
    service_index: int = SERVICE_INDEX
    provider: str = PROVIDER

    def check(self) -> Order:
        bought = service(
            self.service_id,
            index=self.service_index,
            datatoken=self.datatoken,
            timeout_seconds=self.timeout_seconds,
        )
        return check_order(
            self.facts,
            bought,
            tx_id=TX,
            sender=self.sender,
            provider=self.provider,
            now=self.now,
            environment=self.environment,
            tolerate_expired_fee=self.tolerate_expired_fee,
        )

    def with_receipt(self, **changes: object) -> "Case":
        assert self.facts.receipt is not None
        return replace(self, facts=replace(self.facts, receipt=replace(self.facts.receipt, **changes)))

    def with_started_receipt(self, **changes: object) -> "Case":
        """Change the receipt that holds OrderStarted, whichever that is."""
        if self.facts.started_receipt is None:
            return self.with_receipt(**changes)
        receipt = replace(self.facts.started_receipt, **changes)
        return replace(self, facts=replace(self.facts, started_receipt=receipt))


def direct(**changes: object) -> Case:
    """A plain order."""
    receipt = Receipt(TX, True, 100, order_started=(started(),), provider_fees=(fee(),))
    return replace(Case(OrderFacts(True, receipt)), **changes)


def renewed(**changes: object) -> Case:
    """An order whose provider fee was renewed by reuseOrder; OrderStarted is in another transaction."""
    receipt = Receipt(TX, True, 110, order_reused=(reused(),), provider_fees=(fee(),))
    first = Receipt(STARTED_TX, True, 100, order_started=(started(tx_id=STARTED_TX),), provider_fees=(fee(),))
    return replace(Case(OrderFacts(True, receipt, first)), **changes)


either = st.sampled_from([direct(), renewed()])


def refused(case: Case, error: type[OrderError], text: str | None = None) -> None:
    with pytest.raises(OrderError) as caught:
        case.check()
    assert type(caught.value) is error
    assert caught.value.public_text == (error.text if text is None else text)


NO_FEE = f"Cannot find the event for the provider fee in tx id {TX}."
NO_ORDER = f"Cannot find the event for the order transaction with tx id {TX}."


def test_a_plain_order_is_accepted() -> None:
    assert direct().check() == Order(
        tx_id=TX, started_tx_id=TX, consumer=CONSUMER, payer=PAYER, fee=fee(), started_at=STARTED_AT
    )


def test_a_renewed_order_is_accepted_and_names_both_transactions() -> None:
    order = renewed().check()
    assert (order.tx_id, order.started_tx_id, order.started_at) == (TX, STARTED_TX, STARTED_AT)


def upper(text: str) -> str:
    return "0x" + text[2:].upper()


@given(
    either,
    st.sampled_from([CONSUMER, PAYER]),
    st.sampled_from([str, str.lower, upper]),
    st.sampled_from([None, ENVIRONMENT]),
    st.booleans(),
    st.floats(0, 3600),
)
def test_untouched_facts_are_accepted_in_any_spelling_of_addresses(
    case: Case, sender: str, spell: Callable[[str], str], environment: str | None, tolerate: bool, age: float
) -> None:
    case = replace(
        case,
        sender=spell(sender),
        datatoken=spell(DATATOKEN),
        provider=spell(PROVIDER),
        service_id=SERVICE_ID.upper(),
        environment=environment,
        tolerate_expired_fee=tolerate,
        now=STARTED_AT + age,
    )
    order = case.check()
    assert (order.consumer, order.payer, order.started_at) == (CONSUMER, PAYER, STARTED_AT)


# One forgery each: what is changed, the error it must meet, the text (None: the error's own).
FORGERIES: dict[str, tuple[Callable[[Case], Case], type[OrderError], str | None]] = {
    "datatoken not deployed by the NFT": (
        lambda case: replace(case, facts=replace(case.facts, datatoken_deployed=False)),
        OrderDatatokenUnknown,
        "",
    ),
    "unknown transaction": (
        lambda case: replace(case, facts=OrderFacts(True, None)),
        OrderNotFound,
        f"Transaction with tx id {TX} was not found, it may not be confirmed yet.",
    ),
    "failed transaction": (
        lambda case: case.with_receipt(succeeded=False),
        OrderTransactionFailed,
        "order transaction failed.",
    ),
    "no events": (
        lambda case: case.with_receipt(order_started=(), order_reused=(), provider_fees=()),
        OrderFeeMissing,
        NO_FEE,
    ),
    "no fee event": (lambda case: case.with_receipt(provider_fees=()), OrderFeeMissing, NO_FEE),
    "fee event of another contract": (
        lambda case: case.with_receipt(provider_fees=(fee(emitter=FAKE),)),
        OrderFeeMissing,
        NO_FEE,
    ),
    "fee for another datatoken": (
        lambda case: case.with_receipt(provider_fees=(fee(provider_data(dt=OTHER_DATATOKEN)),)),
        OrderFeeMissing,
        NO_FEE,
    ),
    "fee for another service": (
        lambda case: case.with_receipt(provider_fees=(fee(provider_data(id="Service-9")),)),
        OrderFeeMissing,
        NO_FEE,
    ),
    "another service id asked": (lambda case: replace(case, service_id="Service-8"), OrderFeeMissing, NO_FEE),
    "another datatoken asked": (lambda case: replace(case, datatoken=OTHER_DATATOKEN), OrderFeeMissing, NO_FEE),
    "fee of another provider": (
        lambda case: case.with_receipt(provider_fees=(fee(provider=STRANGER, key=STRANGER_KEY),)),
        OrderFeeMismatch,
        f"The providerFeeAddress {STRANGER} in the event does not match the provider address {PROVIDER}",
    ),
    "fee with our address signed by another": (
        lambda case: case.with_receipt(provider_fees=(fee(key=STRANGER_KEY),)),
        OrderFeeMismatch,
        "Provider was not able to check the signed message in ProviderFees event",
    ),
    "fee with no signature": (
        lambda case: case.with_receipt(provider_fees=(replace(fee(), v=27, r=bytes(32), s=bytes(32)),)),
        OrderFeeMismatch,
        None,
    ),
    "tampered provider data": (
        lambda case: case.with_receipt(provider_fees=(replace(fee(), provider_data=provider_data(timestamp=1)),)),
        OrderFeeMismatch,
        None,
    ),
    "tampered amount": (
        lambda case: case.with_receipt(provider_fees=(replace(fee(), amount=4),)),
        OrderFeeMismatch,
        None,
    ),
    "tampered token": (
        lambda case: case.with_receipt(provider_fees=(replace(fee(), token=FAKE),)),
        OrderFeeMismatch,
        None,
    ),
    "tampered end": (
        lambda case: case.with_receipt(provider_fees=(replace(fee(), valid_until=2**60),)),
        OrderFeeMismatch,
        None,
    ),
    "another environment": (
        lambda case: replace(case, environment="env2"),
        OrderEnvironmentMismatch,
        "Mismatch between ordered c2d environment and selected one.",
    ),
    "an order for a download used for compute": (
        lambda case: replace(
            case.with_receipt(provider_fees=(fee(provider_data(environment=None)),)), environment=ENVIRONMENT
        ),
        OrderEnvironmentMismatch,
        None,
    ),
    "no OrderStarted": (lambda case: case.with_started_receipt(order_started=()), OrderNotFound, NO_ORDER),
    "OrderStarted of another contract": (
        lambda case: case.with_started_receipt(order_started=(started(emitter=FAKE),)),
        OrderNotFound,
        NO_ORDER,
    ),
    "OrderStarted of another datatoken": (
        lambda case: case.with_started_receipt(order_started=(started(emitter=OTHER_DATATOKEN),)),
        OrderNotFound,
        NO_ORDER,
    ),
    "OrderStarted of another service": (
        lambda case: case.with_started_receipt(order_started=(started(service_index=1),)),
        OrderNotFound,
        NO_ORDER,
    ),
    "another service index asked": (lambda case: replace(case, service_index=0), OrderNotFound, NO_ORDER),
    "underpaid": (
        lambda case: case.with_started_receipt(order_started=(started(amount_wei=ONE_DATATOKEN_WEI - 1),)),
        OrderUnderpaid,
        "The amount in the event is less than the amount requested. "
        "requested: amount=1000000000000000000 event: amount=999999999999999999",
    ),
    "expired": (
        lambda case: replace(case, now=STARTED_AT + 3600.25),
        OrderExpired,
        f"The order has expired. current timestamp={STARTED_AT + 3600} order timestamp={STARTED_AT} "
        "timestamp delta=3600 service timeout=3600",
    ),
    "another consumer": (
        lambda case: replace(case, sender=STRANGER),
        OrderNotConsumer,
        "sender of order transaction is not the consumer/payer.",
    ),
    "no consumer": (lambda case: replace(case, sender=""), OrderNotConsumer, None),
    "fee expired for this environment": (
        lambda case: replace(
            case.with_receipt(provider_fees=(fee(valid_until=STARTED_AT + 10),)), environment=ENVIRONMENT
        ),
        OrderFeeExpired,
        "Ordered c2d time was exceeded, check validUntil.",
    ),
}


@pytest.mark.parametrize(("forge", "error", "text"), FORGERIES.values(), ids=FORGERIES.keys())
@pytest.mark.parametrize("make", [direct, renewed], ids=["direct", "renewed"])
def test_each_forgery_is_refused_with_its_own_error(
    make: Callable[[], Case], forge: Callable[[Case], Case], error: type[OrderError], text: str | None
) -> None:
    make().check()
    refused(forge(make()), error, text)


@pytest.mark.parametrize("make", [direct, renewed], ids=["direct", "renewed"])
@pytest.mark.parametrize("first", FORGERIES)
def test_a_second_forgery_never_mends_the_first(make: Callable[[], Case], first: str) -> None:
    forged = FORGERIES[first][0](make())
    for second in FORGERIES if forged.facts.receipt is not None else ():
        with pytest.raises(OrderError):
            FORGERIES[second][0](forged).check()


noise_fees = st.sampled_from(
    [
        fee(emitter=FAKE),
        fee(provider_data(id="Service-8")),
        fee(provider_data(dt=OTHER_DATATOKEN)),
        fee(b"not json"),
        fee(b"[]"),
        fee(b""),
    ]
)
noise_started = st.sampled_from(
    [
        started(emitter=FAKE, consumer=STRANGER),
        started(emitter=OTHER_DATATOKEN),
        started(service_index=0, consumer=STRANGER),
    ]
)
noise_reused = st.sampled_from([reused(emitter=FAKE), reused(emitter=OTHER_DATATOKEN, order_tx_id="0x" + "ee" * 32)])


@given(
    either,
    st.lists(noise_fees, max_size=3),
    st.lists(noise_fees, max_size=3),
    st.lists(noise_started, max_size=3),
    st.lists(noise_started, max_size=3),
    st.lists(noise_reused, max_size=3),
)
def test_events_of_others_around_ours_change_nothing(
    case: Case,
    fees_before: list[ProviderFee],
    fees_after: list[ProviderFee],
    started_before: list[OrderStarted],
    started_after: list[OrderStarted],
    reused_before: list[OrderReused],
) -> None:
    assert case.facts.receipt is not None
    noisy = case.with_receipt(
        provider_fees=(*fees_before, fee(), *fees_after),
        order_reused=(*reused_before, *case.facts.receipt.order_reused),
    )
    ours = started(tx_id=STARTED_TX) if case.facts.started_receipt else started()
    noisy = noisy.with_started_receipt(order_started=(*started_before, ours, *started_after))
    assert noisy.check() == case.check()
    refused(replace(noisy, sender=STRANGER), OrderNotConsumer)


# Fees


def test_the_last_matching_fee_counts() -> None:
    ours, others = fee(), fee(key=STRANGER_KEY)
    assert direct().with_receipt(provider_fees=(others, ours)).check().fee == ours
    refused(direct().with_receipt(provider_fees=(ours, others)), OrderFeeMismatch)


def test_the_provider_data_of_ocean_node_is_accepted_when_we_signed_it() -> None:
    data = json.dumps({"dt": DATATOKEN.lower(), "id": SERVICE_ID.lower()}).encode()
    assert direct().with_receipt(provider_fees=(fee(data),)).check().fee.provider_data == data
    refused(direct().with_receipt(provider_fees=(fee(data, key=STRANGER_KEY),)), OrderFeeMismatch)
    refused(
        replace(direct(), environment=ENVIRONMENT).with_receipt(provider_fees=(fee(data),)), OrderEnvironmentMismatch
    )


BOMBS = {
    "deep array": b"[" * 4000,
    "deep object": b'{"a":' * 800 + b"1" + b"}" * 800,
    "megabytes": b" " * 2**20 + provider_data(),
    "not utf-8": b"\xff\xfe{}",
    "number": b"1e999",
    "dt is an object": provider_data(dt={"a": 1}),
    "id is a number": provider_data(id=7),
    "no dt": b'{"id":"Service-7"}',
    "null": b"null",
    "nul bytes": b"\x00" * 100,
}


def test_provider_data_is_read_up_to_its_limit() -> None:
    longest = provider_data().rjust(4096)
    assert direct().with_receipt(provider_fees=(fee(longest),)).check().fee == fee(longest)
    refused(direct().with_receipt(provider_fees=(fee(b" " + longest),)), OrderFeeMissing, NO_FEE)


@pytest.mark.parametrize("data", BOMBS.values(), ids=BOMBS.keys())
def test_provider_data_that_makes_no_sense_is_skipped(data: bytes) -> None:
    refused(direct().with_receipt(provider_fees=(fee(data),)), OrderFeeMissing, NO_FEE)
    assert direct().with_receipt(provider_fees=(fee(), fee(data))).check().fee == fee()


@settings(max_examples=60)
@given(st.binary(max_size=300))
def test_any_provider_data_ends_in_an_order_error(data: bytes) -> None:
    event = replace(fee(), provider_data=data)
    with pytest.raises(OrderError):
        replace(direct(), environment=ENVIRONMENT).with_receipt(provider_fees=(event,)).check()


# Expiry of the fee: at validUntil + (block time - quote time) + 90 s, for compute only

VALID_UNTIL = STARTED_AT + 1200
BLOCK_DELAY = STARTED_AT - QUOTED_AT
LAST_GRACE = VALID_UNTIL + BLOCK_DELAY + 90


def limited(make: Callable[[], Case], now: float, *, environment: str | None = ENVIRONMENT) -> Case:
    case = make().with_receipt(provider_fees=(fee(valid_until=VALID_UNTIL),))
    return replace(case, now=now, environment=environment)


@pytest.mark.parametrize(
    ("now", "accepted"),
    [
        (VALID_UNTIL - 1, True),
        (VALID_UNTIL, True),
        (LAST_GRACE - 0.25, True),
        (LAST_GRACE, False),
        (LAST_GRACE + 1, False),
    ],
    ids=["live", "at the end", "grace", "grace over", "later"],
)
def test_a_compute_fee_ends_after_its_grace(now: float, accepted: bool) -> None:
    case = limited(direct, now)
    if accepted:
        assert case.check().fee.valid_until == VALID_UNTIL
    else:
        refused(case, OrderFeeExpired)


@pytest.mark.parametrize(("offset", "accepted"), [(-0.25, True), (0, False)], ids=["grace", "over"])
def test_the_grace_of_a_renewed_fee_counts_from_the_renewal(offset: float, accepted: bool) -> None:
    """The block that matters is that of the shown transaction."""
    last_grace = VALID_UNTIL + (STARTED_AT + 500 - QUOTED_AT) + 90
    case = limited(renewed, last_grace + offset)
    if accepted:
        case.check()
    else:
        refused(case, OrderFeeExpired)


@pytest.mark.parametrize("make", [direct, renewed], ids=["direct", "renewed"])
def test_an_expired_fee_can_be_tolerated(make: Callable[[], Case]) -> None:
    assert replace(limited(make, LAST_GRACE + 1000), tolerate_expired_fee=True).check().fee.valid_until == VALID_UNTIL


def test_an_expired_fee_is_not_tolerated_by_default() -> None:
    case = limited(direct, LAST_GRACE)
    bought = service(SERVICE_ID, index=SERVICE_INDEX, datatoken=DATATOKEN, timeout_seconds=0)
    with pytest.raises(OrderFeeExpired):
        check_order(
            case.facts, bought, tx_id=TX, sender=CONSUMER, provider=PROVIDER, now=LAST_GRACE, environment=ENVIRONMENT
        )


@pytest.mark.parametrize("make", [direct, renewed], ids=["direct", "renewed"])
def test_the_end_of_a_fee_does_not_matter_for_a_download(make: Callable[[], Case]) -> None:
    """C2D pods download after validUntil has passed."""
    assert limited(make, LAST_GRACE + 1000, environment=None).check().fee.valid_until == VALID_UNTIL


def test_a_fee_without_end_never_expires() -> None:
    far = replace(direct(), environment=ENVIRONMENT, timeout_seconds=0, now=2.0**40)
    assert far.check().fee.valid_until == 0


@pytest.mark.parametrize("timestamp", [None, "1", True, {}, 0, -5], ids=repr)
def test_a_quote_time_that_makes_no_sense_is_read_as_none(timestamp: object) -> None:
    data = provider_data(timestamp=timestamp)
    case = limited(direct, LAST_GRACE + 1000).with_receipt(provider_fees=(fee(data, valid_until=VALID_UNTIL),))
    case.check()


def test_a_fee_lives_until_its_end_even_when_our_clock_was_ahead_of_the_chain() -> None:
    """A quote dated after its block has a negative grace, which must not shorten what was paid for."""
    data = provider_data(timestamp=STARTED_AT + 500)
    case = limited(direct, VALID_UNTIL - 1).with_receipt(provider_fees=(fee(data, valid_until=VALID_UNTIL),))
    case.check()
    refused(replace(case, now=VALID_UNTIL), OrderFeeExpired)


def test_expiry_of_a_fee_with_forged_block_time_looks_at_the_datatoken_only() -> None:
    case = limited(direct, LAST_GRACE + 1)
    fake = started(emitter=FAKE, timestamp=STARTED_AT + 10**6)
    refused(case.with_receipt(order_started=(fake, started())), OrderFeeExpired)


# Timeout of the order


@pytest.mark.parametrize("make", [direct, renewed], ids=["direct", "renewed"])
@pytest.mark.parametrize(
    ("age", "accepted"),
    [(0, True), (3599.99, True), (3600, True), (3600.01, False), (3601, False), (10**9, False)],
    ids=["new", "before", "exact second", "just after", "second after", "long after"],
)
def test_the_timeout_counts_from_order_started(make: Callable[[], Case], age: float, accepted: bool) -> None:
    """Also for a renewed order (K3): the renewal 500 s later adds nothing."""
    case = replace(make(), now=STARTED_AT + age)
    if accepted:
        assert case.check().started_at == STARTED_AT
    else:
        with pytest.raises(OrderExpired):
            case.check()


@given(st.integers(1, 10**9), st.integers(0, 10**9), st.integers(0, 2**40))
def test_no_renewal_revives_an_expired_order(timeout_seconds: int, late: int, renewed_at: int) -> None:
    case = replace(renewed(), timeout_seconds=timeout_seconds, now=STARTED_AT + timeout_seconds + 1 + late)
    with pytest.raises(OrderExpired):
        case.with_receipt(order_reused=(reused(timestamp=renewed_at),)).check()


@pytest.mark.parametrize("make", [direct, renewed], ids=["direct", "renewed"])
def test_timeout_zero_never_expires(make: Callable[[], Case]) -> None:
    assert replace(make(), timeout_seconds=0, now=2.0**40).check().started_at == STARTED_AT


@pytest.mark.parametrize("now", [float(STARTED_AT), STARTED_AT, 2.0**40], ids=repr)
@pytest.mark.parametrize("environment", [None, ENVIRONMENT])
def test_integers_beyond_any_float_cause_no_other_error(now: float, environment: str | None) -> None:
    """A publisher's own datatoken contract may emit any uint256."""
    huge = 2**256 - 1
    case = limited(direct, now, environment=environment)
    case = case.with_receipt(
        provider_fees=(fee(valid_until=huge),), order_started=(started(timestamp=huge, amount_wei=huge),)
    )
    assert case.check().started_at == huge
    with pytest.raises(OrderExpired):
        replace(direct(), timeout_seconds=1, now=now).with_receipt(order_started=(started(timestamp=0),)).check()


# Renewed orders


def test_a_renewal_of_an_unknown_order_is_refused() -> None:
    case = renewed()
    refused(replace(case, facts=replace(case.facts, started_receipt=None)), OrderNotFound, NO_ORDER)


def test_a_renewal_of_a_failed_order_is_refused() -> None:
    refused(
        renewed().with_started_receipt(succeeded=False),
        OrderTransactionFailed,
        "order referenced in OrderReused failed.",
    )


def test_a_renewal_is_followed_for_one_hop_only() -> None:
    case = renewed().with_started_receipt(order_started=(), order_reused=(reused(order_tx_id="0x" + "ee" * 32),))
    refused(case, OrderNotFound, NO_ORDER)


def test_a_stranger_may_renew_but_not_consume() -> None:
    """reuseOrder does not check its caller; only consumer and payer of OrderStarted count."""
    case = renewed().with_receipt(order_reused=(reused(caller=STRANGER),))
    case.check()
    refused(replace(case, sender=STRANGER), OrderNotConsumer)


def test_a_forged_renewal_is_not_followed() -> None:
    """OrderReused of a fake contract must not lead to another order."""
    case = renewed(sender=CONSUMER).with_receipt(order_reused=(reused(emitter=FAKE),))
    refused(case, OrderNotFound, NO_ORDER)


def test_the_first_renewal_by_the_datatoken_counts() -> None:
    receipt = Receipt(
        TX, True, 1, order_reused=(reused(emitter=FAKE, order_tx_id="0x" + "01" * 32), reused(), reused(order_tx_id=TX))
    )
    assert referenced_order(receipt, DATATOKEN.lower()) == STARTED_TX


@pytest.mark.parametrize(
    "events", [(), (reused(emitter=FAKE),), (reused(order_tx_id="0x" + "00" * 32),)], ids=["none", "forged", "zero"]
)
def test_without_a_renewal_no_order_is_referenced(events: tuple[OrderReused, ...]) -> None:
    assert referenced_order(Receipt(TX, True, 1, order_reused=events), DATATOKEN) is None


def test_a_renewal_that_names_nothing_leaves_the_order_where_it_is() -> None:
    case = direct().with_receipt(order_reused=(reused(order_tx_id="0x" + "00" * 32),))
    assert case.check().started_tx_id == TX


# Several orders in one transaction (startMultipleTokenOrder: the payer is the factory)


def test_of_several_orders_the_one_that_fits_the_sender_counts() -> None:
    events = tuple(started(consumer=address(byte), payer=FACTORY) for byte in ("11", "22", "33"))
    for event in events:
        case = replace(direct(), sender=event.consumer).with_receipt(order_started=events)
        assert case.check().consumer == event.consumer
    refused(replace(direct(), sender=STRANGER).with_receipt(order_started=events), OrderNotConsumer)


def test_of_several_orders_the_one_that_the_sender_paid_counts() -> None:
    events = tuple(started(consumer=address("11"), payer=address(byte)) for byte in ("aa", "bb", "cc"))
    for event in events:
        case = replace(direct(), sender=event.payer).with_receipt(order_started=events)
        assert case.check().payer == event.payer


def test_of_several_orders_of_the_sender_the_last_counts() -> None:
    older, newer = started(timestamp=STARTED_AT - 5), started(timestamp=STARTED_AT)
    assert direct().with_receipt(order_started=(older, newer)).check().started_at == STARTED_AT


def test_if_none_fits_the_sender_the_last_decides() -> None:
    events = (
        started(consumer=address("11"), payer=FACTORY),
        started(consumer=address("22"), payer=FACTORY, amount_wei=1),
    )
    refused(
        replace(direct(), sender=STRANGER).with_receipt(order_started=events),
        OrderUnderpaid,
        "The amount in the event is less than the amount requested. "
        "requested: amount=1000000000000000000 event: amount=1",
    )


# Transaction ids


@pytest.mark.parametrize(
    "text", [TX, TX[2:], TX.upper().replace("0X", "0x"), TX.upper()], ids=["0x", "bare", "upper", "0X"]
)
def test_transaction_ids_are_normalised(text: str) -> None:
    assert parse_tx_id(text) == TX


@pytest.mark.parametrize(
    "text", ["", "0x", "0x12", TX + "00", TX[:-1], "0x" + "zz" * 32, "did:op:1", TX + "\n", " " + TX, "０x" + "ab" * 32]
)
def test_what_is_no_transaction_id_is_an_order_error_without_echo(text: str) -> None:
    with pytest.raises(OrderNotFound) as caught:
        parse_tx_id(text)
    assert caught.value.public_text == "The transaction id is not 32 bytes of hex."
