"""Settings of what several hosts share. The URL holds a password and is never shown."""

import re
from dataclasses import dataclass, field
from typing import ClassVar

from provider.redis.url import RedisTarget
from provider.setting import BadSettingError, boolean, integer, or_default, plain_text, seconds, special, text

_DEFAULT_PREFIX = "ocean-provider"
# Without braces, which would be the hash tag of a cluster, and without what globs and logs take for something else.
_PREFIX = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)


def _prefix(value: object) -> str:
    found = plain_text(value)
    if not _PREFIX.fullmatch(found):
        raise BadSettingError("must be 1 to 64 letters, digits and ._:-")
    return found


@dataclass(frozen=True, slots=True)
class RedisConnection:
    """Where Redis is and how to log in, as the operator wrote it; `provider/config/load.py` makes a target of it."""

    SECTION: ClassVar = "redis"

    connection: str | None = text(
        "REDIS_CONNECTION",
        help="redis://user:password@host:6379/0, redis+sentinel://host:26379,host:26379/service/0 or "
        'redis+cluster://host:6379,host:6379. For TLS write "rediss" instead of "redis". Unset: one host, and nonces '
        "are in the file of the section storage.",
        example="redis://redis:6379",
        secret=True,
    )
    connection_file: str | None = text(
        "REDIS_CONNECTION_FILE",
        help="A file that holds the same, instead.",
        example="/run/secrets/redis",
    )
    ca_file: str | None = text(
        "PROVIDER_REDIS_CA_FILE",
        help="PEM file of the certificate authorities to trust over TLS. Default: the system's.",
        example="/etc/ssl/redis-ca.pem",
    )
    sentinel_password: str | None = text(
        "PROVIDER_REDIS_SENTINEL_PASSWORD",
        help="Password of the Sentinels themselves, if they have one.",
        example="secret",
        secret=True,
    )


@dataclass(frozen=True, slots=True)
class RedisConfig:
    """The Redis that hosts share. `prefix` begins every key; `wait_replicas` 0 waits for none."""

    SECTION: ClassVar = "redis"

    target: RedisTarget = field(repr=False)
    prefix: str = special(
        "PROVIDER_REDIS_PREFIX",
        or_default(_DEFAULT_PREFIX, _prefix),
        _DEFAULT_PREFIX,
        help="Every key begins with it. Hosts that share must have the same.",
    )
    timeout_seconds: float = seconds(
        "PROVIDER_REDIS_TIMEOUT_SECONDS",
        2,
        minimum=0.05,
        maximum=60,
        help="Limit of one exchange with Redis, connecting included. After that, requests are refused with 503.",
    )
    wait_replicas: int = integer(
        "PROVIDER_REDIS_WAIT_REPLICAS",
        0,
        minimum=0,
        maximum=100,
        help="Number of replicas that must acknowledge a nonce before it counts as used. 0 waits for none.",
    )
    shares_facts: bool = boolean(
        "PROVIDER_REDIS_SHARE_FACTS",
        True,
        key="share_facts",
        help="Also share what was read from chains, signed: receipts, states, and new blocks for the metadata index. "
        "File lists are never shared.",
    )
