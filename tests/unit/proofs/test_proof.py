"""The content of a proof, judged by eth_account and eth_abi."""

import json

import pytest
from eth_abi import decode
from eth_account import Account as EthAccount
from eth_account.messages import encode_defunct
from eth_utils import keccak

from provider.crypto.accounts import Account
from provider.proofs.proof import Proof, Unprovable, http_form, order_executed_data, provider_data
from provider.testing.chain.keys import CONSUMER_KEY, PROVIDER_KEY

ACCOUNT = Account.from_hex(PROVIDER_KEY)
CONSUMER = EthAccount.from_key(CONSUMER_KEY)
DID = "did:op:" + "ab" * 32
NEW, OLD = f"{CONSUMER.address}17download", f"{DID}17"


def signature_over(message: str, *, v_offset: int = 0) -> str:
    signed = bytearray(CONSUMER.sign_message(encode_defunct(primitive=keccak(text=message))).signature)
    signed[64] -= v_offset
    return "0x" + signed.hex()


def proof(signature: str, **changes: object) -> Proof:
    fields: dict[str, object] = {
        "chain_id": 8996,
        "datatoken": "0x" + "d7" * 20,
        "document_id": DID,
        "service_id": "ünï",
        "file_index": 3,
        "downloaded_bytes": 1234567,
        "order_tx_id": "0x" + "11" * 32,
        "consumer": CONSUMER.address,
        "messages": (NEW, OLD),
        "consumer_signature": signature,
        **changes,
    }
    return Proof(**fields)  # type: ignore[arg-type]


def recovered(inner: bytes, signature: bytes) -> str:
    return str(EthAccount.recover_message(encode_defunct(primitive=inner), signature=signature))


def test_statement_is_compact_json_in_the_documented_order() -> None:
    text = provider_data(proof(signature_over(OLD)))
    assert text == (f'{{"documentId":"{DID}","serviceId":"\\u00fcn\\u00ef","fileIndex":3,"downloadedBytes":1234567}}')


@pytest.mark.parametrize("message", [NEW, OLD], ids=["new family", "old family"])
@pytest.mark.parametrize("v_offset", [0, 27], ids=["v 27/28", "v 0/1"])
def test_form_holds_what_the_consumer_really_signed(message: str, v_offset: int) -> None:
    made = proof(signature_over(message, v_offset=v_offset))
    form = http_form(made, ACCOUNT)
    assert list(form) == [
        "orderTxId",
        "providerData",
        "providerSignature",
        "consumerData",
        "consumerSignature",
        "consumerAddress",
    ]
    assert (form["consumerData"], form["consumerSignature"]) == (message, made.consumer_signature)
    signature = bytes.fromhex(form["providerSignature"][2:])
    assert signature[64] in (0, 1)
    assert recovered(keccak(text=form["providerData"]), signature) == ACCOUNT.address


@pytest.mark.parametrize("message", [NEW, OLD], ids=["new family", "old family"])
def test_calldata_holds_signatures_that_recover_to_both_sides(message: str) -> None:
    made = proof(signature_over(message))
    data = order_executed_data(made, ACCOUNT)
    assert data[:4] == keccak(text="orderExecuted(bytes32,bytes,bytes,bytes,bytes,address)")[:4]
    order, statement, ours, said, theirs, address = decode(
        ["bytes32", "bytes", "bytes", "bytes", "bytes", "address"], data[4:]
    )
    assert (order, address) == (b"\x11" * 32, CONSUMER.address.lower())
    assert json.loads(statement)["downloadedBytes"] == 1234567
    assert said.decode() == message
    assert recovered(keccak(order + statement), ours) == ACCOUNT.address
    assert recovered(keccak(said), theirs) == CONSUMER.address


@pytest.mark.parametrize(
    ("signature", "changes"),
    [
        ("0x" + "00" * 65, {}),
        ("0x" + "ab" * 200, {}),
        (signature_over("something else"), {}),
        (signature_over(OLD), {"consumer": "0x" + "01" * 20}),
    ],
    ids=["empty", "of a contract account", "of another text", "of another address"],
)
def test_signature_that_the_contract_cannot_verify_is_not_sent(signature: str, changes: dict[str, object]) -> None:
    with pytest.raises(Unprovable):
        order_executed_data(proof(signature, **changes), ACCOUNT)


def test_provider_cannot_be_its_own_consumer() -> None:
    with pytest.raises(Unprovable, match="itself"):
        order_executed_data(proof(signature_over(OLD)), Account.from_hex(CONSUMER_KEY))


def test_proof_survives_its_text_and_hides_its_signature() -> None:
    made = proof(signature_over(OLD))
    assert Proof.from_json(made.to_json()) == made
    assert made.consumer_signature[2:] not in repr(made)
