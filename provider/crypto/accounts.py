"""The Provider's own key: address, signatures, key agreement, derived keys.

Hex text or the JSON of a keystore file in, an `Account` out. The secret never leaves the object: no attribute, `repr`,
copy or exception text shows it. Files and the environment are read elsewhere.
"""

import hmac
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, NoReturn

from coincurve import PrivateKey, PublicKey

from provider.crypto.keccak import keccak256, to_checksum_address
from provider.crypto.keystore import open_keystore, recursion_limit_kept

if TYPE_CHECKING:
    from eth_account import Account as EthAccount

_SECRET_HEX = re.compile(r"(?:0x)?([0-9a-fA-F]{64})", re.ASCII)


def hkdf_sha256(input_key: bytes, *, info: bytes = b"") -> bytes:
    """Derive a 32-byte key by RFC 5869 with SHA-256 and an empty salt (HashLen zero bytes, section 2.2)."""
    pseudo_random_key = hmac.digest(bytes(32), input_key, "sha256")
    return hmac.digest(pseudo_random_key, info + b"\x01", "sha256")


class Account:
    """A secp256k1 key pair and its address. Create it with `from_hex` or `from_keystore`.

    `address` is checksummed. `public_key` is the uncompressed point, 65 bytes `04 || X || Y`.
    """

    __slots__ = ("_key", "address", "public_key")

    def __init__(self, key: PrivateKey) -> None:
        self._key = key
        self.public_key: bytes = key.public_key.format(compressed=False)
        self.address: str = public_key_address(self.public_key)

    @classmethod
    def from_hex(cls, text: str) -> "Account":
        """Account of a 32-byte secret in hex, `0x` optional. Raises ValueError without repeating the text."""
        match = _SECRET_HEX.fullmatch(text)
        if match is None:
            raise ValueError("not a private key: 64 hex digits expected")
        try:
            return cls(PrivateKey(bytes.fromhex(match[1])))
        except ValueError:
            raise ValueError("not a private key: outside the range of secp256k1") from None

    @classmethod
    def from_keystore(cls, json_text: str, password: str) -> "Account":
        """Account of an encrypted key file (`keystore.py`). Takes about a second of CPU.

        Raises ValueError, which says whether the file or the password is wrong.
        """
        return cls.from_hex(open_keystore(json_text, password).hex())

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign 32 bytes. Returns 65 bytes `r || s || v`: deterministic (RFC 6979), low s (EIP-2), v is 0 or 1."""
        signature: bytes = self._key.sign_recoverable(digest, hasher=None)
        return signature

    def sign_transaction(self, fields: Mapping[str, object]) -> tuple[bytes, str]:
        """Sign a transaction of EIP-155 or EIP-1559. Returns its raw bytes and its id (`0x` hex).

        `fields` are those of `eth_sendTransaction`, in eth_account's names. A missing or invalid one raises TypeError
        or ValueError.
        """
        signed = transaction_signer().from_key(self._key.secret).sign_transaction(dict(fields))
        return bytes(signed.raw_transaction), signed.hash.to_0x_hex()

    def shared_point(self, public_key: bytes) -> bytes:
        """ECDH with another's public key. Returns the whole point, 65 bytes uncompressed.

        Raises ValueError if `public_key` is not on the curve.
        """
        return shared_point(self._key.secret, public_key)

    def derive_key(self, purpose: bytes) -> bytes:
        """Derive a 32-byte symmetric key for one purpose. It reveals neither the secret nor keys for other purposes."""
        return hkdf_sha256(self._key.secret, info=purpose)

    def __repr__(self) -> str:
        return f"Account({self.address})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an account is not copied or pickled, it holds a private key")


def transaction_signer() -> "type[EthAccount]":
    """Import eth_account, which takes half a second. A server that sends transactions does so before it serves."""
    with recursion_limit_kept():
        from eth_account import Account as EthAccount  # noqa: PLC0415
    return EthAccount


def public_key_address(public_key: bytes) -> str:
    """Checksummed address of an uncompressed public key (65 bytes): last 20 bytes of keccak256(X || Y)."""
    return to_checksum_address("0x" + keccak256(public_key[1:])[12:].hex())


def compressed_public_key(public_key: bytes) -> bytes:
    """33 bytes `02/03 || X` of an uncompressed point, 65 bytes (SEC 1, section 2.3.3)."""
    return bytes([2 + public_key[64] % 2]) + public_key[1:33]


def shared_point(secret: bytes, public_key: bytes) -> bytes:
    """`secret` * `public_key`, 65 bytes uncompressed. Raises ValueError for a point not on the curve."""
    point: bytes = PublicKey(public_key).multiply(secret).format(compressed=False)
    return point
