"""Forged chain events: a contract whose constructor emits any logs and makes any calls, in one transaction.

Anybody can do this on any real chain. A Provider that does not check who emitted an event gives the file away
(`provider-api.md` K1). The byte code is straight-line: one block of it per step, no loops, no storage.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from provider.testing.chain.wallet import Wallet, tx_id
from provider.testing.market.consumer import FeeTuple
from provider.testing.market.publisher import TOKEN_WEI, ZERO_ADDRESS

_MSTORE, _GAS, _LOG0, _CALL, _POP, _STOP = 0x52, 0x5A, 0xA0, 0xF1, 0x50, 0x00
_PUSH4, _PUSH20, _PUSH32 = 0x63, 0x73, 0x7F


@dataclass(frozen=True, slots=True)
class Log:
    """One event as it will appear in the receipt. The emitter is the forging contract."""

    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class Call:
    """One call from the forging contract, so that real and forged events share a receipt."""

    to: str
    data: bytes


def _push(value: int) -> bytes:
    return bytes([_PUSH4]) + value.to_bytes(4, "big")


def _in_memory(data: bytes) -> bytes:
    code = bytearray()
    for offset in range(0, len(data), 32):
        code += bytes([_PUSH32]) + data[offset : offset + 32].ljust(32, b"\x00") + _push(offset) + bytes([_MSTORE])
    return bytes(code)


def assemble(steps: Sequence[Log | Call]) -> bytes:
    """Return creation code that performs the steps in order and leaves an empty contract."""
    code = bytearray()
    for step in steps:
        code += _in_memory(step.data)
        size_and_offset = _push(len(step.data)) + _push(0)
        if isinstance(step, Log):
            for topic in reversed(step.topics):
                code += bytes([_PUSH32]) + topic
            code += size_and_offset + bytes([_LOG0 + len(step.topics)])
        else:
            # CALL takes gas, to, value, in offset, in size, out offset, out size from the top of the stack
            code += _push(0) + _push(0) + size_and_offset + _push(0)
            code += bytes([_PUSH20]) + bytes.fromhex(step.to[2:]) + bytes([_GAS, _CALL, _POP])
    return bytes(code) + bytes([_STOP])


def emit(wallet: Wallet, steps: Sequence[Log | Call]) -> tuple[str, str]:
    """Run the steps in one transaction; return its id, and the address that emitted the logs."""
    receipt = wallet.send({"data": assemble(steps)})
    return tx_id(receipt), str(receipt["contractAddress"])


def _topic(signature: str) -> bytes:
    return keccak(text=signature)


def _address_topic(address: str) -> bytes:
    return bytes(12) + bytes.fromhex(address[2:])


def order_started(
    consumer: str,
    *,
    payer: str,
    service_index: int,
    timestamp: int,
    amount_wei: int = TOKEN_WEI,
    block: int = 1,
) -> Log:
    """OrderStarted as a datatoken would emit it (`provider-api.md` section 8.1)."""
    return Log(
        (
            _topic("OrderStarted(address,address,uint256,uint256,uint256,address,uint256)"),
            _address_topic(consumer),
            _address_topic(ZERO_ADDRESS),
        ),
        encode(
            ["address", "uint256", "uint256", "uint256", "uint256"],
            [payer, amount_wei, service_index, timestamp, block],
        ),
    )


def order_reused(order_tx: str, *, caller: str, timestamp: int, block: int = 1) -> Log:
    """OrderReused as a datatoken would emit it."""
    return Log(
        (_topic("OrderReused(bytes32,address,uint256,uint256)"),),
        encode(
            ["bytes32", "address", "uint256", "uint256"],
            [bytes.fromhex(order_tx.removeprefix("0x")), caller, timestamp, block],
        ),
    )


def provider_fee(fee: FeeTuple) -> Log:
    """ProviderFee as a datatoken would emit it, from a fee in the contract's order."""
    address, token, amount, v, r, s, valid_until, data = fee
    return Log(
        (
            _topic("ProviderFee(address,address,uint256,bytes,uint8,bytes32,bytes32,uint256)"),
            _address_topic(address),
            _address_topic(token),
        ),
        encode(
            ["uint256", "bytes", "uint8", "bytes32", "bytes32", "uint256"],
            [amount, data, v, r, s, valid_until],
        ),
    )


def metadata_event(
    creator: str,
    data: bytes,
    *,
    document_hash: bytes,
    flags: bytes,
    state: int = 0,
    kind: str = "Created",
    decryptor_url: str = "",
    timestamp: int = 1,
    block: int = 1,
) -> Log:
    """MetadataCreated (or, with kind `Updated`, MetadataUpdated) as a data NFT would emit it."""
    return Log(
        (
            _topic(f"Metadata{kind}(address,uint8,string,bytes,bytes,bytes32,uint256,uint256)"),
            _address_topic(creator),
        ),
        encode(
            ["uint8", "string", "bytes", "bytes", "bytes32", "uint256", "uint256"],
            [state, decryptor_url, flags, data, document_hash, timestamp, block],
        ),
    )
