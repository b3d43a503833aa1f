"""One look at a chain, in one round trip: the account's nonces, fees, and what became of transactions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from provider.chain.abi import AbiError, int_of_hex
from provider.chain.contracts import decode_quantity, receipt_call
from provider.chain.events import Receipt, parse_receipt
from provider.chain.jsonrpc import RpcCall, RpcFault
from provider.chain.networks import GANACHE_CHAIN_ID, Network
from provider.errors import ChainError
from provider.proofs.fees import Market


@dataclass(frozen=True, slots=True)
class ChainView:
    """`mined_nonce`: transactions of the account in blocks; `free_nonce`: those and the ones the node holds."""

    height: int
    mined_nonce: int
    free_nonce: int
    market: Market
    receipts: Mapping[str, Receipt]


async def look(network: Network, tx_ids: Sequence[str]) -> ChainView:
    """Ask the chain. Raises ChainError."""
    address = network.account.address
    calls = [
        RpcCall("eth_getTransactionCount", (address, "latest")),
        RpcCall("eth_getTransactionCount", (address, "pending")),
        RpcCall("eth_getBlockByNumber", ("latest", False)),
        RpcCall("eth_maxPriorityFeePerGas"),
        RpcCall("eth_gasPrice"),
        *map(receipt_call, tx_ids),
    ]
    mined, pending, block, tip, gas_price, *receipts = await network.rpc.batch(calls)
    if not isinstance(block, Mapping):
        raise ChainError(detail="no newest block")
    mined_nonce = decode_quantity(mined)
    base_fee = _optional(block.get("baseFeePerGas"))
    if network.chain_id == GANACHE_CHAIN_ID:
        # wire: a legacy gas price there (`provider-api.md` section 13.2); old Ganache takes nothing else.
        base_fee = None
    return ChainView(
        height=decode_quantity(block.get("number")),
        mined_nonce=mined_nonce,
        free_nonce=max(_optional(pending) or 0, mined_nonce),
        market=Market(base_fee, _optional(tip), _optional(gas_price)),
        receipts={
            tx_id: receipt
            for tx_id, raw in zip(tx_ids, receipts, strict=True)
            if (receipt := _receipt(raw)) is not None
        },
    )


def _receipt(raw: object) -> Receipt | None:
    if isinstance(raw, RpcFault):
        raise ChainError(detail=f"receipt: code {raw.code}")
    return parse_receipt(raw)


def _optional(value: object) -> int | None:
    """A quantity that not every node can tell."""
    try:
        return int_of_hex(value)
    except AbiError:
        return None
