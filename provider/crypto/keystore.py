"""Encrypted key files, Web3 Secret Storage version 3 as geth and eth_account write them (pure).

JSON text and password in, the 32-byte secret out. Done here with the standard library: the usual package
costs half a second of imports and raises the interpreter's recursion limit to 100 000, after which deeply nested
JSON from a client would overflow the stack.
"""

import hashlib
import hmac
from collections.abc import Mapping

import orjson

from provider.crypto.keccak import keccak256

# geth's standard cost is n=2^18, r=8: 256 MiB.
_MAX_SCRYPT_BYTES = 1024 * 1024 * 1024


def open_keystore(json_text: str, password: str) -> bytes:
    """The secret, 32 bytes if the file is sound. About a second of CPU and 256 MiB with the usual cost.

    Raises ValueError that tells whether the file or the password is wrong.
    """
    try:
        keystore = orjson.loads(json_text)
    except orjson.JSONDecodeError:
        raise ValueError("the keystore is not JSON") from None
    if not isinstance(keystore, Mapping) or keystore.get("version") != 3:
        raise ValueError("the keystore is not of version 3")
    crypto = keystore.get("crypto", keystore.get("Crypto"))
    try:
        return _decrypt(crypto, password.encode())
    except (ArithmeticError, LookupError, MemoryError, TypeError):
        raise ValueError("the keystore is malformed") from None


def _decrypt(crypto: object, password: bytes) -> bytes:
    """Raises ValueError with our text, or any of the errors that wrong types and values cause."""
    # 7 MB that a server without a keystore need not hold.
    from cryptography.hazmat.primitives.ciphers import Cipher  # noqa: PLC0415
    from cryptography.hazmat.primitives.ciphers.algorithms import AES  # noqa: PLC0415
    from cryptography.hazmat.primitives.ciphers.modes import CTR  # noqa: PLC0415

    if not isinstance(crypto, Mapping) or crypto["cipher"] != "aes-128-ctr":
        raise ValueError("the keystore has no cipher aes-128-ctr")
    ciphertext, mac, iv = (_hex(value) for value in (crypto["ciphertext"], crypto["mac"], crypto["cipherparams"]["iv"]))
    if len(iv) != 16:
        raise ValueError("the keystore is malformed")
    derived = _derived_key(crypto["kdf"], crypto["kdfparams"], password)
    if not hmac.compare_digest(keccak256(derived[16:32] + ciphertext), mac):
        raise ValueError("the password is wrong")
    decryptor = Cipher(AES(derived[:16]), CTR(iv)).decryptor()
    return decryptor.update(ciphertext) + decryptor.finalize()


def _derived_key(kdf: object, params: Mapping[str, object], password: bytes) -> bytes:
    salt, length = _hex(params["salt"]), _count(params["dklen"])
    if length < 32:
        raise ValueError("the keystore is malformed")
    if kdf == "pbkdf2" and params.get("prf") == "hmac-sha256":
        return hashlib.pbkdf2_hmac("sha256", password, salt, _count(params["c"]), length)
    if kdf != "scrypt":
        raise ValueError("the keystore has an unknown key derivation")
    n, r, p = _count(params["n"]), _count(params["r"]), _count(params["p"])
    if 128 * r * (n + p) > _MAX_SCRYPT_BYTES:
        raise ValueError("the keystore asks for too much memory")
    try:
        # OpenSSL counts some blocks of its own.
        maximum = 128 * r * (n + p + 2)
        return hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=maximum, dklen=length)
    except ValueError:
        raise ValueError("the keystore is malformed") from None


def _hex(value: object) -> bytes:
    try:
        return bytes.fromhex(str(value).removeprefix("0x"))
    except ValueError:
        raise ValueError("the keystore is malformed") from None


def _count(value: object) -> int:
    if type(value) is not int or not 1 <= value < 2**31:
        raise ValueError("the keystore is malformed")
    return value
