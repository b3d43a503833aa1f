"""Declarations of settings (pure): one call beside the field of a room's `Config` says all there is to know of it.

    @dataclass(frozen=True, slots=True)
    class RpcConfig:
        SECTION: ClassVar = "rpc"
        timeout_seconds: float = seconds("PROVIDER_RPC_TIMEOUT_SECONDS", 10, minimum=0.1, maximum=120, help="…")

The file's key is the section and the field's name; `key` replaces the name, or both when it has a dot or the class
has no section. `help` is for operators: `provider/config/` reads the values, and writes `conf/provider.toml` and
`docs/settings.md`.
"""

import ipaddress
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Generic, TypeVar, cast, overload
from urllib.parse import urlsplit

import orjson

from provider.wire.text import digits

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Choice = TypeVar("Choice", bound=str)
_Parser = Callable[[object], T]

TRUE_TEXTS = frozenset({"y", "yes", "t", "true", "on", "1"})
FALSE_TEXTS = frozenset({"n", "no", "f", "false", "off", "0", ""})


class BadSettingError(Exception):
    """The value of a setting is wrong. The text says why, without the value, which may be a secret."""


@dataclass(frozen=True, slots=True)
class Setting(Generic[T_co]):
    """One setting.

    variable: its environment variable.
    parse: checks a value of the environment or of the file, and converts it; raises BadSettingError.
    default: the value where nothing is set.
    shown: the default as the file writes it, None where there is none.
    help: what it does.
    bounds: which values are accepted, "" where the help says it.
    examples: values as the file writes them.
    key: dotted key of the file, "" where only the environment has it.
    stronger: a second variable, which takes precedence over this one.
    """

    variable: str
    parse: Callable[[object], T_co]
    default: T_co
    shown: object
    help: str
    bounds: str = ""
    examples: tuple[object, ...] = ()
    key: str = ""
    stronger: str = ""


@dataclass(frozen=True, slots=True)
class PerChain(Generic[T]):
    """A value for all chains, and those of the chains that have one of their own."""

    others: T
    by_chain: Mapping[int, T] = field(default_factory=dict)

    def of(self, chain_id: int) -> T:
        """The value of one chain."""
        return self.by_chain.get(chain_id, self.others)


def settings_of(config: type[object]) -> dict[str, Setting[object]]:
    """The declared settings of a class by field, with their whole keys."""
    section: str = getattr(config, "SECTION", "")
    found: dict[str, Setting[object]] = {}
    for member in fields(config):  # type: ignore[arg-type]
        setting = member.metadata.get("setting")
        if isinstance(setting, Setting):
            name = setting.key or member.name
            found[member.name] = replace(setting, key=name if "." in name or not section else f"{section}.{name}")
    return found


def declare(setting: Setting[T], *, secret: bool = False) -> T:
    """The field of a setting. A `secret` is not shown by `repr`."""
    return field(default=setting.default, repr=not secret, metadata={"setting": setting})


def seconds(variable: str, default: float, *, minimum: float, maximum: float, help: str, key: str = "") -> float:
    """Duration in seconds."""
    bounds = f"{minimum:g} to {maximum:g}"

    def parse(value: object) -> float:
        try:
            number = float(value) if isinstance(value, str | int | float) else None
        except ValueError:
            number = None
        if number is None or not minimum <= number <= maximum:
            raise BadSettingError(f"must be a number of seconds from {bounds}")
        return number

    shown = f"{minimum:.12g} to {maximum:.12g} s"
    return declare(Setting(variable, parse, float(default), float(default), help, shown, key=key))


def integer(variable: str, default: int, *, minimum: int, maximum: int, help: str, key: str = "") -> int:
    """Whole number."""
    parse = whole_number(minimum, maximum)
    return declare(Setting(variable, parse, default, default, help, f"{minimum} to {maximum}", key=key))


def boolean(variable: str, default: bool, *, help: str, key: str = "") -> bool:
    """y, yes, t, true, on, 1 and their opposites, in any case (`provider-api.md` section 14)."""

    def parse(value: object) -> bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in TRUE_TEXTS | FALSE_TEXTS:
            return value.lower() in TRUE_TEXTS
        raise BadSettingError("must be true or false (or y, yes, t, on, 1; n, no, f, off, 0)")

    return declare(Setting(variable, parse, default, default, help, "true, false", key=key))


@overload
def text(variable: str, default: str, *, help: str, key: str = "") -> str: ...
@overload
def text(variable: str, *, help: str, example: str, key: str = "", secret: bool = False) -> str | None: ...
def text(
    variable: str, default: str | None = None, *, help: str, example: str = "", key: str = "", secret: bool = False
) -> str | None:
    """Free text; an empty one counts as not set."""
    examples = (example,) if example else ()
    parse = or_default(default, plain_text)
    return declare(Setting(variable, parse, default, default, help, "", examples, key), secret=secret)


def url(variable: str, *, help: str, example: str, key: str = "") -> str | None:
    """http or https URL with a host, or None. It may hold a password, so it counts as a secret."""
    parse = or_default(None, http_url)
    return declare(Setting(variable, parse, None, None, help, "", (example,), key), secret=True)


def choice(variable: str, default: Choice, allowed: tuple[Choice, ...], *, help: str, key: str = "") -> Choice:
    """One of `allowed`, compared without case."""

    def parse(value: object) -> Choice:
        given = plain_text(value).lower()
        for option in allowed:
            if given == option.lower():
                return option
        raise BadSettingError(f"must be one of {', '.join(allowed)}")

    setting = Setting(variable, or_default(default, parse), default, default, help, ", ".join(allowed), key=key)
    return declare(setting)


def special(
    variable: str,
    parse: _Parser[T],
    default: object = None,
    *,
    help: str,
    bounds: str = "",
    examples: tuple[object, ...] = (),
    key: str = "",
    secret: bool = False,
    stronger: str = "",
) -> T:
    """A setting with a parser of its own. `default` is written as in the file; None is not parsed."""
    value = cast(T, None) if default is None else parse(default)
    setting = Setting(variable, parse, value, default, help, bounds, examples, key, stronger)
    return declare(setting, secret=secret)


def or_default(default: T, parse: _Parser[T]) -> _Parser[T]:
    """As `parse`, but an empty text gives `default`."""
    return lambda value: default if value == "" else parse(value)


def whole_number(minimum: int, maximum: int, *, otherwise: str = "") -> _Parser[int]:
    """Parser of a whole number within bounds. `otherwise` tells the operator what else is accepted."""

    def parse(value: object) -> int:
        try:
            number = int(value) if isinstance(value, str | int) and not isinstance(value, bool) else None
        except ValueError:
            number = None
        if number is None or not minimum <= number <= maximum:
            raise BadSettingError(f"must be a whole number from {minimum} to {maximum}{otherwise}")
        return number

    return parse


def plain_text(value: object) -> str:
    """Text without null bytes: only a file can have one, and no path, URL or name does."""
    if not isinstance(value, str):
        raise BadSettingError("must be text")
    if "\0" in value:
        raise BadSettingError("holds a null byte")
    return value


def http_url(value: object) -> str:
    """An http or https URL with a host."""
    found = plain_text(value)
    if problem := url_problem(found):
        raise BadSettingError(problem)
    return found


def json_or_text(value: object) -> object:
    """Text that starts like a JSON object or list is parsed; everything else is returned as it is."""
    if not isinstance(value, str) or value[:1] not in ("{", "["):
        return value
    try:
        # First, for it bounds the depth.
        orjson.loads(value)
        found: object = json.loads(value, object_pairs_hook=_unique)
    except ValueError as error:
        raise BadSettingError(f"looks like JSON but cannot be parsed{json_place(error)}") from error
    return found


def json_place(error: ValueError) -> str:
    """Where a text stops to be JSON, without repeating it; empty if that is not known."""
    return f": see line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""


def listed(value: object) -> list[object] | None:
    """Items of a text with commas between, or of a list, which the environment writes as JSON; None for others."""
    value = json_or_text(value)
    if isinstance(value, str):
        return [item.strip() for item in value.split(",")]
    return value if isinstance(value, list) else None


def texts(value: object) -> tuple[str, ...]:
    """Items of a text with commas between, or of a list of the file; empty ones do not count."""
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise BadSettingError("must be text with commas between, or a list of texts")
    return tuple(item.strip() for item in items if item.strip())


def per_chain(parse: Callable[[object], T | None], default: T, fault: str) -> _Parser[PerChain[T]]:
    """Parser of one value, or of one per chain id. `default` is the value of chains that the table leaves out."""

    def parse_all(value: object) -> PerChain[T]:
        value = json_or_text(value)
        if not isinstance(value, Mapping):
            one = parse(value)
            if one is None:
                raise BadSettingError(fault)
            return PerChain(one)
        found: dict[int, T] = {}
        for chain, given in value.items():
            one, chain_id = parse(given), digits(str(chain), max_chars=18)
            if one is None or chain_id is None:
                raise BadSettingError(fault)
            found[chain_id] = one
        return PerChain(default, found)

    return parse_all


def url_problem(value: str) -> str | None:
    """Why `value` cannot serve as an http(s) URL, without repeating it."""
    if not value.isprintable() or " " in value:
        # Parsing would drop some of these in silence.
        return "has spaces or control characters, which a URL must have percent-encoded"
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018 - the property raises on a bad port
        if parts.hostname and parts.netloc.rpartition("@")[2].startswith("["):
            ipaddress.IPv6Address(parts.hostname.partition("%")[0])
    except ValueError:
        return "is not a valid URL"
    if parts.scheme in ("ws", "wss"):
        return "is a WebSocket URL; name the node's http or https endpoint instead"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "must be an http or https URL"
    return None


def _unique(members: list[tuple[str, object]]) -> dict[str, object]:
    """An object of JSON; every other reader lets the last of two equal names win without a word."""
    table: dict[str, object] = {}
    for name, value in members:
        if name in table:
            # Only a number is shown: other names may be secrets.
            what = f"chain {name}" if digits(name, max_chars=18) is not None else "something"
            raise BadSettingError(f"names {what} twice")
        table[name] = value
    return table
