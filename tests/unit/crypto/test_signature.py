"""Digests, recovery and verification against the vectors and eth_account."""

import pytest
from eth_account import Account as EthAccount
from eth_account.messages import encode_defunct
from eth_utils import keccak
from hypothesis import given
from hypothesis import strategies as st

from provider.crypto.accounts import Account
from provider.crypto.keccak import keccak256
from provider.crypto.signature import (
    MAX_CONTRACT_SIGNATURE_BYTES,
    message_digest,
    parse_contract_signature,
    parse_signature,
    recover_address,
    sign_message,
    signed_candidate,
    stripped_digest,
    text_digest,
    verify,
)

PROVIDER = Account.from_hex("fd5c1ccea015b6d663618850824154a3b3fb2882c46cefb05b9a93fea8c3d215")
USER_SECRET = "5d75837394b078ce97bc289fa8d75e21000573520bfa7784a9d28ccaae602bf8"
USER = Account.from_hex(USER_SECRET)
ORDER_OF_SECP256K1 = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

# provider-api.md section 18
MESSAGE = "did:op:test1"
INNER = "26de4dc2251a71d8b157639ccfbafe7082f9b15ef16cde5b487bdc4e218b7f8e"
DIGEST = "5339c534118844dbd7d339dd14d330cf59dc22742993a734e2896cebb52a3db0"
SIGNATURE = (
    "ce9845b36d494f672132edd20adaedb796beb25610cb05615f9b3acd67ce0940454790a0ebcccfb13899af99c025f02f62f45892ffbc7b4f"
    "8474cedb92197a2c01"
)
RBAC_TEXT = 'initialize{"type": "address", "value": "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"}'
RBAC_SIGNATURE = (
    "dbf32ef9b1f75906e2163125c020ed953da8f4591deb6fd7e83253f30a4551a67f3d9d119c3efdd340166c10ef23fe1102645f34641220a9"
    "ee2896c52cb569ad01"
)
OPERATOR_TEXT = "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09j11700000000000000000"
OPERATOR_SIGNATURE = (
    "495fa55a98edc3f5e42a2f73ba4b04e6eeb0a85b2204ace406391d4ba7dacfe50cf43eabbadae36ef8080abe9755e036ddcfaea4b101fc21"
    "3cdef53e5aefabda00"
)


def test_digest_of_the_vector() -> None:
    assert keccak256(MESSAGE.encode()).hex() == INNER
    assert message_digest(MESSAGE).hex() == DIGEST


@pytest.mark.parametrize(
    ("account", "text", "signature"),
    [
        (USER, MESSAGE, SIGNATURE),
        (PROVIDER, RBAC_TEXT, RBAC_SIGNATURE),
        (PROVIDER, OPERATOR_TEXT, OPERATOR_SIGNATURE),
    ],
    ids=["download", "rbac", "operator"],
)
def test_signatures_of_the_vectors(account: Account, text: str, signature: str) -> None:
    assert sign_message(account, text).hex() == signature
    assert verify((text,), signature, account.address)


@given(st.text(max_size=200))
def test_signature_of_an_independent_wallet_is_accepted(message: str) -> None:
    wallet = EthAccount.from_key(USER_SECRET)
    signed = wallet.sign_message(encode_defunct(primitive=keccak(text=message)))
    assert signed.signature[64] in (27, 28)
    assert verify((message,), signed.signature.hex(), wallet.address)
    assert bytes(signed.signature[:64]) == sign_message(USER, message)[:64]


@given(st.text(max_size=50))
def test_our_signature_is_recovered_by_an_independent_library(message: str) -> None:
    signable = encode_defunct(primitive=keccak(text=message))
    assert EthAccount.recover_message(signable, signature=sign_message(PROVIDER, message)) == PROVIDER.address


@pytest.mark.parametrize(
    "signature",
    [SIGNATURE, "0x" + SIGNATURE, SIGNATURE.upper(), SIGNATURE[:-2] + "1c"],
    ids=["bare", "prefixed", "upper case", "ethers"],
)
@pytest.mark.parametrize("claimed", [USER.address, USER.address.lower(), "0x" + USER.address[2:].upper()])
def test_every_wire_form_is_accepted(signature: str, claimed: str) -> None:
    assert verify((MESSAGE,), signature, claimed)


def test_any_candidate_message_may_be_the_signed_one() -> None:
    assert verify(("other", MESSAGE), SIGNATURE, USER.address)
    assert not verify(("other", MESSAGE + "0"), SIGNATURE, USER.address)
    assert not verify((), SIGNATURE, USER.address)


def test_another_address_is_refused() -> None:
    assert not verify((MESSAGE,), SIGNATURE, PROVIDER.address)


def test_signature_over_the_text_instead_of_its_hash_is_refused() -> None:
    signed = EthAccount.from_key(USER_SECRET).sign_message(encode_defunct(text=MESSAGE))
    assert not verify((MESSAGE,), signed.signature.hex(), USER.address)


@pytest.mark.parametrize("claimed", ["", "0x", USER.address[2:], USER.address + "0", "nobody"])
def test_malformed_claimed_address_is_refused(claimed: str) -> None:
    assert not verify((MESSAGE,), SIGNATURE, claimed)


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "0x",
        SIGNATURE[:-2],
        SIGNATURE + "00",
        "0x0x" + SIGNATURE,
        "zz" + SIGNATURE[2:],
        "  " + SIGNATURE[2:],
        " " * 130,
        "٠" * 130,
        SIGNATURE[:-2] + "02",
        SIGNATURE[:-2] + "03",
        SIGNATURE[:-2] + "1d",
        SIGNATURE[:-2] + "ff",
        "0" * 128 + "00",
        "f" * 128 + "01",
        SIGNATURE[:64] + "0" * 64 + "01",
        "0" * 64 + SIGNATURE[64:],
    ],
)
def test_malformed_signature_is_refused(signature: str) -> None:
    assert not verify((MESSAGE,), signature, USER.address)


def test_high_s_twin_is_accepted_as_the_contracts_do() -> None:
    raw = bytes.fromhex(SIGNATURE)
    high_s = ORDER_OF_SECP256K1 - int.from_bytes(raw[32:64], "big")
    twin = raw[:32] + high_s.to_bytes(32, "big") + bytes((raw[64] ^ 1,))
    assert recover_address(message_digest(MESSAGE), twin) == USER.address


def test_lone_surrogate_in_a_message_is_a_message_like_others() -> None:
    assert len(message_digest("\ud800")) == 32
    assert message_digest("\ud83d\ude00") != message_digest("\U0001f600")


@given(st.text(max_size=140), st.text(max_size=140), st.text(max_size=60))
def test_verify_never_raises(message: str, signature: str, claimed: str) -> None:
    assert not verify((message,), signature, claimed)


@given(st.text(alphabet="0123456789abcdefABCDEFxX \n", max_size=140))
def test_parsed_signature_has_65_bytes_or_is_none(text: str) -> None:
    parsed = parse_signature(text)
    assert parsed is None or len(parsed) == 65


@given(st.binary(min_size=65, max_size=65))
def test_recover_gives_an_address_or_none_for_any_65_bytes(signature: bytes) -> None:
    address = recover_address(bytes.fromhex(DIGEST), signature)
    assert address is None or len(address) == 42


@given(st.binary(max_size=100), st.binary(max_size=70))
def test_recover_never_raises(digest: bytes, signature: bytes) -> None:
    address = recover_address(digest, signature)
    assert address is None or len(digest) == 32


def starting_with_zero_bytes(count: int) -> str:
    """A message whose hash begins with this many zero bytes."""
    return next(
        text for number in range(1 << 24) if keccak256((text := f"m{number}").encode()).startswith(bytes(count))
    )


@pytest.mark.parametrize("zeros", [1, 2])
def test_signature_over_a_hash_without_its_leading_zeros_is_accepted(zeros: int) -> None:
    """ethers' toBeArray drops them, so one signature in 256 of ocean.js 8 is of this form."""
    message = starting_with_zero_bytes(zeros)
    signable = encode_defunct(primitive=keccak(text=message).lstrip(b"\0"))
    signed = EthAccount.from_key(USER_SECRET).sign_message(signable)
    assert verify(("other", message), signed.signature.hex(), USER.address)
    assert verify((message,), sign_message(USER, message).hex(), USER.address)
    assert not verify((message,), signed.signature.hex(), PROVIDER.address)


def test_only_a_hash_with_leading_zeros_has_the_short_form() -> None:
    assert stripped_digest(MESSAGE) is None
    signable = encode_defunct(primitive=keccak(text=MESSAGE)[1:])
    signed = EthAccount.from_key(USER_SECRET).sign_message(signable)
    assert not verify((MESSAGE,), signed.signature.hex(), USER.address)


def test_signature_over_the_hexadecimal_text_of_the_hash_is_refused() -> None:
    signed = EthAccount.from_key(USER_SECRET).sign_message(encode_defunct(text="0x" + INNER))
    assert not verify((MESSAGE,), signed.signature.hex(), USER.address)


@pytest.mark.parametrize("first", [0, 1, 2, 7, -1])
def test_position_of_the_signed_message_is_told_whichever_is_tried_first(first: int) -> None:
    assert signed_candidate(("a", MESSAGE, "b"), bytes.fromhex(SIGNATURE), USER.address, first=first) == 1
    assert signed_candidate(("a", "c", "b"), bytes.fromhex(SIGNATURE), USER.address, first=first) is None


def test_the_candidate_named_first_costs_one_recovery(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[bytes] = []

    def counted(digest: bytes, raw: bytes) -> str | None:
        tried.append(digest)
        return recover_address(digest, raw)

    monkeypatch.setattr("provider.crypto.signature.recover_address", counted)
    signed_candidate(("a", MESSAGE, "b"), bytes.fromhex(SIGNATURE), USER.address, first=1)
    assert len(tried) == 1


@given(st.text(max_size=100))
def test_digest_of_the_text_itself_is_that_of_wallets(message: str) -> None:
    signed = EthAccount.from_key(USER_SECRET).sign_message(encode_defunct(text=message))
    assert recover_address(text_digest(message), bytes(signed.signature)) == USER.address


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("0x01", 1),
        ("ab" * 130, 130),
        ("00" * MAX_CONTRACT_SIGNATURE_BYTES, MAX_CONTRACT_SIGNATURE_BYTES),
        ("00" * (MAX_CONTRACT_SIGNATURE_BYTES + 1), None),
        ("", None),
        ("0x", None),
        ("abc", None),
        ("zz", None),
        ("ab cd ", None),
    ],
    ids=lambda value: str(value)[:9],
)
def test_signature_for_a_contract_is_any_hex_within_bounds(text: str, length: int | None) -> None:
    parsed = parse_contract_signature(text)
    assert (None if parsed is None else len(parsed)) == length
