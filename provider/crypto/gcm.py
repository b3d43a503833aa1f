"""AES-256-GCM with nonces of 16 bytes (NIST SP 800-38D), by OpenSSL (pure).

A module of its own because the library takes 7 MB: `ecies.py` imports it with the first file list or document.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM

# `update_into` demands room for one block of 16 less one byte more than it writes.
_SPARE_BYTES = 15


def seal(key: bytes, nonce: bytes, plaintext: bytes | bytearray) -> tuple[bytes, bytes]:
    """Tag (16 bytes) and ciphertext, as long as the plaintext."""
    encryptor = Cipher(AES(key), GCM(nonce)).encryptor()
    ciphertext = encryptor.update(plaintext) + encryptor.finalize()
    return encryptor.tag, ciphertext


def open_sealed(key: bytes, nonce: bytes, tag: bytes, ciphertext: memoryview) -> bytearray:
    """The plaintext in a buffer of its own. Raises ValueError when the tag does not fit."""
    plaintext = bytearray(len(ciphertext) + _SPARE_BYTES)
    decryptor = Cipher(AES(key), GCM(nonce, tag)).decryptor()
    length = decryptor.update_into(ciphertext, plaintext)
    try:
        decryptor.finalize()
    except InvalidTag:
        raise ValueError("not encrypted with this key") from None
    del plaintext[length:]
    return plaintext
