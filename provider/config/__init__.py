"""Settings: the only reader of the environment and of the settings file. Read once, checked, frozen."""

import os
from pathlib import Path

from provider.config.load import (
    FileSettings,
    Settings,
    load_admin_listener,
    load_books_file,
    load_file_settings,
    load_settings,
)
from provider.config.reader import SettingsError
from provider.config.server import Listener, ServerConfig

__all__ = [
    "FileSettings",
    "Listener",
    "ServerConfig",
    "Settings",
    "SettingsError",
    "admin_listener",
    "books_file",
    "file_settings",
    "from_environment",
    "names_file",
    "without_secrets",
]


def from_environment(config_path: str | None = None, workers: str | None = None) -> Settings:
    """Read the settings of this process. `workers` overrides its variable. Raises SettingsError with every fault."""
    environ = dict(os.environ) if workers is None else {**os.environ, "PROVIDER_WORKERS": workers}
    return load_settings(environ, config_path)


def admin_listener(config_path: str | None = None) -> Listener | None:
    """Read only the admin listener, None if it is off. Raises SettingsError."""
    return load_admin_listener(dict(os.environ), config_path)


def file_settings(config_path: str | None = None) -> FileSettings:
    """The settings of this process that concern files. Raises SettingsError."""
    return load_file_settings(dict(os.environ), config_path)


def books_file(config_path: str | None = None) -> Path:
    """The file of the books of this process's settings. Raises SettingsError."""
    return load_books_file(dict(os.environ), config_path)


def names_file(config_path: str | None = None) -> bool:
    """Is there a settings file, which may change while this process runs?"""
    return bool(config_path or os.environ.get("PROVIDER_CONFIG_FILE", "").strip())


def without_secrets(config_path: str | None = None) -> tuple[dict[str, object], list[str]]:
    """The settings of this process by variable, and the names of those that are or hold a secret."""
    # It imports every class that declares settings, as the documents do.
    from provider.config.plain import plain_settings  # noqa: PLC0415

    return plain_settings(dict(os.environ), config_path)
