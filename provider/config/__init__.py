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
