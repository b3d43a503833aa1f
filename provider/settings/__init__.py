"""Settings: the only reader of the environment and of the settings file. Read once, checked, frozen."""

import os

from provider.settings.load import load_settings
from provider.settings.model import ChainSettings, Listener, Settings
from provider.settings.source import SettingsError

__all__ = ["ChainSettings", "Listener", "Settings", "SettingsError", "from_environment", "share_metrics_through"]


def from_environment(config_path: str | None = None) -> Settings:
    """Settings of this process. Raises SettingsError listing every fault."""
    return load_settings(os.environ, config_path)


def share_metrics_through(directory: str) -> None:
    """Make prometheus_client keep its values in `directory`, shared by all workers. Call before its first import."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
