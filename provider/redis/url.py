"""Parses REDIS_CONNECTION: which Redis to use and how to reach it (pure)."""

import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, unquote

Kind = Literal["single", "sentinel", "cluster"]
Address = tuple[str, int]
"""Host and port."""

_SCHEMES: dict[str, tuple[Kind, bool]] = {
    "redis": ("single", False),
    "rediss": ("single", True),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}
_PORTS: dict[Kind, int] = {"single": 6379, "sentinel": 26379, "cluster": 6379}
_NODE = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?", re.ASCII)
_DATABASE = re.compile(r"[0-9]{1,5}", re.ASCII)


@dataclass(frozen=True, slots=True)
class RedisTarget:
    """A Redis server, its Sentinels, or nodes of a cluster.

    `service`: the name under which the Sentinels know the master.
    `uses_tls`: TLS to every node and Sentinel.
    `ca_file`: trusted authorities; None for those of the system.
    `sentinel_password`: for the Sentinels only, which have users of their own.
    """

    kind: Kind
    nodes: tuple[Address, ...]
    service: str = ""
    database: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    uses_tls: bool = False
    ca_file: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)


def parse_target(text: str) -> RedisTarget:
    """Parse a URL. Raises ValueError; its text says what is wrong and repeats nothing of the URL.

    `redis://[user[:password]@]host[:port][/database]`, `redis+sentinel://host:port,host:port/service[/database]`,
    `redis+cluster://host:port,host:port`; `rediss…` is the same over TLS. Users and passwords are percent-encoded.
    """
    scheme, found, rest = text.partition("://")
    if not found or scheme.lower() not in _SCHEMES:
        raise ValueError(f"must begin with {'://, '.join(_SCHEMES)}://")
    kind, uses_tls = _SCHEMES[scheme.lower()]
    rest, _, query = rest.partition("?")
    authority, _, path = rest.rpartition("@")[2].partition("/")
    username, password = _user(rest)
    service, database = _path(kind, path, query)
    return RedisTarget(
        kind=kind,
        nodes=_nodes(kind, authority),
        service=service,
        database=database,
        username=username,
        password=password,
        uses_tls=uses_tls,
    )


def _user(rest: str) -> tuple[str | None, str | None]:
    credentials, found, _ = rest.rpartition("@")
    if not found:
        return None, None
    if "/" in credentials:
        raise ValueError("has characters in user or password that must be percent-encoded")
    name, _, password = credentials.partition(":")
    if not password:
        raise ValueError("names a user without a password")
    return unquote(name) or None, unquote(password)


def _nodes(kind: Kind, authority: str) -> tuple[Address, ...]:
    nodes: list[Address] = []
    for part in authority.split(","):
        match = _NODE.fullmatch(part.strip())
        if match is None:
            raise ValueError("must name each node as host or host:port")
        port = int(match["port"] or _PORTS[kind])
        if not 0 < port < 65536:
            raise ValueError("has a port outside 1 to 65535")
        nodes.append((match["host"].strip("[]"), port))
    if kind == "single" and len(nodes) > 1:
        raise ValueError("names several nodes: use redis+sentinel:// or redis+cluster://")
    return tuple(dict.fromkeys(nodes))


def _path(kind: Kind, path: str, query: str) -> tuple[str, int]:
    """Return the service and the database."""
    parts = [unquote(part) for part in path.split("/") if part]
    service = parts.pop(0) if kind == "sentinel" and parts else ""
    if kind == "sentinel" and not service:
        raise ValueError("must name the service after the Sentinels, as in redis+sentinel://host:26379/mymaster")
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name != "db":
            raise ValueError("has a parameter other than db")
        parts.append(value)
    if len(parts) > 1 or not all(_DATABASE.fullmatch(part) for part in parts):
        raise ValueError("must end with at most the number of a database")
    database = int(parts[0]) if parts else 0
    if kind == "cluster" and database:
        raise ValueError("names a database, but a cluster has only the database 0")
    return service, database
