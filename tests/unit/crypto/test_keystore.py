"""Key files written by eth_account open; every fault has its own words."""

import json
import sys

import pytest
from eth_account import Account as EthAccount
from hypothesis import given
from hypothesis import strategies as st

from provider.crypto.keystore import open_keystore

SECRET = bytes.fromhex("fd5c1ccea015b6d663618850824154a3b3fb2882c46cefb05b9a93fea8c3d215")
# The test vectors of the Web3 Secret Storage definition (ethereum.org), password `testpassword`.
DEFINITION_SECRET = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d"
DEFINITION_PBKDF2 = {
    "crypto": {
        "cipher": "aes-128-ctr",
        "cipherparams": {"iv": "6087dab2f9fdbbfaddc31a909735c1e6"},
        "ciphertext": "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46",
        "kdf": "pbkdf2",
        "kdfparams": {
            "c": 262144,
            "dklen": 32,
            "prf": "hmac-sha256",
            "salt": "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd",
        },
        "mac": "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2",
    },
    "version": 3,
}
MADE = {
    "scrypt": EthAccount.encrypt(SECRET, "pass wörd", kdf="scrypt", iterations=2),
    "pbkdf2": EthAccount.encrypt(SECRET, "pass wörd", kdf="pbkdf2", iterations=2),
}


def changed(kdf: str = "scrypt", /, **changes: object) -> str:
    """A keystore with some values of its `crypto` section replaced, those of `kdfparams` by name."""
    keystore = json.loads(json.dumps(MADE[kdf]))
    for name, value in changes.items():
        place = keystore["crypto"]["kdfparams"] if name in ("n", "r", "p", "c", "dklen", "salt", "prf") else None
        if place is None:
            place = keystore["crypto"]
        place[name] = value
    return json.dumps(keystore)


def test_vector_of_the_definition_opens() -> None:
    assert open_keystore(json.dumps(DEFINITION_PBKDF2), "testpassword").hex() == DEFINITION_SECRET


@pytest.mark.parametrize("kdf", ["scrypt", "pbkdf2"])
def test_keystore_of_another_library_opens_with_its_password_only(kdf: str) -> None:
    assert open_keystore(json.dumps(MADE[kdf]), "pass wörd") == SECRET
    for password in ("", "pass word", "pass wörd "):
        with pytest.raises(ValueError, match="the password is wrong"):
            open_keystore(json.dumps(MADE[kdf]), password)


def test_old_spelling_of_the_section_is_read() -> None:
    keystore = {"version": 3, "Crypto": MADE["scrypt"]["crypto"]}
    assert open_keystore(json.dumps(keystore), "pass wörd") == SECRET


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not of version 3"),
        ('{"version":4}', "not of version 3"),
        ('{"version":3}', "no cipher"),
        ('{"version":3,"crypto":5}', "no cipher"),
        ('{"version":3,"crypto":{}}', "no cipher"),
        (changed(cipher="aes-256-ctr"), "no cipher"),
        (changed(cipherparams=None), "malformed"),
        (changed(cipherparams={"iv": "00"}), "malformed"),
        (changed(ciphertext="zz"), "malformed"),
        (changed(ciphertext=""), "password is wrong"),
        (changed(mac=None), "malformed"),
        (changed(kdf="argon2"), "unknown key derivation"),
        (changed(kdfparams=[]), "malformed"),
        (changed(n=3), "malformed"),
        (changed(n=0), "malformed"),
        (changed(n="2"), "malformed"),
        (changed(n=True), "malformed"),
        (changed(n=2**30), "too much memory"),
        (changed(p=2**30), "too much memory"),
        (changed(dklen=16), "malformed"),
        (changed(dklen=2**40), "malformed"),
        (changed("pbkdf2", c=-1), "malformed"),
        (changed("pbkdf2", prf="hmac-sha512"), "unknown key derivation"),
    ],
)
def test_failure_says_what_is_wrong(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        open_keystore(text, "pass wörd")
    assert caught.value.__cause__ is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(["cipherparams", "ciphertext", "mac", "kdf", "kdfparams", "salt", "n", "r"]), json_values)
def test_nothing_but_a_value_error_is_raised(name: str, value: object) -> None:
    try:
        secret = open_keystore(changed(**{name: value}), "pass wörd")
    except ValueError:
        return
    assert secret == SECRET


def test_recursion_limit_stays() -> None:
    """Raised by the usual package, it lets nested JSON of a client overflow the stack."""
    limit = sys.getrecursionlimit()
    open_keystore(json.dumps(MADE["scrypt"]), "pass wörd")
    assert sys.getrecursionlimit() == limit
