"""Parses logs as nodes send them: JSON of receipts and eth_getLogs in, frozen Log values out (pure).

events.py decides what the logs mean. JSON that no node should send raises ChainError.
"""

from dataclasses import dataclass

from provider.chain.abi import AbiError, bytes_of_hex, count_of_hex
from provider.chain.jsonrpc import RpcFault
from provider.crypto.keccak import to_checksum_address
from provider.errors import ChainError


@dataclass(frozen=True, slots=True)
class Log:
    """One log entry: `address` of the emitter checksummed, `topics` lower-case hex, `data` bytes."""

    address: str
    topics: tuple[str, ...]
    data: bytes
    block_number: int
    log_index: int
    tx_id: str


def parse_logs(raw: object) -> tuple[Log, ...]:
    """Parse an eth_getLogs result, in the order of the chain, without logs that a reorganisation removed.

    Raises ChainError.
    """
    if isinstance(raw, RpcFault):
        raise ChainError(detail=f"eth_getLogs: code {raw.code}: {raw.message}")
    if not isinstance(raw, list):
        raise ChainError(detail="eth_getLogs: not an array")
    logs = [parse_log(item) for item in raw if json_object(item, "log").get("removed") is not True]
    return tuple(sorted(logs, key=lambda log: (log.block_number, log.log_index)))


def parse_log(raw: object) -> Log:
    """Parse one log of a receipt or of eth_getLogs. Raises ChainError."""
    fields = json_object(raw, "log")
    topics, address = fields.get("topics"), fields.get("address")
    if not isinstance(topics, list) or not isinstance(address, str):
        raise ChainError(detail="log without topics or address")
    try:
        return Log(
            address=to_checksum_address(address),
            topics=tuple("0x" + bytes_of_hex(topic).hex() for topic in topics),
            data=bytes_of_hex(fields.get("data")),
            block_number=count_of_hex(fields.get("blockNumber")),
            log_index=count_of_hex(fields.get("logIndex")),
            tx_id=transaction_hash(fields),
        )
    except ValueError as error:  # AbiError is one too
        raise ChainError(detail=f"log: {error}") from None


def first_topic(raw: object) -> str | None:
    """Return the first topic of a log, so that callers can skip foreign logs without decoding them.

    Raises ChainError.
    """
    topics = json_object(raw, "log").get("topics")
    if not isinstance(topics, list):
        raise ChainError(detail="log without topics")
    return topics[0].lower() if topics and isinstance(topics[0], str) else None


def transaction_hash(fields: dict[str, object]) -> str:
    """Return `transactionHash` of a receipt or log, in lower-case hex. Raises AbiError."""
    digest = bytes_of_hex(fields.get("transactionHash"))
    if len(digest) != 32:
        raise AbiError("transaction hash is not 32 bytes")
    return "0x" + digest.hex()


def json_object(raw: object, what: str) -> dict[str, object]:
    """Return `raw` if it is a JSON object. Raises ChainError, with the node's own reason if it is a fault."""
    if isinstance(raw, RpcFault):
        raise ChainError(detail=f"{what}: code {raw.code}: {raw.message}")
    if not isinstance(raw, dict):
        raise ChainError(detail=f"{what} is not an object")
    return raw
