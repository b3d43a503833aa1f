"""Private keys: from the variable itself, from a file, or from an encrypted keystore with a password file."""

from dataclasses import dataclass, field
from typing import ClassVar

import orjson

from provider.config.reader import Reader
from provider.crypto.keystore import open_keystore
from provider.setting import json_or_text, json_place, special, text
from provider.wire.text import hex_number

# secp256k1 group order: a private key is an integer from 1 to this minus 1 (SEC 2, section 2.4.1).
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

_IN_A_FILE = "A file that holds the key."
_IN_A_KEYSTORE = "An encrypted keystore (Web3 secret storage) that holds the key."
_OPENS_THE_KEYSTORE = "The file that holds the password of the keystore."


@dataclass(frozen=True, slots=True)
class KeySettings:
    """The ways to give a key: a value, a file or a keystore. Each may hold one key, or one per chain id."""

    value: object = field(repr=False)
    file: str | None
    keystore_file: object
    password_file: str | None


@dataclass(frozen=True, slots=True)
class ProviderKey(KeySettings):
    """The Provider's key, or one per chain id."""

    SECTION: ClassVar = "chains"

    value: object = special(
        "PROVIDER_PRIVATE_KEY",
        json_or_text,
        key="private_key",
        help="The Provider's key, 64 hex digits. It decrypts what was published to it and signs fees. REQUIRED, in one "
        "of three ways: this setting, a file, or a keystore. One key, or one per chain id, as in network_url.",
        secret=True,
    )
    file: str | None = text(
        "PROVIDER_PRIVATE_KEY_FILE",
        key="private_key_file",
        help=_IN_A_FILE,
        example="/run/secrets/provider_key",
    )
    keystore_file: object = special(
        "PROVIDER_PRIVATE_KEY_KEYSTORE_FILE",
        json_or_text,
        key="private_key_keystore_file",
        help=_IN_A_KEYSTORE,
        examples=("/run/secrets/provider_keystore.json",),
    )
    password_file: str | None = text(
        "PROVIDER_PRIVATE_KEY_PASSWORD_FILE",
        key="private_key_password_file",
        help=_OPENS_THE_KEYSTORE,
        example="/run/secrets/provider_keystore_password",
    )


@dataclass(frozen=True, slots=True)
class UniversalKey(KeySettings):
    """The key for tokens and for signatures that belong to no chain."""

    SECTION: ClassVar = "security"

    value: object = special(
        "UNIVERSAL_PRIVATE_KEY",
        json_or_text,
        key="universal_private_key",
        help="Key for auth tokens and for signatures that belong to no chain, 64 hex digits. Default: the Provider's "
        "key if there is one for all chains. It can be given in the same three ways.",
        secret=True,
    )
    file: str | None = text(
        "UNIVERSAL_PRIVATE_KEY_FILE",
        key="universal_private_key_file",
        help=_IN_A_FILE,
        example="/run/secrets/universal_key",
    )
    keystore_file: object = special(
        "UNIVERSAL_PRIVATE_KEY_KEYSTORE_FILE",
        json_or_text,
        key="universal_private_key_keystore_file",
        help=_IN_A_KEYSTORE,
        examples=("/run/secrets/universal_keystore.json",),
    )
    password_file: str | None = text(
        "UNIVERSAL_PRIVATE_KEY_PASSWORD_FILE",
        key="universal_private_key_password_file",
        help=_OPENS_THE_KEYSTORE,
        example="/run/secrets/universal_keystore_password",
    )


def parse_private_key(text: str) -> str | None:
    """Return 64 hex digits without prefix; None if the text is not a secp256k1 private key."""
    digits = text.strip().removeprefix("0x")
    number = hex_number(digits) if len(digits) == 64 else None
    return digits.lower() if number is not None and 0 < number < CURVE_ORDER else None


def open_keys(reader: Reader, name: str, given: KeySettings) -> str | dict[str, str] | None:
    """Read the key of `<name>`, `<name>_FILE` or `<name>_KEYSTORE_FILE`: one, one per chain id, or None if unset.

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
    except ValueError as error:
        reader.fault(variable, f"the file looks like JSON but cannot be parsed{json_place(error)}")
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
