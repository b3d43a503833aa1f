"""ECIES over secp256k1 with AES-256-GCM, byte for byte as in eciespy and eciesjs (pure).

blob = ephemeral public key (65, uncompressed) || nonce (16) || tag (16) || ciphertext (`provider-api.md` section 6).
`files/file_list.py` and `files/document.py` define the contents of a blob.
"""

import os
from typing import TYPE_CHECKING

from coincurve import PrivateKey

from provider.crypto.accounts import Account, hkdf_sha256, shared_point

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.modes import GCM

_POINT_BYTES = 65
_NONCE_BYTES = 16
_TAG_BYTES = 16
OVERHEAD_BYTES = _POINT_BYTES + _NONCE_BYTES + _TAG_BYTES
_UNCOMPRESSED = 4
# `update_into` needs room for one block less one byte (15) beyond its output.
_SPARE_BYTES = 15


def encrypt(
    public_key: bytes, plaintext: bytes | bytearray, *, ephemeral: bytes | None = None, nonce: bytes | None = None
) -> bytes:
    """Encrypt to a public key (65 bytes uncompressed). The blob is 97 bytes longer than the plaintext.

    `ephemeral` (32-byte secret) and `nonce` (16 bytes) are random unless a test vector sets them. Raises ValueError if
    `public_key` is not on the curve.
    """
    key_pair = PrivateKey(ephemeral)
    sender_key = key_pair.public_key.format(compressed=False)
    nonce = os.urandom(_NONCE_BYTES) if nonce is None else nonce
    key = hkdf_sha256(sender_key + shared_point(key_pair.secret, public_key))
    encryptor = _gcm(key, nonce).encryptor()
    ciphertext = encryptor.update(plaintext) + encryptor.finalize()
    return b"".join((sender_key, nonce, encryptor.tag, ciphertext))


def decrypt(account: Account, blob: bytes) -> bytes:
    """Decrypt a blob that was encrypted to `account`. Raises ValueError, without details, for anything else."""
    return bytes(decrypt_to_buffer(account, blob))


def decrypt_to_buffer(account: Account, blob: bytes) -> bytearray:
    """Decrypt a blob into a buffer that can be zeroed, without any other copy of the plaintext. Raises ValueError."""
    if len(blob) < OVERHEAD_BYTES or blob[0] != _UNCOMPRESSED:
        raise ValueError("not an ECIES blob")
    sender_key = blob[:_POINT_BYTES]
    nonce, tag = blob[_POINT_BYTES : OVERHEAD_BYTES - _TAG_BYTES], blob[OVERHEAD_BYTES - _TAG_BYTES : OVERHEAD_BYTES]
    try:
        key = hkdf_sha256(sender_key + account.shared_point(sender_key))
        return _opened(key, nonce, tag, memoryview(blob)[OVERHEAD_BYTES:])
    except ValueError:
        raise ValueError("not encrypted to this key") from None


def _opened(key: bytes, nonce: bytes, tag: bytes, ciphertext: memoryview) -> bytearray:
    """Decrypt into a new buffer. Raises ValueError if the tag does not match."""
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - see `_gcm`

    plaintext = bytearray(len(ciphertext) + _SPARE_BYTES)
    decryptor = _gcm(key, nonce, tag).decryptor()
    length = decryptor.update_into(ciphertext, plaintext)
    try:
        decryptor.finalize()
    except InvalidTag:
        raise ValueError("not encrypted with this key") from None
    del plaintext[length:]
    return plaintext


def _gcm(key: bytes, nonce: bytes, tag: bytes | None = None) -> "Cipher[GCM]":
    """AES-256-GCM by OpenSSL, with a nonce of 16 bytes (NIST SP 800-38D). Imported at first use: it takes 7 MB."""
    from cryptography.hazmat.primitives.ciphers import Cipher  # noqa: PLC0415
    from cryptography.hazmat.primitives.ciphers.algorithms import AES  # noqa: PLC0415
    from cryptography.hazmat.primitives.ciphers.modes import GCM  # noqa: PLC0415

    return Cipher(AES(key), GCM(nonce, tag))
