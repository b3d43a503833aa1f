"""OrderExecuted events as web3 reads them from the chain, with both signatures recovered by eth_account."""

import json
from dataclasses import dataclass
from typing import Any

from eth_account import Account
from eth_account.messages import encode_defunct
from eth_utils import keccak

from provider.testing.chain.contracts import contract_at
from provider.testing.stage import DemoChain


@dataclass(frozen=True)
class Executed:
    """One event. `provider` and `consumer` are the recovered signers, and equal those that the event names."""

    provider: str
    consumer: str
    order_tx_id: str
    statement: dict[str, Any]
    consumer_data: str
    tx_id: str


def executed(chain: DemoChain, datatoken: str) -> list[Executed]:
    """Every OrderExecuted of a datatoken, in the order of the chain."""
    events = contract_at(chain.w3, "ERC20Template", datatoken).events.OrderExecuted().get_logs(from_block=0)
    return [_read(event) for event in events]


def _read(event: Any) -> Executed:
    told = event["args"]
    provider = _signer(keccak(told["orderTxId"] + told["providerData"]), told["providerSignature"])
    consumer = _signer(keccak(told["consumerData"]), told["consumerSignature"])
    assert (provider, consumer) == (told["providerAddress"], told["consumerAddress"])
    return Executed(
        provider,
        consumer,
        "0x" + bytes(told["orderTxId"]).hex(),
        json.loads(told["providerData"]),
        told["consumerData"].decode(),
        event["transactionHash"].to_0x_hex(),
    )


def _signer(inner: bytes, signature: bytes) -> str:
    return str(Account.recover_message(encode_defunct(primitive=inner), signature=signature))
