"""Signed transactions: fields and an account in, raw bytes and their id out (pure)."""

from dataclasses import dataclass, field

from provider.crypto.accounts import Account


@dataclass(frozen=True, slots=True)
class Fee:
    """Wei per gas. `tip_wei` None: a transaction of the old kind, whose gas price is `max_fee_wei`."""

    max_fee_wei: int
    tip_wei: int | None


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """Ready to be sent: its id (`0x` hex), its bytes and what it pays."""

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
