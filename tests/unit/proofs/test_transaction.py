"""Signed transactions, judged by eth_account and rlp."""

import pytest
import rlp
from eth_account import Account as EthAccount
from eth_account.typed_transactions import TypedTransaction
from hexbytes import HexBytes
from hypothesis import given
from hypothesis import strategies as st

from provider.crypto.accounts import Account
from provider.demo.chain.keys import PROVIDER_KEY
from provider.proofs.transaction import Fee, encode, sign_call

ACCOUNT = Account.from_hex(PROVIDER_KEY)
TO = "0x00000000000000000000000000000000000000d7"
FIELDS = {"chainId": 137, "gas": 123_456, "to": TO, "value": 0}
items = st.recursive(st.binary(max_size=80) | st.integers(0, 2**256 - 1), lambda inner: st.lists(inner, max_size=60))


@pytest.mark.parametrize("nonce", [0, 127, 128, 70_000])
@pytest.mark.parametrize("size", [0, 4, 700])
@pytest.mark.parametrize("fee", [Fee(90 * 10**9, 2 * 10**9), Fee(7 * 10**9, None)], ids=["EIP-1559", "legacy"])
def test_transaction_equals_that_of_eth_account(nonce: int, size: int, fee: Fee) -> None:
    data = bytes(range(256)) * 3
    fees = (
        {"gasPrice": fee.max_fee_wei}
        if fee.tip_wei is None
        else {"type": 2, "maxFeePerGas": fee.max_fee_wei, "maxPriorityFeePerGas": fee.tip_wei}
    )
    theirs = EthAccount.from_key(PROVIDER_KEY).sign_transaction({**FIELDS, **fees, "nonce": nonce, "data": data[:size]})
    ours = sign_call(ACCOUNT, chain_id=137, account_nonce=nonce, fee=fee, gas=123_456, to=TO, data=data[:size])
    assert EthAccount.recover_transaction(ours.raw) == ACCOUNT.address
    assert (ours.raw, ours.tx_id) == (bytes(theirs.raw_transaction), theirs.hash.to_0x_hex())
    if fee.tip_wei is not None:
        assert TypedTransaction.from_bytes(HexBytes(ours.raw)).as_dict()["nonce"] == nonce


@given(items)
def test_rlp_equals_that_of_the_library(item: object) -> None:
    assert encode(item) == rlp.encode(item)  # type: ignore[arg-type]
