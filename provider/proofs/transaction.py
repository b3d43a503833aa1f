"""Signed transactions: fields and an account in, raw bytes and their id out (pure).

Encoded here, so that the key stays inside `Account` and half a second of imports is saved. RLP: Ethereum Yellow
Paper, appendix B; the envelopes: EIP-1559 and EIP-155.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from provider.crypto.accounts import Account
from provider.crypto.keccak import keccak256

_EIP1559_TYPE = b"\x02"

Item = int | bytes | Sequence["Item"]


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
    """A call of the contract `to` that carries no ether."""
    target = bytes.fromhex(to[2:])
    if fee.tip_wei is None:
        fields: list[Item] = [account_nonce, fee.max_fee_wei, gas, target, 0, data]
        signature = account.sign_digest(keccak256(encode([*fields, chain_id, 0, 0])))
        raw = encode([*fields, chain_id * 2 + 35 + signature[64], *_r_and_s(signature)])
    else:
        fields = [chain_id, account_nonce, fee.tip_wei, fee.max_fee_wei, gas, target, 0, data, []]
        signature = account.sign_digest(keccak256(_EIP1559_TYPE + encode(fields)))
        raw = _EIP1559_TYPE + encode([*fields, signature[64], *_r_and_s(signature)])
    return SignedTransaction("0x" + keccak256(raw).hex(), raw, fee)


def encode(item: Item) -> bytes:
    """RLP of unsigned integers, bytes and lists of them."""
    if isinstance(item, int):
        item = item.to_bytes((item.bit_length() + 7) // 8, "big")
    if isinstance(item, bytes):
        if len(item) == 1 and item[0] < 0x80:
            return item
        return _length(len(item), 0x80) + item
    body = b"".join(encode(part) for part in item)
    return _length(len(body), 0xC0) + body


def _length(count: int, offset: int) -> bytes:
    if count < 56:
        return bytes((offset + count,))
    digits = count.to_bytes((count.bit_length() + 7) // 8, "big")
    return bytes((offset + 55 + len(digits),)) + digits


def _r_and_s(signature: bytes) -> tuple[int, int]:
    return int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
