"""The question to the RBAC server: keys in order, signed as the published vector says (`provider-api.md` 13.1, 18)."""

from eth_account import Account as EthAccount
from eth_account.messages import encode_defunct
from eth_utils import keccak

from provider.crypto.accounts import Account
from provider.policy.rbac import RbacQuestion, Subject, build_payload, signed_text

PROVIDER = Account.from_hex("fd5c1ccea015b6d663618850824154a3b3fb2882c46cefb05b9a93fea8c3d215")
USER = "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"
VECTOR = (
    "0xdbf32ef9b1f75906e2163125c020ed953da8f4591deb6fd7e83253f30a4551a6"
    "7f3d9d119c3efdd340166c10ef23fe1102645f34641220a9ee2896c52cb569ad01"
)
SET, ALGO, MORE = Subject("did:op:a", "0"), Subject("did:op:b", "1"), Subject("did:op:c", "2")


def test_published_vector_is_reproduced() -> None:
    payload = build_payload(RbacQuestion("initialize", USER, (SET,)), PROVIDER, access="public")
    assert payload["signature"] == VECTOR


def test_keys_stand_in_the_documented_order() -> None:
    question = RbacQuestion("compute", USER, (SET,), (ALGO,), (MORE,))
    payload = build_payload(question, PROVIDER, access="private")
    assert list(payload) == [
        "eventType", "component", "providerAddress", "providerAccess", "credentials", "signature", "dids", "algos",
        "additionalDids",
    ]  # fmt: skip
    assert payload["component"] == "provider"
    assert payload["providerAddress"] == PROVIDER.address
    assert payload["providerAccess"] == "private"
    assert payload["credentials"] == {"type": "address", "value": USER}
    assert payload["dids"] == [{"did": "did:op:a", "serviceId": "0"}]
    assert payload["algos"] == [{"did": "did:op:b", "serviceId": "1"}]
    assert payload["additionalDids"] == [{"did": "did:op:c", "serviceId": "2"}]


def test_what_a_compute_question_does_not_name_is_left_out() -> None:
    """Stop and delete name no algorithm, a raw algorithm has no DID [K36]."""
    payload = build_payload(RbacQuestion("compute", USER, ()), PROVIDER, access="public")
    assert list(payload)[-1] == "dids"
    assert payload["dids"] == []


def test_compute_signs_what_is_computed_and_others_do_not() -> None:
    credentials = f'{{"type": "address", "value": "{USER}"}}'
    sets, algorithms = '[{"did": "did:op:a", "serviceId": "0"}]', '[{"did": "did:op:b", "serviceId": "1"}]'
    assert signed_text(RbacQuestion("access", USER, (SET,))) == "access" + credentials
    assert signed_text(RbacQuestion("compute", USER, (SET,))) == "compute" + credentials + sets
    assert signed_text(RbacQuestion("compute", USER, (SET,), (ALGO,))) == "compute" + credentials + sets + algorithms
    both = RbacQuestion("compute", USER, (SET,), (ALGO,), (ALGO,))
    assert signed_text(both) == "compute" + credentials + sets + algorithms + algorithms


def test_eth_account_recovers_the_provider() -> None:
    question = RbacQuestion("compute", USER, (SET,), (ALGO,))
    signature = bytes.fromhex(str(build_payload(question, PROVIDER, access="public")["signature"])[2:])
    message = encode_defunct(primitive=keccak(text=signed_text(question)))
    assert EthAccount.recover_message(message, signature=signature) == PROVIDER.address
