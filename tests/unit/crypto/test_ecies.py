"""ECIES blobs against the vectors and eciespy, both directions."""

import ecies
import pytest
from ecies.config import Config
from hypothesis import given
from hypothesis import strategies as st

from provider.crypto.accounts import Account, hkdf_sha256, shared_point
from provider.crypto.ecies import OVERHEAD_BYTES, decrypt, encrypt

SECRET = "fd5c1ccea015b6d663618850824154a3b3fb2882c46cefb05b9a93fea8c3d215"
PROVIDER = Account.from_hex(SECRET)
OTHER = Account.from_hex("5d75837394b078ce97bc289fa8d75e21000573520bfa7784a9d28ccaae602bf8")
PLAINTEXT = b'{"a":1}'

# provider-api.md section 18
EPHEMERAL = b"\x01" * 32
NONCE = bytes(range(16))
SENDER = (
    "041b84c5567b126440995d3ed5aaba0565d71e1834604819ff9c17f5e9d5dd078f70beaf8f588b541507fed6a642c5ab42dfdf8120a7f639de51"
    "22d47a69a8e8d1"
)
POINT = (
    "04d971dacc793ded0a6522e407b4f34afd73cfd5c7935e5d59f63dc5662e06096a8bf5c464b2b298b803749235b7155ca0b7db7494e521318a16"
    "79297fff9ae56a"
)
KEY = "d3cc178d1b227e487ece14ad5d25176b5536fc4795f5a26f8ba2d3072fb4fb81"
TAG = "89fea83d1120704a918019be0863b30f"
CIPHERTEXT = "6ba395577a8a08"
BLOB = bytes.fromhex(SENDER) + NONCE + bytes.fromhex(TAG + CIPHERTEXT)
BLOB_OF_ECIESPY = bytes.fromhex(
    "04170db537a963b17429c1aeadbbeaf536fa6649327945dae3896134eff0a6d106a990cfcc46633a2e917c264d30e5eef29ace3f6991e732876d"
    "9b7f677002835bb233f8198901d261290198dc9d2224106ef53073c5df91fde32c0e5a9f0151bbc3bb35edf4efa4"
)
# The configuration of eciespy 0.3.11, which publishers' clients use: 16-byte nonces, uncompressed keys.
ECIES_0_3 = Config()


def test_blob_of_the_vector() -> None:
    point = shared_point(EPHEMERAL, PROVIDER.public_key)
    assert point.hex() == POINT
    assert hkdf_sha256(bytes.fromhex(SENDER) + point).hex() == KEY
    assert encrypt(PROVIDER.public_key, PLAINTEXT, ephemeral=EPHEMERAL, nonce=NONCE) == BLOB
    assert len(BLOB) == len(PLAINTEXT) + OVERHEAD_BYTES == 104


@pytest.mark.parametrize("blob", [BLOB, BLOB_OF_ECIESPY], ids=["fixed", "eciespy"])
def test_blobs_of_the_vectors_open(blob: bytes) -> None:
    assert decrypt(PROVIDER, blob) == PLAINTEXT


def test_the_oracle_uses_the_configuration_of_the_vectors() -> None:
    assert ecies.decrypt(SECRET, BLOB, ECIES_0_3) == PLAINTEXT


@given(st.binary(max_size=2000))
def test_eciespy_opens_what_we_encrypt(plaintext: bytes) -> None:
    assert ecies.decrypt(SECRET, encrypt(PROVIDER.public_key, plaintext), ECIES_0_3) == plaintext


@given(st.binary(max_size=2000))
def test_we_open_what_eciespy_encrypts(plaintext: bytes) -> None:
    assert decrypt(PROVIDER, ecies.encrypt(PROVIDER.public_key.hex(), plaintext, ECIES_0_3)) == plaintext


def test_empty_plaintext_is_allowed() -> None:
    blob = encrypt(PROVIDER.public_key, b"")
    assert len(blob) == OVERHEAD_BYTES
    assert len(blob.hex()) == 194
    assert decrypt(PROVIDER, blob) == b""


def test_every_blob_is_another() -> None:
    blobs = {encrypt(PROVIDER.public_key, PLAINTEXT) for _ in range(20)}
    assert len(blobs) == 20
    assert len({blob[:65] for blob in blobs}) == len({blob[65:81] for blob in blobs}) == 20


def test_another_account_cannot_open_a_blob() -> None:
    with pytest.raises(ValueError, match="not encrypted to this key"):
        decrypt(OTHER, BLOB)


def test_any_changed_byte_is_noticed() -> None:
    for position in range(len(BLOB)):
        changed = bytearray(BLOB)
        changed[position] ^= 1
        with pytest.raises(ValueError, match=r"not an ECIES blob|not encrypted to this key"):
            decrypt(PROVIDER, bytes(changed))


def test_a_blob_cut_anywhere_is_refused() -> None:
    for length in range(len(BLOB)):
        with pytest.raises(ValueError, match=r"not an ECIES blob|not encrypted to this key"):
            decrypt(PROVIDER, BLOB[:length])


@pytest.mark.parametrize("marker", [0, 2, 3, 5, 6, 7])
def test_sender_key_in_another_encoding_is_refused(marker: int) -> None:
    """Hybrid keys (6, 7) parse as points, but no client writes them."""
    with pytest.raises(ValueError, match="not an ECIES blob"):
        decrypt(PROVIDER, bytes((marker,)) + BLOB[1:])


@given(st.binary(max_size=300))
def test_decrypt_raises_nothing_else(blob: bytes) -> None:
    for data in (blob, b"\x04" + blob, BLOB[:65] + blob):
        with pytest.raises(ValueError, match=r"not an ECIES blob|not encrypted to this key"):
            decrypt(PROVIDER, data)


@pytest.mark.parametrize("public_key", [b"", b"\x04" * 65, b"\x00" * 65], ids=["empty", "off curve", "zeros"])
def test_encrypting_to_what_is_no_key_is_refused(public_key: bytes) -> None:
    with pytest.raises(ValueError, match="could not be parsed"):
        encrypt(public_key, PLAINTEXT)
