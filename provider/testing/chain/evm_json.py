"""JSON-RPC shapes of py-evm's blocks, transactions, receipts and logs (one transaction per block)."""

from collections.abc import Sequence
from typing import Any

from eth.abc import BlockHeaderAPI, ReceiptAPI, SignedTransactionAPI
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

CHAIN_ID = 8996  # as Barge's Ganache, so that our own name rule for that chain applies

JsonObject = dict[str, Any]


def _hex(value: bytes) -> str:
    return "0x" + value.hex()


def block_json(header: BlockHeaderAPI, transactions: Sequence[SignedTransactionAPI], number: int) -> JsonObject:
    """Block with transaction hashes."""
    return {
        "number": hex(number),
        "hash": _hex(header.hash),
        "parentHash": _hex(header.parent_hash),
        "nonce": _hex(header.nonce),
        "sha3Uncles": _hex(header.uncles_hash),
        "logsBloom": _hex(header.bloom.to_bytes(256, "big")),
        "transactionsRoot": _hex(header.transaction_root),
        "stateRoot": _hex(header.state_root),
        "receiptsRoot": _hex(header.receipt_root),
        "miner": to_checksum_address(header.coinbase),
        "difficulty": "0x0",
        "totalDifficulty": "0x0",
        "mixHash": _hex(header.mix_hash),
        "extraData": _hex(header.extra_data),
        "size": "0x3e8",
        "gasLimit": hex(header.gas_limit),
        "gasUsed": hex(header.gas_used),
        "timestamp": hex(header.timestamp),
        "baseFeePerGas": hex(header.base_fee_per_gas or 0),
        "transactions": [_hex(transaction.hash) for transaction in transactions],
        "uncles": [],
    }


def transaction_json(transaction: Any, block: JsonObject) -> JsonObject:
    """Transaction as eth_getTransactionByHash answers it."""
    kind = getattr(transaction, "type_id", None) or 0
    common = {
        "type": hex(kind),
        "hash": _hex(transaction.hash),
        "nonce": hex(transaction.nonce),
        "blockHash": block["hash"],
        "blockNumber": block["number"],
        "transactionIndex": "0x0",
        "from": to_checksum_address(transaction.sender),
        "to": to_checksum_address(transaction.to) if transaction.to else None,
        "value": hex(transaction.value),
        "gas": hex(transaction.gas),
        "gasPrice": hex(_effective_gas_price(transaction, int(block["baseFeePerGas"], 16))),
        "input": _hex(transaction.data),
        "chainId": hex(CHAIN_ID),
        "v": hex(transaction.y_parity if kind else transaction.v),
        "r": hex(transaction.r),
        "s": hex(transaction.s),
    }
    if kind == 2:
        common["maxFeePerGas"] = hex(transaction.max_fee_per_gas)
        common["maxPriorityFeePerGas"] = hex(transaction.max_priority_fee_per_gas)
    if kind:
        common["yParity"] = common["v"]
        common["accessList"] = [
            {
                "address": to_checksum_address(address),
                "storageKeys": [f"0x{slot:064x}" for slot in slots],
            }
            for address, slots in transaction.access_list
        ]
    return common


def _effective_gas_price(transaction: Any, base_fee: int) -> int:
    if getattr(transaction, "type_id", None) == 2:
        tip = transaction.max_priority_fee_per_gas + base_fee
        return int(min(transaction.max_fee_per_gas, tip))
    return int(transaction.gas_price)


def receipt_json(transaction: Any, receipt: ReceiptAPI, block: JsonObject) -> JsonObject:
    """Receipt with its logs; `status` 0x0 when the transaction was reverted (EIP-658)."""
    place = {
        "blockHash": block["hash"],
        "blockNumber": block["number"],
        "transactionHash": _hex(transaction.hash),
        "transactionIndex": "0x0",
    }
    created = None if transaction.to else _created_address(transaction.sender, transaction.nonce)
    return {
        **place,
        "type": hex(getattr(transaction, "type_id", None) or 0),
        "from": to_checksum_address(transaction.sender),
        "to": to_checksum_address(transaction.to) if transaction.to else None,
        "contractAddress": created,
        "cumulativeGasUsed": hex(receipt.gas_used),
        "gasUsed": hex(receipt.gas_used),
        "effectiveGasPrice": hex(_effective_gas_price(transaction, int(block["baseFeePerGas"], 16))),
        "logsBloom": _hex(receipt.bloom.to_bytes(256, "big")),
        "status": "0x1" if receipt.state_root == b"\x01" else "0x0",  # EIP-658
        "logs": [
            {
                **place,
                "address": to_checksum_address(log.address),
                "topics": [_hex(topic.to_bytes(32, "big")) for topic in log.topics],
                "data": _hex(log.data),
                "logIndex": hex(index),
                "removed": False,
            }
            for index, log in enumerate(receipt.logs)
        ],
    }


def _created_address(sender: bytes, nonce: int) -> str:
    number = nonce.to_bytes((nonce.bit_length() + 7) // 8, "big")
    encoded = number if 0 < nonce < 0x80 else bytes([0x80 + len(number)]) + number
    body = b"\x94" + sender + encoded
    return to_checksum_address(keccak(bytes([0xC0 + len(body)]) + body)[12:])
