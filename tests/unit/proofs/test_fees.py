import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.proofs.transaction import Fee, Market, affordable_fee, next_account_nonce, replacement_fee

GWEI = 10**9
wei = st.integers(0, 10**13)
markets = st.builds(Market, st.none() | wei, st.none() | wei, st.none() | wei)


@pytest.mark.parametrize(
    ("market", "fee"),
    [
        (Market(10 * GWEI, 2 * GWEI, None), Fee(22 * GWEI, 2 * GWEI)),
        (Market(60 * GWEI, 2 * GWEI, None), Fee(100 * GWEI, 2 * GWEI)),
        (Market(98 * GWEI, 2 * GWEI, None), Fee(100 * GWEI, 2 * GWEI)),
        (Market(99 * GWEI, 2 * GWEI, None), None),
        (Market(10 * GWEI, None, 13 * GWEI), Fee(23 * GWEI, 3 * GWEI)),
        (Market(None, None, 100 * GWEI), Fee(100 * GWEI, None)),
        (Market(None, None, 100 * GWEI + 1), None),
        (Market(None, None, None), None),
    ],
    ids=["room", "bounded", "just", "above", "no tip told", "legacy just", "legacy above", "nothing told"],
)
def test_fee_follows_the_market_up_to_the_bound(market: Market, fee: Fee | None) -> None:
    assert affordable_fee(market, max_fee_wei=100 * GWEI) == fee


@given(markets, markets, st.integers(1, 10**13))
def test_no_fee_ever_exceeds_the_bound_and_a_replacement_always_pays_a_tenth_more(
    market: Market, later: Market, bound: int
) -> None:
    fee = affordable_fee(market, max_fee_wei=bound)
    if fee is None:
        return
    assert (fee.tip_wei or 0) <= fee.max_fee_wei <= bound
    better = replacement_fee(fee, later, max_fee_wei=bound)
    if better is not None:
        assert (better.tip_wei or 0) <= better.max_fee_wei <= bound
        assert better.max_fee_wei * 10 >= fee.max_fee_wei * 11
        assert (better.tip_wei or 0) * 10 >= (fee.tip_wei or 0) * 11


@pytest.mark.parametrize(
    ("free", "held", "nonce"),
    [(5, (), 5), (5, (5, 6), 7), (5, (6, 7), 5), (8, (5, 6, 7), 8)],
    ids=["none out", "node lags", "gap", "node knows"],
)
def test_account_nonce_is_the_lowest_that_is_free(free: int, held: tuple[int, ...], nonce: int) -> None:
    assert next_account_nonce(free, held) == nonce
