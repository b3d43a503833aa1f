"""Encrypted key files: Web3 Secret Storage version 3, as written by geth and eth_account (pure).

JSON text and a password in, the 32-byte secret out. eth_keyfile decrypts; limits that it lacks are checked first.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import orjson

# geth's standard cost is n=2^18, r=8: 256 MiB.
_MAX_SCRYPT_BYTES = 1024 * 1024 * 1024
_MAX_COUNT = 2**31
_IV_BYTES = 16


def open_keystore(json_text: str, password: str) -> bytes:
    """Return the secret of a keystore. At the usual cost this takes a second of CPU and 256 MiB.

    Raises ValueError, which says whether the file or the password is wrong.
    """
    try:
        keystore = orjson.loads(json_text)
    except orjson.JSONDecodeError:
        raise ValueError("the keystore is not JSON") from None
    if not isinstance(keystore, Mapping) or keystore.get("version") != 3:
        raise ValueError("the keystore is not of version 3")
    _check(keystore.get("crypto", keystore.get("Crypto")))
    # Importing takes half a second, which a server without a keystore saves.
    with recursion_limit_kept():
        from eth_keyfile.keyfile import decode_keyfile_json  # noqa: PLC0415
    try:
        secret = bytes(decode_keyfile_json(dict(keystore), password.encode()))
    except (ArithmeticError, AttributeError, LookupError, MemoryError, NotImplementedError, TypeError):
        raise ValueError("the keystore is malformed") from None
    except ValueError as exc:
        wrong = str(exc) == "MAC mismatch"
        raise ValueError("the password is wrong" if wrong else "the keystore is malformed") from None
    return secret


@contextmanager
def recursion_limit_kept() -> Iterator[None]:
    """Undo a change of the interpreter's recursion limit.

    Importing eth_keyfile or eth_account raises it to 100 000 (through py_ecc). Deeply nested JSON from a client could
    then overflow the stack.
    """
    limit = sys.getrecursionlimit()
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def _check(crypto: object) -> None:
    """Refuse other ciphers and key derivations, and a derivation that needs too much memory. Raises ValueError."""
    if not isinstance(crypto, Mapping) or crypto.get("cipher") != "aes-128-ctr":
        raise ValueError("the keystore has no cipher aes-128-ctr")
    cipher_parameters = crypto.get("cipherparams")
    iv = cipher_parameters.get("iv") if isinstance(cipher_parameters, Mapping) else None
    # The MAC does not cover the IV, and the library pads a short one, which would give another secret.
    if not isinstance(iv, str) or len(iv.removeprefix("0x")) != 2 * _IV_BYTES:
        raise ValueError("the keystore is malformed")
    parameters = crypto.get("kdfparams")
    if not isinstance(parameters, Mapping) or not 32 <= _count(parameters, "dklen") < _MAX_COUNT:
        raise ValueError("the keystore is malformed")
    kdf = crypto.get("kdf")
    if kdf == "pbkdf2" and parameters.get("prf") == "hmac-sha256":
        _count(parameters, "c")
    elif kdf == "scrypt":
        n, r, p = (_count(parameters, name) for name in ("n", "r", "p"))
        if 128 * r * (n + p) > _MAX_SCRYPT_BYTES:
            raise ValueError("the keystore asks for too much memory")
    else:
        raise ValueError("the keystore has an unknown key derivation")


def _count(parameters: Mapping[str, object], name: str) -> int:
    value = parameters.get(name)
    if type(value) is not int or not 1 <= value < _MAX_COUNT:
        raise ValueError("the keystore is malformed")
    return value
