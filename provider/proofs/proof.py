"""What a proof attests, and the texts, form and calldata made from it (pure).

`provider-api.md` section 13.2; the contract's side is `orderExecuted` of the datatoken templates.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from provider.chain.abi import WORD_BYTES
from provider.crypto.accounts import Account
from provider.crypto.keccak import keccak256, to_checksum_address
from provider.crypto.signature import (
    message_digest,
    parse_signature,
    prefixed_digest,
    recover_address,
    sign_message,
    signed_candidate,
)

ORDER_EXECUTED_SELECTOR = bytes.fromhex("89208f0f")
"""orderExecuted(bytes32,bytes,bytes,bytes,bytes,address)"""


class Unprovable(Exception):
    """The chain would refuse this proof on every attempt. The text says why."""


@dataclass(frozen=True, slots=True)
class Proof:
    """One download that happened.

    `order_tx_id`: 32 bytes of hex, as the consumer gave it.
    `messages`: what the consumer may have signed, the likeliest first.
    `consumer_signature`: empty if a token replaced it.
    """

    chain_id: int
    datatoken: str
    document_id: str
    service_id: str
    file_index: int
    downloaded_bytes: int
    order_tx_id: str
    consumer: str
    messages: tuple[str, ...] = field(repr=False)
    consumer_signature: str = field(repr=False)

    def to_json(self) -> str:
        """Return text from which `from_json` makes an equal proof."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Proof":
        """Return the proof that `to_json` wrote."""
        fields = json.loads(text)
        return cls(**{**fields, "messages": tuple(fields["messages"])})


def provider_data(proof: Proof) -> str:
    """Return the Provider's statement: compact JSON with its keys in this order."""
    statement = {
        "documentId": proof.document_id,
        "serviceId": proof.service_id,
        "fileIndex": proof.file_index,
        "downloadedBytes": proof.downloaded_bytes,
    }
    return json.dumps(statement, separators=(",", ":"))


def http_form(proof: Proof, account: Account) -> Mapping[str, str]:
    """Make the form of an HTTP proof.

    A contract account's signature does not reveal the message it signed, so the likeliest message is used.
    """
    statement = provider_data(proof)
    signature = parse_signature(proof.consumer_signature) or b""
    signed = signed_candidate(proof.messages, signature, to_checksum_address(proof.consumer)) or 0
    return {
        "orderTxId": proof.order_tx_id,
        "providerData": statement,
        "providerSignature": "0x" + sign_message(account, statement).hex(),
        "consumerData": proof.messages[signed],
        "consumerSignature": proof.consumer_signature,
        "consumerAddress": proof.consumer,
    }


def order_executed_data(proof: Proof, account: Account) -> bytes:
    """Make the calldata of `orderExecuted`. Raises Unprovable for what the contract is known to refuse."""
    signature = parse_signature(proof.consumer_signature)
    message = None if signature is None else _message_for_contract(proof, signature)
    if signature is None or message is None:
        # Contract accounts (ERC-1271), and clients that strip leading zeros of the hash before they sign it.
        raise Unprovable("the contract cannot verify the consumer's signature")
    if proof.consumer.lower() == account.address.lower():
        raise Unprovable("the consumer is the Provider itself")
    order = bytes.fromhex(proof.order_tx_id[-2 * WORD_BYTES :])
    statement = provider_data(proof).encode()
    signed = account.sign_digest(prefixed_digest(keccak256(order + statement)))
    return ORDER_EXECUTED_SELECTOR + _encode(
        order, (statement, signed, message.encode("utf-8", "surrogatepass"), signature), proof.consumer
    )


def _message_for_contract(proof: Proof, signature: bytes) -> str | None:
    """Return the message whose keccak256 the consumer's key signed, as the contract recovers it."""
    consumer = to_checksum_address(proof.consumer)
    recovered = ((message, recover_address(message_digest(message), signature)) for message in proof.messages)
    return next((message for message, address in recovered if address == consumer), None)


def _encode(order: bytes, texts: tuple[bytes, ...], address: str) -> bytes:
    """Encode a bytes32, then dynamic bytes, then an address (head and tail of the contract ABI)."""
    head, tail = [order], b""
    head_bytes = (len(texts) + 2) * WORD_BYTES
    for text in texts:
        head.append((head_bytes + len(tail)).to_bytes(WORD_BYTES, "big"))
        tail += len(text).to_bytes(WORD_BYTES, "big") + text + bytes(-len(text) % WORD_BYTES)
    head.append(bytes.fromhex(address[2:]).rjust(WORD_BYTES, b"\0"))
    return b"".join(head) + tail
