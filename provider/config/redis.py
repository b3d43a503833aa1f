"""The Redis that hosts share: where it is, made of the settings that name it. The URL is never shown."""

import ssl
from dataclasses import replace

from provider.config.reader import Reader
from provider.redis.config import RedisConfig, RedisConnection
from provider.redis.url import RedisTarget, parse_target


def read_redis(reader: Reader) -> RedisConfig | None:
    """Checked values, None without a connection. Faults are noted in `reader`, without the URL."""
    given = reader.read(RedisConnection)
    target = _target(reader, given)
    ca_file = _ca_file(reader, given.ca_file)
    # Read in any case, so that faults are found and the file's keys are known.
    config = reader.read(RedisConfig, target=target)
    if target is None:
        return None
    if ca_file is not None and not target.uses_tls:
        reader.fault("PROVIDER_REDIS_CA_FILE", "is for rediss:// only, and REDIS_CONNECTION does not use TLS")
    return replace(config, target=replace(target, ca_file=ca_file, sentinel_password=given.sentinel_password))


def _target(reader: Reader, given: RedisConnection) -> RedisTarget | None:
    text, variable = given.connection, "REDIS_CONNECTION"
    if given.connection_file is not None:
        variable = "REDIS_CONNECTION_FILE"
        if text is not None:
            reader.fault(variable, "give one of REDIS_CONNECTION and REDIS_CONNECTION_FILE, not both")
            return None
        content = reader.read_file(variable, given.connection_file, of_secret=True)
        text = content.strip() if content is not None else None
    if text is None:
        return None
    try:
        return parse_target(text)
    except ValueError as error:
        reader.fault(variable, str(error))
        return None


def _ca_file(reader: Reader, path: str | None) -> str | None:
    if path is None or reader.read_file("PROVIDER_REDIS_CA_FILE", path) is None:
        return None
    try:
        ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        reader.fault("PROVIDER_REDIS_CA_FILE", f"{path} holds no PEM certificates")
        return None
    return path
