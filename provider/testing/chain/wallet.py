"""A key that signs transactions and Provider's messages, and talks to a node through web3.

Deliberately independent of the server's code: web3 and eth_account do the signing.
"""

from typing import Any

from eth_account import Account
from eth_account.messages import encode_defunct
from eth_utils.crypto import keccak
from web3 import HTTPProvider, Web3
from web3.contract.contract import ContractConstructor, ContractFunction
from web3.types import TxReceipt

GAS = 15_000_000  # given, not estimated: one round trip less, and a transaction that fails gets a receipt
TIP_WEI = 10**9
FEE_CAP_WEI = 10**10


class TransactionReverted(Exception):
    """The transaction is in a block with status 0. `tx_id` names it."""

    def __init__(self, tx_id: str) -> None:
        super().__init__(f"transaction {tx_id} was reverted")
        self.tx_id = tx_id


def connect(rpc_url: str) -> Web3:
    """Connect web3 to a JSON-RPC URL, asking for the chain id only once."""
    return Web3(HTTPProvider(rpc_url, request_kwargs={"timeout": 60}, cache_allowed_requests=True))


class Wallet:
    """One account. Use it from one thread only: it counts its own transaction nonces."""

    def __init__(self, w3: Web3, key: str) -> None:
        self.w3 = w3
        self._account = Account.from_key(key)
        self.address: str = self._account.address
        self._chain_id = w3.eth.chain_id

    def __repr__(self) -> str:
        return f"Wallet({self.address})"

    @property
    def chain_id(self) -> int:
        """Chain that the wallet's node serves."""
        return self._chain_id

    def send(self, call: ContractFunction | ContractConstructor | dict[str, Any], *, gas: int = GAS) -> TxReceipt:
        """Sign, send and wait for a contract call, a deployment or a plain transaction (`to`, `data`, `value`).

        Raises TransactionReverted.
        """
        fields: dict[str, Any] = {
            "chainId": self._chain_id,
            "nonce": self.w3.eth.get_transaction_count(self.address),  # type: ignore[arg-type]
            "gas": gas,
            "maxFeePerGas": FEE_CAP_WEI,
            "maxPriorityFeePerGas": TIP_WEI,
            "value": 0,
        }
        if isinstance(call, dict):
            transaction = {**fields, "type": 2, "data": b"", **call}
        else:
            parameters: Any = {**fields, "from": self.address}
            transaction = dict(call.build_transaction(parameters))
        signed = self._account.sign_transaction(transaction)
        tx_hash = self.w3.eth.send_raw_transaction(signed.raw_transaction)
        receipt = self.w3.eth.wait_for_transaction_receipt(tx_hash, timeout=30, poll_latency=0.05)
        if receipt["status"] != 1:
            raise TransactionReverted(tx_hash.to_0x_hex())
        return receipt

    def sign_text(self, text: str) -> str:
        """Sign a Provider message (`provider-api.md` section 4.1) as ethers does: v is 27 or 28."""
        return self.sign_hash(keccak(text=text))

    def sign_hash(self, inner: bytes) -> str:
        """personal_sign (EIP-191, version 0x45) of 32 bytes, hex with 0x."""
        signature = self._account.sign_message(encode_defunct(primitive=inner)).signature
        return "0x" + bytes(signature).hex()


def tx_id(receipt: TxReceipt) -> str:
    """Transaction hash of a receipt, hex with 0x."""
    return receipt["transactionHash"].to_0x_hex()
