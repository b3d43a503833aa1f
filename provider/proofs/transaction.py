"""Signed transactions: their fee, their account nonce, raw bytes and id (pure)."""

from collections.abc import Collection
from dataclasses import dataclass, field

from provider.crypto.accounts import Account


@dataclass(frozen=True, slots=True)
class Fee:
    """Wei per gas. `tip_wei` None: a legacy transaction, whose gas price is `max_fee_wei`."""

    max_fee_wei: int
    tip_wei: int | None


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """A transaction ready to send: its id (`0x` hex), its bytes and its fee."""

    tx_id: str
    raw: bytes = field(repr=False)
    fee: Fee


def sign_call(
    account: Account, *, chain_id: int, account_nonce: int, fee: Fee, gas: int, to: str, data: bytes
) -> SignedTransaction:
    """Sign a call of the contract `to` that carries no ether."""
    price: dict[str, object] = {"gasPrice": fee.max_fee_wei}
    if fee.tip_wei is not None:
        price = {"type": 2, "maxFeePerGas": fee.max_fee_wei, "maxPriorityFeePerGas": fee.tip_wei}
    raw, tx_id = account.sign_transaction(
        {"chainId": chain_id, "nonce": account_nonce, "gas": gas, "to": to, "value": 0, "data": data, **price}
    )
    return SignedTransaction(tx_id, raw, fee)


@dataclass(frozen=True, slots=True)
class Market:
    """The chain's current prices, in wei per gas. `base_fee_wei` None: it does not know EIP-1559."""

    base_fee_wei: int | None
    tip_wei: int | None
    gas_price_wei: int | None


def affordable_fee(market: Market, *, max_fee_wei: int) -> Fee | None:
    """Return a fee that gets a transaction into one of the next blocks; None if it exceeds `max_fee_wei`.

    It leaves room for the base fee to double, which takes six full blocks (EIP-1559), but never exceeds the limit.
    """
    if market.base_fee_wei is None:
        price = market.gas_price_wei
        return Fee(price, None) if price is not None and price <= max_fee_wei else None
    tip = market.tip_wei
    if tip is None:
        tip = max((market.gas_price_wei or 0) - market.base_fee_wei, 0)
    if market.base_fee_wei + tip > max_fee_wei:
        return None
    return Fee(min(2 * market.base_fee_wei + tip, max_fee_wei), tip)


def replacement_fee(old: Fee, market: Market, *, max_fee_wei: int) -> Fee | None:
    """Return a fee with which nodes let a transaction replace one that pays `old`; None if the limit forbids it.

    Nodes require 10 % more of both values (geth's txpool.pricebump); one eighth leaves room for rounding.
    """
    wanted = affordable_fee(market, max_fee_wei=max_fee_wei)
    if wanted is None or (wanted.tip_wei is None) != (old.tip_wei is None):
        return None
    fee_wei = max(wanted.max_fee_wei, _raised(old.max_fee_wei))
    if fee_wei > max_fee_wei:
        return None
    if old.tip_wei is None or wanted.tip_wei is None:
        return Fee(fee_wei, None)
    return Fee(fee_wei, min(max(wanted.tip_wei, _raised(old.tip_wei)), fee_wei))


def next_account_nonce(first_free: int, held: Collection[int]) -> int:
    """Return the lowest number from `first_free` (the node's count) that no proof holds, so that gaps are filled."""
    while first_free in held:
        first_free += 1
    return first_free


def _raised(wei: int) -> int:
    return wei + wei // 8 + 1
