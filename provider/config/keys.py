"""Private keys: from the variable itself, from a file, or from an encrypted keystore with a password file."""

from dataclasses import dataclass, field

import orjson

from provider.config.reader import Reader
from provider.crypto.keystore import open_keystore

# secp256k1 group order: a private key is an integer from 1 to this minus 1 (SEC 2, section 2.4.1).
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@dataclass(frozen=True, slots=True)
class KeySettings:
    """The ways in which an operator may give a key; each may be one, or one per chain id."""

    value: object = field(repr=False)
    file: str | None
    keystore_file: object
    password_file: str | None


def parse_private_key(text: str) -> str | None:
    """64 hex digits without prefix, or None when the text is no secp256k1 private key."""
    digits = text.strip().removeprefix("0x")
    try:
        number = int(digits, 16) if len(digits) == 64 else 0
    except ValueError:
        return None
    return digits.lower() if 0 < number < CURVE_ORDER else None


def open_keys(reader: Reader, name: str, given: KeySettings) -> str | dict[str, str] | None:
    """Key of `<name>`, `<name>_FILE` or `<name>_KEYSTORE_FILE`: one key, one per chain id, or None when unset.

    A value, a file's content and the keystore names may each be a JSON object per chain id. Faults name the
    variable and never show the value.
    """
    ways = [
        (name, _checked(reader, name, given.value)),
        (f"{name}_FILE", _from_file(reader, f"{name}_FILE", given.file)),
        (f"{name}_KEYSTORE_FILE", _from_keystore(reader, name, given)),
    ]
    found = [(variable, value) for variable, value in ways if value is not None]
    if len(found) > 1:
        reader.fault(found[1][0], f"give one of {', '.join(variable for variable, _ in ways)}, not several")
    return found[0][1] if found else None


def _from_file(reader: Reader, variable: str, path: str | None) -> str | dict[str, str] | None:
    content = reader.read_file(variable, path, of_secret=True) if path else None
    if content is None:
        return None
    content = content.strip()
    if not content.startswith("{"):
        return _checked(reader, variable, content)
    try:
        return _checked(reader, variable, orjson.loads(content))
    except ValueError:
        reader.fault(variable, "the file looks like JSON but cannot be parsed")
        return None


def _from_keystore(reader: Reader, name: str, given: KeySettings) -> str | dict[str, str] | None:
    variable, password_variable = f"{name}_KEYSTORE_FILE", f"{name}_PASSWORD_FILE"
    paths, password_path = given.keystore_file, given.password_file
    if paths is None:
        return None
    if password_path is None:
        reader.fault(password_variable, f"must name the file with the password of {variable}")
        return None
    password = reader.read_file(password_variable, password_path, of_secret=True)
    if password is None:
        return None
    password = password.rstrip("\r\n")
    if isinstance(paths, dict):
        opened = {str(chain): _open_keystore(reader, variable, path, password) for chain, path in paths.items()}
        return {chain: private for chain, private in opened.items() if private is not None}
    return _open_keystore(reader, variable, paths, password)


def _open_keystore(reader: Reader, variable: str, path: object, password: str) -> str | None:
    if not isinstance(path, str):
        reader.fault(variable, "must be a path, or a JSON object of paths by chain id")
        return None
    content = reader.read_file(variable, path, of_secret=True)
    if content is None:
        return None
    try:
        private = open_keystore(content, password)
    except ValueError as exc:
        reader.fault(variable, f"{path}: {exc}")
        return None
    return parse_private_key(private.hex())


def _checked(reader: Reader, variable: str, value: object) -> str | dict[str, str] | None:
    if value is None:
        return None
    if isinstance(value, dict):
        keys = {str(chain): parse_private_key(str(text)) for chain, text in value.items()}
        for chain, private in keys.items():
            if private is None:
                reader.fault(variable, f"the key of chain {chain[:20]!r} is not a private key of 64 hex digits")
        return {chain: private for chain, private in keys.items() if private is not None}
    private = parse_private_key(value) if isinstance(value, str) else None
    if private is None:
        reader.fault(variable, "is not a private key of 64 hex digits")
    return private
