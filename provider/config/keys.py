"""Private keys: from the variable itself, from a file, or from an encrypted keystore with a password file."""

import orjson

from provider.config.source import Source
from provider.crypto.keystore import open_keystore

# secp256k1 group order: a private key is an integer from 1 to this minus 1 (SEC 2, section 2.4.1).
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def parse_private_key(text: str) -> str | None:
    """64 hex digits without prefix, or None when the text is no secp256k1 private key."""
    digits = text.strip().removeprefix("0x")
    try:
        number = int(digits, 16) if len(digits) == 64 else 0
    except ValueError:
        return None
    return digits.lower() if 0 < number < CURVE_ORDER else None


def read_keys(source: Source, name: str, table_key: str) -> str | dict[str, str] | None:
    """Key of `<name>`, `<name>_FILE` or `<name>_KEYSTORE_FILE`: one key, one per chain id, or None when unset.

    A value, a file's content and the keystore names may each be a JSON object per chain id. Faults name the
    variable and never show the value.
    """
    ways = [
        (name, _from_value(source, name, table_key)),
        (f"{name}_FILE", _from_file(source, f"{name}_FILE", f"{table_key}_file")),
        (f"{name}_KEYSTORE_FILE", _from_keystore(source, name, table_key)),
    ]
    given = [(variable, value) for variable, value in ways if value is not None]
    if len(given) > 1:
        source.fault(given[1][0], "", f"give one of {', '.join(variable for variable, _ in ways)}, not several")
    return given[0][1] if given else None


def _from_value(source: Source, variable: str, key: str) -> str | dict[str, str] | None:
    return _checked(source, variable, key, source.json_or_text(variable, key))


def _from_file(source: Source, variable: str, key: str) -> str | dict[str, str] | None:
    path = source.text(variable, key)
    content = source.read_file(variable, key, path, of_secret=True) if path else None
    if content is None:
        return None
    content = content.strip()
    if not content.startswith("{"):
        return _checked(source, variable, key, content)
    try:
        return _checked(source, variable, key, orjson.loads(content))
    except ValueError:
        source.fault(variable, key, "the file looks like JSON but cannot be parsed")
        return None


def _from_keystore(source: Source, name: str, table_key: str) -> str | dict[str, str] | None:
    variable, key = f"{name}_KEYSTORE_FILE", f"{table_key}_keystore_file"
    password_variable, password_key = f"{name}_PASSWORD_FILE", f"{table_key}_password_file"
    paths = source.json_or_text(variable, key)
    password_path = source.text(password_variable, password_key)
    if paths is None:
        return None
    if password_path is None:
        source.fault(password_variable, password_key, f"must name the file with the password of {variable}")
        return None
    password = source.read_file(password_variable, password_key, password_path, of_secret=True)
    if password is None:
        return None
    password = password.rstrip("\r\n")
    if isinstance(paths, dict):
        opened = {str(chain): _open_keystore(source, variable, key, path, password) for chain, path in paths.items()}
        return {chain: private for chain, private in opened.items() if private is not None}
    return _open_keystore(source, variable, key, paths, password)


def _open_keystore(source: Source, variable: str, key: str, path: object, password: str) -> str | None:
    if not isinstance(path, str):
        source.fault(variable, key, "must be a path, or a JSON object of paths by chain id")
        return None
    content = source.read_file(variable, key, path, of_secret=True)
    if content is None:
        return None
    try:
        private = open_keystore(content, password)
    except ValueError as exc:
        source.fault(variable, key, f"{path}: {exc}")
        return None
    return parse_private_key(private.hex())


def _checked(source: Source, variable: str, key: str, value: object) -> str | dict[str, str] | None:
    if value is None:
        return None
    if isinstance(value, dict):
        keys = {str(chain): parse_private_key(str(text)) for chain, text in value.items()}
        for chain, private in keys.items():
            if private is None:
                source.fault(variable, key, f"the key of chain {chain[:20]!r} is not a private key of 64 hex digits")
        return {chain: private for chain, private in keys.items() if private is not None}
    private = parse_private_key(value) if isinstance(value, str) else None
    if private is None:
        source.fault(variable, key, "is not a private key of 64 hex digits")
    return private
