"""The settings that somebody gave, without secrets, for a backup."""

import re
from collections.abc import Mapping
from dataclasses import fields

import orjson

from provider.config.document import CONFIGS
from provider.config.reader import Reader, read_table
from provider.files.sources.config import SourcesConfig
from provider.setting import settings_of

# Secrets that a value may hold by mistake or by habit: a key, and the user, password or API key of a URL.
_SECRET = re.compile(r"[0-9a-fA-F]{64}|://[^/\s]*@|://\S*\?")


def plain_settings(environ: Mapping[str, str], config_path: str | None) -> tuple[dict[str, object], list[str]]:
    """Values by variable as they were given, and the names of those that are left out. Raises SettingsError.

    Named sources are left out as a whole: their header fields may hold secrets.
    """
    reader = Reader(environ, read_table(config_path or environ.get("PROVIDER_CONFIG_FILE", "").strip() or None))
    plain: dict[str, object] = {}
    left_out: list[str] = []
    for config in CONFIGS:
        shown = {member.name: member.repr for member in fields(config)}  # type: ignore[arg-type]
        for name, setting in settings_of(config).items():
            value = reader.given(setting)
            if value is None:
                continue
            is_shown = shown[name] and config is not SourcesConfig
            if is_shown and _SECRET.search(orjson.dumps(value, default=str).decode()) is None:
                plain[setting.variable or setting.key] = value
            else:
                left_out.append(setting.variable or setting.key)
    return plain, left_out
