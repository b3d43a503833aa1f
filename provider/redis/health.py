"""Checks whether Redis is fit to hold nonces: does it evict keys when full, and does it survive a restart?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from provider.errors import StoreError
from provider.redis.client import RedisClient
from provider.redis.connection import Reply
from provider.redis.errors import error_code, reason_of
from provider.wire.text import digits

OLDEST_VERSION = (5, 0)
# From 5.0 on, the effects of scripts are replicated, which allows TIME in a script (leases).
_SAFE_POLICY = "noeviction"


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The state of all servers that take writes.

    `fatal`: why they must not hold nonces; empty if they may.
    `flushes`: number of FLUSHALL and FLUSHDB since the servers started or their statistics were reset.
    `evictions`: keys evicted for lack of memory, since then; not counted if the policy evicts only keys that expire.
    """

    version: str
    servers: int
    replicas: int
    fatal: str
    warnings: tuple[str, ...]
    flushes: int = 0
    evictions: int = 0

    def has_lost_keys_since(self, before: "HealthReport") -> bool:
        """Tell whether a server was emptied, or evicted keys, between the two reports."""
        return self.flushes > before.flushes or self.evictions > before.evictions


async def check_health(client: RedisClient) -> HealthReport:
    """Examine every server that takes writes. Raises StoreError when one does not answer or refuses the question."""
    found = await client.ask_everywhere(("INFO",), ("INFO", "commandstats"), ("CONFIG", "GET", "appendfsync"))
    facts = [_facts(info) | _facts(commands) for info, commands, _ in found]
    syncs = [_value(fsync) for _, _, fsync in found]
    return judge(facts, syncs)


def judge(facts: Sequence[Mapping[str, str]], syncs: Sequence[str | None]) -> HealthReport:
    """Make the report from each server's INFO and, where it may be read, its appendfsync (pure)."""
    fatal = [text for server in facts if (text := _fatal(server))]
    warnings = [text for server, fsync in zip(facts, syncs, strict=True) for text in _warnings(server, fsync)]
    return HealthReport(
        version=facts[0].get("redis_version", "?") if facts else "?",
        servers=len(facts),
        replicas=min((digits(server.get("connected_slaves", "")) or 0 for server in facts), default=0),
        fatal=fatal[0] if fatal else "",
        warnings=tuple(dict.fromkeys(warnings)),
        flushes=sum(_calls(server, command) for server in facts for command in ("flushall", "flushdb")),
        evictions=sum(_number(server.get("evicted_keys", "")) for server in facts if not _drops_expiring(server)),
    )


def _drops_anything(server: Mapping[str, str]) -> bool:
    return server.get("maxmemory_policy", "").startswith("allkeys-")


def _drops_expiring(server: Mapping[str, str]) -> bool:
    return server.get("maxmemory_policy", "").startswith("volatile-")


def _calls(server: Mapping[str, str], command: str) -> int:
    """How often a command ran: `calls=3,usec=…`."""
    return _number(server.get(f"cmdstat_{command}", "").partition(",")[0].removeprefix("calls="))


def _number(text: str) -> int:
    return digits(text) or 0


def _fatal(server: Mapping[str, str]) -> str:
    if _version(server) < OLDEST_VERSION:
        return f"version {server.get('redis_version', '?')} is too old: 5.0 or later is needed"
    policy = server.get("maxmemory_policy", "")
    if _drops_anything(server) and server.get("maxmemory", "0") != "0":
        return (
            f"maxmemory-policy {policy} evicts nonces when memory is full, and an evicted nonce can be used again: "
            f"set it to {_SAFE_POLICY}"
        )
    return ""


def _warnings(server: Mapping[str, str], fsync: str | None) -> list[str]:
    found = []
    policy = server.get("maxmemory_policy", "")
    if _drops_anything(server):
        found.append(f"maxmemory-policy {policy} would evict nonces once maxmemory is set: {_SAFE_POLICY} is safe")
    if _drops_expiring(server):
        found.append(
            f"maxmemory-policy {policy} may evict token revocations when memory is full: {_SAFE_POLICY} is safe"
        )
    if server.get("aof_enabled") == "0":
        found.append("appendonly is off: nonces since the last snapshot can be used again after a restart")
    elif fsync is not None and fsync != "always":
        found.append(f"appendfsync {fsync}: the most recent nonces can be used again after a power cut; always is safe")
    return found


def _facts(info: Reply) -> dict[str, str]:
    if error_code(info):
        raise StoreError(detail=f"Redis: {reason_of(info, 0)}")
    text = info.decode("utf-8", "replace") if isinstance(info, bytes) else ""
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def _value(reply: Reply) -> str | None:
    """Return the value of CONFIG GET, which hosted services and ACLs often forbid."""
    if isinstance(reply, list) and len(reply) == 2 and isinstance(reply[1], bytes):
        return reply[1].decode("utf-8", "replace")
    return None


def _version(server: Mapping[str, str]) -> tuple[int, ...]:
    parts = [digits(part, max_chars=9) for part in server.get("redis_version", "").split(".")[:2]]
    known = tuple(part for part in parts if part is not None)
    return known if len(known) == len(parts) else OLDEST_VERSION
