"""Tries the Redis that hosts share: reachable, writable, and fit to keep nonces."""

from provider.auth.redis_store import RedisNonceStore
from provider.commands.check.table import Finding, failed, passed, warned
from provider.errors import StoreError
from provider.redis.client import RedisLink
from provider.redis.config import RedisConfig
from provider.redis.health import survey
from provider.redis.url import RedisTarget

_VARIABLE = "REDIS_CONNECTION"


async def probe_redis(redis: RedisConfig) -> list[Finding]:
    """One finding for the connection, one for each reason why nonces could be forgotten. Writes one key of its own."""
    what = f"Redis ({_hosts(redis.target)})"
    link = RedisLink(
        redis.target, timeout_seconds=redis.timeout_seconds, wait_replicas=redis.wait_replicas, tells=False
    )
    store = RedisNonceStore(link, prefix=redis.prefix)
    try:
        found = await survey(link)
        await store.check()
    except StoreError as error:
        detail = (error.detail or "").removeprefix("Redis: ")
        return [failed(what, detail, f"{_VARIABLE}: requests with a nonce are refused with 503 until it works")]
    finally:
        await store.close()
    servers = f"{found.servers} servers" if found.servers > 1 else f"version {found.version}"
    detail = (
        f"answers and can be written, {servers}, {found.replicas} {'replica' if found.replicas == 1 else 'replicas'}"
    )
    advice = "docs/scaling.md tells what may happen"
    return [passed(what, detail), *(warned("Redis", warning, advice) for warning in found.warnings)]


def _hosts(target: RedisTarget) -> str:
    """Hosts and ports; the rest of the URL may hold passwords."""
    return ", ".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in target.nodes)
