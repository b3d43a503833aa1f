"""Look one setting up (environment, then file, then default), coerce it, and note the fault if it is wrong."""

import ipaddress
import json
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from provider.config.model import Listener
from provider.wire.text import digits

TRUE_TEXTS = frozenset({"y", "yes", "t", "true", "on", "1"})
FALSE_TEXTS = frozenset({"n", "no", "f", "false", "off", "0", ""})


class SettingsError(Exception):
    """Every fault of the settings, one line each, naming the variable. Never holds a secret value.

    `warnings`: what else was odd; a misspelt variable may be why another is missing.
    """

    def __init__(self, faults: list[str], warnings: Sequence[str] = ()) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults
        self.warnings = warnings


class _NamedTwice(Exception):
    """A name stands twice in one JSON object; the text is the name where it is a number, and so no secret."""


class Source:
    """Environment over file over default. Faults are collected, so that an operator sees all of them at once."""

    def __init__(self, environ: Mapping[str, str], table: Mapping[str, object]) -> None:
        self._environ = environ
        self._table = table
        self.read_keys: set[str] = set()
        self.read_variables: set[str] = set()
        self.faults: list[str] = []
        self.warnings: list[str] = []

    def fault(self, variable: str, key: str, what: str) -> None:
        """Note that the setting is wrong; `what` must not hold a secret."""
        self.faults.append(f"{variable} (file: {key}): {what}" if key else f"{variable}: {what}")

    def environment(self, variable: str) -> str | None:
        """Environment text, stripped; an empty variable counts as not set, as container tools set it."""
        self.read_variables.add(variable)
        text = self._environ.get(variable, "").strip()
        return text or None

    def file_value(self, key: str) -> object | None:
        """Value of a dotted key of the file, or None."""
        self.read_keys.add(key)
        value: object = self._table
        for part in key.split("."):
            if not isinstance(value, Mapping) or part not in value:
                return None
            value = value[part]
        return value

    def raw(self, variable: str, key: str) -> object | None:
        """The environment's text, else the file's value, else None."""
        in_file = self.file_value(key) if key else None
        text = self.environment(variable)
        return text if text is not None else in_file

    def text(self, variable: str, key: str, default: str | None = None) -> str | None:
        """Free text."""
        value = self.raw(variable, key)
        if value is None or value == "":
            return default
        if not isinstance(value, str):
            self.fault(variable, key, "must be text")
            return default
        if "\0" in value:
            # Only a file can have one. No path, URL or name does.
            self.fault(variable, key, "holds a null byte")
            return default
        return value

    def choice(self, variable: str, key: str, default: str, allowed: tuple[str, ...]) -> str:
        """One of `allowed`, compared without case."""
        value = self.text(variable, key, default)
        for option in allowed:
            if value is not None and value.lower() == option.lower():
                return option
        self.fault(variable, key, f"must be one of {', '.join(allowed)}")
        return default

    def boolean(self, variable: str, key: str, default: bool) -> bool:
        """y/yes/t/true/on/1 and their opposites, any case (`provider-api.md` section 14)."""
        value = self.raw(variable, key)
        if value is None:
            return default
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in TRUE_TEXTS | FALSE_TEXTS:
            return value.lower() in TRUE_TEXTS
        self.fault(variable, key, "must be true or false (or y, yes, t, on, 1; n, no, f, off, 0)")
        return default

    def integer(self, variable: str, key: str, default: int, *, minimum: int, maximum: int, otherwise: str = "") -> int:
        """Whole number within bounds. `otherwise`: what the caller takes besides, for the fault."""
        value = self.raw(variable, key)
        if value is None:
            return default
        try:
            number = int(value) if isinstance(value, str | int) and not isinstance(value, bool) else None
        except ValueError:
            number = None
        if number is None or not minimum <= number <= maximum:
            self.fault(variable, key, f"must be a whole number from {minimum} to {maximum}{otherwise}")
            return default
        return number

    def workers(self, variable: str, key: str, default: int) -> int:
        """Number of processes; `auto` is one for each core that this process may use."""
        if self.raw(variable, key) == "auto":
            return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return self.integer(variable, key, default, minimum=1, maximum=256, otherwise=", or auto")

    def seconds(self, variable: str, key: str, default: float, *, minimum: float, maximum: float) -> float:
        """Duration in seconds within bounds."""
        value = self.raw(variable, key)
        if value is None:
            return default
        try:
            number = float(value) if isinstance(value, str | int | float) else None
        except ValueError:
            number = None
        if number is None or not minimum <= number <= maximum:
            self.fault(variable, key, f"must be a number of seconds from {minimum:g} to {maximum:g}")
            return default
        return number

    def url(self, variable: str, key: str, default: str | None = None) -> str | None:
        """http or https URL with a host."""
        value = self.text(variable, key, default)
        if value is not None and (problem := url_problem(value)):
            self.fault(variable, key, problem)
            return default
        return value

    def listener(self, variable: str, key: str, default: str, *, https_fault: str | None) -> Listener | None:
        """`http://host:port` to listen on; the text `off` gives None. `https_fault`: why https is wrong, if it is."""
        value = self.text(variable, key, default) or default
        if value.lower() == "off":
            return None
        try:
            parts = urlsplit(value)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme == "https" and https_fault is not None:
            self.fault(variable, key, https_fault)
            return None
        if parts.scheme not in ("http", "https") or not parts.hostname or port is None or parts.path not in ("", "/"):
            self.fault(variable, key, "must look like http://0.0.0.0:8030")
            return None
        return Listener(host=parts.hostname, port=port)

    def json_or_text(self, variable: str, key: str) -> object | None:
        """Text that starts like a JSON object or list is parsed; everything else is returned as it is."""
        value = self.raw(variable, key)
        if isinstance(value, str) and value[:1] in ("{", "["):
            try:
                # First, for it bounds the depth.
                orjson.loads(value)
                return json.loads(value, object_pairs_hook=_unique)  # type: ignore[no-any-return]
            except _NamedTwice as error:
                self.fault(variable, key, f"names {error} twice")
                return None
            except ValueError:
                self.fault(variable, key, "looks like JSON but cannot be parsed")
                return None
        return value

    def read_file(self, variable: str, key: str, path: str, *, of_secret: bool = False) -> str | None:
        """Text of a file that the setting names. `of_secret`: by mistake the secret itself may stand there."""
        if of_secret:
            self.warn_of_readers(variable, path)
        try:
            return Path(path).read_text(encoding="utf-8")
        except (OSError, ValueError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "not UTF-8 text"
            is_path = path.startswith(("/", "./", "../")) or not of_secret
            shown = path if is_path else "the file (it has no folder: is that the secret itself, not its file?)"
            self.fault(variable, key, f"cannot read {shown}: {reason}")
            return None

    def warn_of_readers(self, variable: str, path: str) -> None:
        """Warn when every user of this host may read the secret in a file."""
        try:
            mode = Path(path).stat().st_mode
        except (OSError, ValueError):
            return
        if mode & stat.S_IROTH:
            self.warnings.append(
                f"{variable}: every user of this host may read the file (mode {stat.S_IMODE(mode):04o}): chmod o-r"
            )

    def note_unknown_keys(self) -> None:
        """Every key of the file that nothing asked for is a fault: a typing slip must not pass in silence."""
        for key in _leaves(self._table):
            if not any(key == known or key.startswith(known + ".") for known in self.read_keys):
                self.faults.append(f"{key}: unknown key in the settings file")

    def note_unknown_variables(self, is_ours: Callable[[str], bool]) -> None:
        """A variable in our name space that nothing asked for is worth a warning."""
        for variable in sorted(self._environ):
            if is_ours(variable) and variable not in self.read_variables:
                self.warnings.append(f"{variable} is set but not known to this version")


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
            raise _NamedTwice(f"chain {name}" if digits(name, max_chars=18) is not None else "something")
        table[name] = value
    return table


def _leaves(table: Mapping[str, object], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for name, value in table.items():
        if isinstance(value, Mapping):
            keys.extend(_leaves(value, f"{prefix}{name}."))
        else:
            keys.append(f"{prefix}{name}")
    return keys
