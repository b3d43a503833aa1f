"""Facts as other hosts read them: nothing lost, nothing believed that has another shape."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.chain.events import MetadataEvent, OrderReused, OrderStarted, ProviderFee, Receipt
from provider.orders.lookup import SeenReceipt
from provider.orders.shared_facts import (
    pack_flag,
    pack_receipt,
    pack_state,
    unpack_flag,
    unpack_receipt,
    unpack_state,
)

ADDRESS = "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"
TX = "0x" + "ab" * 32
addresses = st.integers(0, 2**160 - 1).map(lambda number: f"0x{number:040x}")
words = st.integers(0, 2**256 - 1)
thirty_two = st.binary(min_size=32, max_size=32)
receipts = st.builds(
    Receipt,
    tx_id=st.just(TX),
    succeeded=st.booleans(),
    block_number=st.integers(0, 2**48),
    order_started=st.lists(
        st.builds(OrderStarted, addresses, addresses, addresses, words, words, words, st.just(TX)), max_size=3
    ).map(tuple),
    order_reused=st.lists(st.builds(OrderReused, addresses, st.just(TX), addresses, words), max_size=2).map(tuple),
    provider_fees=st.lists(
        st.builds(
            ProviderFee,
            addresses,
            addresses,
            addresses,
            words,
            st.binary(max_size=80),
            words,
            thirty_two,
            thirty_two,
            words,
        ),
        max_size=2,
    ).map(tuple),
)


@given(receipts)
def test_receipts_come_back_as_they_were(receipt: Receipt) -> None:
    seen = SeenReceipt(receipt, is_final=True)
    assert unpack_receipt(orjson.loads(orjson.dumps(pack_receipt(seen)))) == seen


def test_what_may_change_is_not_shared() -> None:
    document = MetadataEvent(ADDRESS, ADDRESS, "created", 0, "", b"", b"x", b"", 1, 0, TX)
    assert pack_receipt(SeenReceipt(Receipt(TX, True, 5), is_final=False)) is None
    assert pack_receipt(SeenReceipt(Receipt(TX, True, 5, metadata=(document,)), is_final=True)) is None
    assert (pack_flag(False), pack_flag(True), pack_state(5)) == (None, True, 5)


GOOD = [TX, True, 5, [[ADDRESS, ADDRESS, ADDRESS, "1", "0", "7", TX]], [], []]


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        "text",
        [],
        {},
        [*GOOD, 1],
        [TX, 1, 5, [], [], []],
        [TX, True, True, [], [], []],
        [None, True, 5, [], [], []],
        [TX, True, 5, [[ADDRESS]], [], []],
        [TX, True, 5, ["abcdefg"], [], []],
        [TX, True, 5, [[ADDRESS, ADDRESS, ADDRESS, 1, "0", "7", TX]], [], []],
        [TX, True, 5, [[ADDRESS, ADDRESS, ADDRESS, "x", "0", "7", TX]], [], []],
        [TX, True, 5, 5, [], []],
        [TX, True, 5, [], [], [["a", "b", "c", "1", "zz", "0", "", "", "0"]]],
    ],
)
def test_other_shapes_are_no_receipt(value: object) -> None:
    assert unpack_receipt(GOOD).receipt.order_started[0].amount_wei == 1
    with pytest.raises(ValueError):  # noqa: PT011
        unpack_receipt(value)


@pytest.mark.parametrize("value", [None, 1, "true", [], 0.5])
def test_other_shapes_are_no_flag_and_no_state(value: object) -> None:
    with pytest.raises(ValueError, match="not a packed fact"):
        unpack_flag(value)
    if value != 1:
        with pytest.raises(ValueError, match="not a packed fact"):
            unpack_state(value)
