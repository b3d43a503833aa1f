"""Settings: the only reader of the environment and of the settings file. Read once, checked, frozen."""

import os

from provider.config.load import load_admin_listener, load_settings
from provider.config.model import ChainSettings, Listener, RedisSettings, ServerSettings, Settings
from provider.config.source import SettingsError

__all__ = [
    "ChainSettings",
    "Listener",
    "RedisSettings",
    "ServerSettings",
    "Settings",
    "SettingsError",
    "admin_listener",
    "from_environment",
]


def from_environment(config_path: str | None = None, workers: str | None = None) -> Settings:
    """Settings of this process; `workers` beats its variable. Raises SettingsError listing every fault."""
    environ = dict(os.environ) if workers is None else {**os.environ, "PROVIDER_WORKERS": workers}
    return load_settings(environ, config_path)


def admin_listener(config_path: str | None = None) -> Listener | None:
    """The admin listener of this process's settings, None when it is off. Raises SettingsError."""
    return load_admin_listener(dict(os.environ), config_path)
