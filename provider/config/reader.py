"""Reads settings: the environment first, then the file, then the default. Collects every fault."""

import difflib
import stat
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from provider.override import override
from provider.setting import BadSettingError, Setting, settings_of

Config = TypeVar("Config")
T = TypeVar("T")

# Set by the old image and by Barge, never used by either Provider; and the file itself.
IGNORED = frozenset({"PROVIDER_ADDRESS", "PROVIDER_CONFIG_FILE"})


class SettingsWarning(NamedTuple):
    """An oddity of the settings that does not stop the server, and what to do. Never holds a secret value."""

    what: str
    remedy: str

    @override
    def __str__(self) -> str:
        return f"{self.what}: {self.remedy}"


class SettingsError(Exception):
    """Every fault of the settings, one line each, naming the variable. Never holds a secret value.

    `warnings`: further oddities. A misspelt variable may be the reason why another one is missing.
    """

    def __init__(self, faults: list[str], warnings: Sequence[SettingsWarning] = ()) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults
        self.warnings = warnings


class Reader:
    """Reads declared settings. Faults are collected, so that an operator sees all of them at once."""

    def __init__(self, environ: Mapping[str, str], table: Mapping[str, object]) -> None:
        self._environ = environ
        self._table = table
        self._known: dict[str, Setting[object]] = {}
        self.faults: list[str] = []
        self.warnings: list[SettingsWarning] = []

    @property
    def known_variables(self) -> frozenset[str]:
        """The variables of the settings that were read."""
        return frozenset(self._known)

    def read(self, config: type[Config], **composed: object) -> Config:
        """Return a config with the values of its declared settings and the fields in `composed`."""
        build: Callable[..., Config] = config
        declared = settings_of(config)
        return build(**composed, **{name: self.value(declared[name]) for name in declared if name not in composed})

    def value(self, setting: Setting[T]) -> T:
        """Return the value of one setting; its default if it is unset or wrong."""
        self._known[setting.variable] = setting
        given = self.given(setting)
        if given is None:
            return setting.default
        try:
            return setting.parse(given)
        except BadSettingError as error:
            self.fault(setting.variable, str(error))
            return setting.default

    def is_set(self, setting: Setting[object]) -> bool:
        """Tell whether the environment or the file has a value."""
        return self.given(setting) is not None

    def fault(self, variable: str, what: str) -> None:
        """Note that the setting is wrong; `what` must not hold a secret."""
        setting = self._known.get(variable)
        key = f" (file: {setting.key})" if setting is not None and setting.key else ""
        self.faults.append(f"{variable}{key}: {what}")

    def has_fault(self, variable: str) -> bool:
        """Tell whether there is a fault of a variable whose name has this prefix."""
        return any(fault.startswith(variable) for fault in self.faults)

    def warn(self, what: str, remedy: str) -> None:
        """Note an oddity; `what` must not hold a secret."""
        self.warnings.append(SettingsWarning(what, remedy))

    def environment(self, variable: str) -> str | None:
        """Return the text of a variable, stripped. An empty one counts as unset: container tools set such ones."""
        return self._environ.get(variable, "").strip() or None

    def read_file(self, variable: str, path: str, *, of_secret: bool = False) -> str | None:
        """Read a file that a setting names. `of_secret`: its path may be the secret itself, by mistake."""
        if of_secret:
            self.warn_of_readers(variable, path)
        try:
            return Path(path).read_text(encoding="utf-8")
        except (OSError, ValueError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "not UTF-8 text"
            is_path = path.startswith(("/", "./", "../")) or not of_secret
            shown = path if is_path else "the file (it has no folder: is that the secret itself, not its file?)"
            self.fault(variable, f"cannot read {shown}: {reason}")
            return None

    def warn_of_readers(self, variable: str, path: str) -> None:
        """Warn if every user of this host may read a file with a secret."""
        try:
            mode = Path(path).stat().st_mode
        except (OSError, ValueError):
            return
        if mode & stat.S_IROTH:
            shown = f"{stat.S_IMODE(mode):04o}"
            self.warn(f"{variable}: every user of this host may read the file (mode {shown})", f"chmod o-r {path}")

    def note_unknown(self) -> None:
        """Note unknown keys of the file as faults, and unknown variables with our prefixes as warnings."""
        keys = [setting.key for setting in self._known.values()]
        for key in _leaves(self._table):
            if not any(key == known or key.startswith(known + ".") for known in keys):
                suggestion = _suggestion(key, [known for known in keys if known])
                self.faults.append(f"{key}: unknown key in the settings file{suggestion}")
        for variable in sorted(self._environ):
            if variable.startswith("PROVIDER_") and variable not in self._known and variable not in IGNORED:
                what = f"{variable} is set but not known to this version{_suggestion(variable, self._known)}"
                self.warn(what, "correct its name, or unset it")

    def given(self, setting: Setting[object]) -> object | None:
        """Return the value as the environment or the file has it, unchecked; None if it is unset."""
        for variable in filter(None, (setting.stronger, setting.variable)):
            if (text := self.environment(variable)) is not None:
                return text
        value: object = self._table if setting.key else None
        for part in setting.key.split("."):
            if not isinstance(value, Mapping) or part not in value:
                return None
            value = value[part]
        return value


def _suggestion(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.8)
    return f"; did you mean {near[0]}?" if near else ""


def read_table(path: str | None) -> dict[str, object]:
    """Read the settings file. Raises SettingsError."""
    if path is None:
        return {}
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as exc:
        raise SettingsError([f"PROVIDER_CONFIG_FILE: cannot read {path}: {exc.strerror}"]) from exc
    except RecursionError as exc:
        raise SettingsError([f"PROVIDER_CONFIG_FILE: {path} is not TOML: nested too deeply"]) from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise SettingsError([f"PROVIDER_CONFIG_FILE: {path} is not TOML: {exc}"]) from exc


def _leaves(table: Mapping[str, object], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for name, value in table.items():
        if isinstance(value, Mapping):
            keys.extend(_leaves(value, f"{prefix}{name}."))
        else:
            keys.append(f"{prefix}{name}")
    return keys
