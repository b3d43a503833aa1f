"""Signed transactions, judged by the decoder of an EVM."""

import sys

import pytest
from eth.vm.forks.london.transactions import LondonTransactionBuilder
from eth_utils import to_canonical_address

from provider.crypto.accounts import Account, transaction_signer
from provider.proofs.transaction import Fee, sign_call
from provider.testing.chain.keys import PROVIDER_KEY

ACCOUNT = Account.from_hex(PROVIDER_KEY)
TO = "0x00000000000000000000000000000000000000d7"


@pytest.mark.parametrize("nonce", [0, 127, 128, 70_000])
@pytest.mark.parametrize("size", [0, 4, 700])
@pytest.mark.parametrize("fee", [Fee(90 * 10**9, 2 * 10**9), Fee(7 * 10**9, None)], ids=["EIP-1559", "legacy"])
def test_an_evm_reads_what_was_signed(nonce: int, size: int, fee: Fee) -> None:
    data = (bytes(range(256)) * 3)[:size]
    signed = sign_call(ACCOUNT, chain_id=137, account_nonce=nonce, fee=fee, gas=123_456, to=TO, data=data)
    read = LondonTransactionBuilder.decode(signed.raw)
    assert read.sender == to_canonical_address(ACCOUNT.address)
    assert "0x" + read.hash.hex() == signed.tx_id
    assert (read.chain_id, read.nonce, read.gas, read.value) == (137, nonce, 123_456, 0)
    assert (read.to, read.data) == (to_canonical_address(TO), data)
    assert read.max_fee_per_gas == fee.max_fee_wei
    assert read.max_priority_fee_per_gas == (fee.max_fee_wei if fee.tip_wei is None else fee.tip_wei)


def test_the_import_leaves_the_recursion_limit_as_it_is() -> None:
    """Raised, it lets nested JSON of a client overflow the stack."""
    limit = sys.getrecursionlimit()
    transaction_signer()
    assert sys.getrecursionlimit() == limit
