"""What `load_settings` says to the variables of a deployment file, with real secrets in the place of its secrets."""

from collections.abc import Mapping
from pathlib import Path

from provider.config import Settings
from provider.config.load import load_settings
from provider.testing.chain.keys import PROVIDER_KEY


def settings_of(variables: Mapping[str, str], folder: Path, *, config_path: str | None = None) -> Settings:
    """Settings without fault or warning; every `…_FILE` leads to a file in `folder`. Raises SettingsError."""
    contents = {"PROVIDER_PRIVATE_KEY_FILE": PROVIDER_KEY, "REDIS_CONNECTION_FILE": "redis://redis:6379/0"}
    environ = dict(variables)
    for variable in contents.keys() & environ.keys():
        path = folder / variable
        path.write_text(contents[variable])
        path.chmod(0o600)
        environ[variable] = str(path)
    settings = load_settings(environ, config_path)
    assert settings.warnings == ()
    return settings
