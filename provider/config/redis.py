"""The Redis that hosts share: REDIS_CONNECTION and what goes with it. The URL holds a password and is never shown."""

import re
import ssl
from dataclasses import replace

from provider.config.model import RedisSettings
from provider.config.source import Source
from provider.redis.url import RedisTarget, parse_target

CONNECTION = ("REDIS_CONNECTION", "redis.connection")
CONNECTION_FILE = ("REDIS_CONNECTION_FILE", "redis.connection_file")
CA_FILE = ("PROVIDER_REDIS_CA_FILE", "redis.ca_file")
PREFIX = ("PROVIDER_REDIS_PREFIX", "redis.prefix")
# Without braces, which would be the hash tag of a cluster, and without what globs and logs take for something else.
_PREFIX = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)


def read_redis(source: Source) -> RedisSettings | None:
    """Checked values, None without a connection. Faults are noted in `source`, without the URL."""
    target = _target(source)
    prefix = source.text(*PREFIX, "ocean-provider") or ""
    if not _PREFIX.fullmatch(prefix):
        source.fault(*PREFIX, "must be 1 to 64 letters, digits and ._:-")
    ca_file = _ca_file(source)
    sentinel_password = source.text("PROVIDER_REDIS_SENTINEL_PASSWORD", "redis.sentinel_password")
    timeout_seconds = source.seconds(
        "PROVIDER_REDIS_TIMEOUT_SECONDS", "redis.timeout_seconds", 2.0, minimum=0.05, maximum=60.0
    )
    wait_replicas = source.integer("PROVIDER_REDIS_WAIT_REPLICAS", "redis.wait_replicas", 0, minimum=0, maximum=100)
    shares_facts = source.boolean("PROVIDER_REDIS_SHARE_FACTS", "redis.share_facts", True)
    if target is None:
        return None
    if ca_file is not None and not target.uses_tls:
        source.fault(*CA_FILE, "is for rediss:// only, and REDIS_CONNECTION does not use TLS")
    return RedisSettings(
        target=replace(target, ca_file=ca_file, sentinel_password=sentinel_password),
        prefix=prefix,
        timeout_seconds=timeout_seconds,
        wait_replicas=wait_replicas,
        shares_facts=shares_facts,
    )


def _target(source: Source) -> RedisTarget | None:
    text, setting = source.text(*CONNECTION), CONNECTION
    path = source.text(*CONNECTION_FILE)
    if path is not None:
        if text is not None:
            source.fault(*CONNECTION_FILE, "give one of REDIS_CONNECTION and REDIS_CONNECTION_FILE, not both")
            return None
        content, setting = source.read_file(*CONNECTION_FILE, path, of_secret=True), CONNECTION_FILE
        text = content.strip() if content is not None else None
    if text is None:
        return None
    try:
        return parse_target(text)
    except ValueError as error:
        source.fault(*setting, str(error))
        return None


def _ca_file(source: Source) -> str | None:
    path = source.text(*CA_FILE)
    if path is None or source.read_file(*CA_FILE, path) is None:
        return None
    try:
        ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        source.fault(*CA_FILE, f"{path} holds no PEM certificates")
        return None
    return path
