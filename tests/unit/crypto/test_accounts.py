"""Keys against eth_account and eciespy; nothing shows the secret."""

import copy
import hashlib
import json
import pickle

import pytest
from ecies.keys import PrivateKey as EciesKey
from ecies.keys import PublicKey as EciesPublicKey
from eth_account import Account as EthAccount
from hypothesis import given
from hypothesis import strategies as st

from provider.crypto.accounts import Account, hkdf_sha256, public_key_address
from provider.crypto.keccak import keccak256

PROVIDER_KEY = "fd5c1ccea015b6d663618850824154a3b3fb2882c46cefb05b9a93fea8c3d215"
USER_KEY = "5d75837394b078ce97bc289fa8d75e21000573520bfa7784a9d28ccaae602bf8"
ORDER_OF_SECP256K1 = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
LOW_S_LIMIT = ORDER_OF_SECP256K1 // 2

secrets = st.integers(1, ORDER_OF_SECP256K1 - 1).map(lambda number: number.to_bytes(32, "big"))


@pytest.mark.parametrize(
    ("key", "address"),
    [
        (PROVIDER_KEY, "0xe08A1dAe983BC701D05E492DB80e0144f8f4b909"),
        ("0x" + PROVIDER_KEY, "0xe08A1dAe983BC701D05E492DB80e0144f8f4b909"),
        (USER_KEY.upper(), "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"),
    ],
)
def test_address_of_the_vectors(key: str, address: str) -> None:
    account = Account.from_hex(key)
    assert account.address == address
    assert public_key_address(account.public_key) == address


def test_public_key_of_the_vectors() -> None:
    assert Account.from_hex(PROVIDER_KEY).public_key.hex() == (
        "04c2848551d252af678ce0487085c769fabd89940b8def47ac91e9b41b24e44eadcd38aa952b0319c5bddd078449584cddae7fdb747883d6"
        "c12058bbf80db81fc5"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0x",
        PROVIDER_KEY[:-1],
        PROVIDER_KEY + "0",
        PROVIDER_KEY[:-1] + "g",
        PROVIDER_KEY + "\n",
        "0" * 64,
        f"{ORDER_OF_SECP256K1:064x}",
        "f" * 64,
    ],
)
def test_other_text_is_no_key_and_is_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="not a private key") as caught:
        Account.from_hex(text)
    assert caught.value.__cause__ is None
    assert len(text) < 3 or text not in str(caught.value)


@given(secrets, st.binary(min_size=32, max_size=32))
def test_signature_is_that_of_another_library(secret: bytes, digest: bytes) -> None:
    signature = Account.from_hex(secret.hex()).sign_digest(digest)
    expected = EthAccount.unsafe_sign_hash(digest, secret)
    assert len(signature) == 65
    assert signature[:64] == expected.r.to_bytes(32, "big") + expected.s.to_bytes(32, "big")
    assert signature[64] == expected.v - 27
    assert int.from_bytes(signature[32:64], "big") <= LOW_S_LIMIT


@given(secrets, secrets)
def test_shared_point_is_the_same_from_both_sides(one: bytes, other: bytes) -> None:
    first, second = Account.from_hex(one.hex()), Account.from_hex(other.hex())
    point = first.shared_point(second.public_key)
    assert point == second.shared_point(first.public_key)
    oracle = EciesKey("secp256k1", one).multiply(EciesPublicKey("secp256k1", second.public_key))
    assert point == oracle


def test_point_off_the_curve_is_refused() -> None:
    with pytest.raises(ValueError, match="could not be parsed"):
        Account.from_hex(USER_KEY).shared_point(b"\x04" + b"\x01" * 64)


def test_hkdf_is_that_of_rfc_5869() -> None:
    # RFC 5869 appendix A.3: SHA-256, no salt, no info; the first 32 of its 42 bytes.
    expected = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
    assert hkdf_sha256(b"\x0b" * 22).hex() == expected


def test_derived_keys_differ_by_purpose_and_by_account() -> None:
    account, other = Account.from_hex(PROVIDER_KEY), Account.from_hex(USER_KEY)
    keys = {account.derive_key(b"one"), account.derive_key(b"two"), other.derive_key(b"one")}
    assert len(keys) == 3
    assert account.derive_key(b"one") in keys


def test_secret_is_nowhere_to_be_seen() -> None:
    account = Account.from_hex(PROVIDER_KEY)
    assert repr(account) == "Account(0xe08A1dAe983BC701D05E492DB80e0144f8f4b909)"
    assert PROVIDER_KEY not in f"{account} {account!r} {[account]}"
    for leak in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="not copied"):
            leak(account)


def test_account_of_a_keystore() -> None:
    made = EthAccount.encrypt(bytes.fromhex(PROVIDER_KEY), "password", iterations=2)
    assert Account.from_keystore(json.dumps(made), "password").address == "0xe08A1dAe983BC701D05E492DB80e0144f8f4b909"


def test_keystore_of_what_is_no_key_is_refused() -> None:
    made = EthAccount.encrypt(bytes.fromhex(PROVIDER_KEY), "password", kdf="pbkdf2", iterations=2)
    derived = hashlib.pbkdf2_hmac("sha256", b"password", bytes.fromhex(made["crypto"]["kdfparams"]["salt"]), 2, 32)
    made["crypto"]["ciphertext"] = "00"
    made["crypto"]["mac"] = keccak256(derived[16:] + b"\x00").hex()
    with pytest.raises(ValueError, match="not a private key"):
        Account.from_keystore(json.dumps(made), "password")
