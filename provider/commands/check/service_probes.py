"""Probes the services that the Provider uses: metadata store, operator service, gateways, Redis."""

import aiohttp

from provider.auth.redis_store import RedisNonceStore
from provider.commands.check.reach import Unreachable, get, host_of
from provider.commands.check.table import Finding, failed, passed, warned
from provider.errors import StoreError
from provider.redis.client import RedisClient
from provider.redis.config import RedisConfig
from provider.redis.health import check_health
from provider.redis.url import RedisTarget

# Not the hash of any data NFT, so a working store answers "not found".
_MADE_UP_DID = "did:op:" + "0" * 64


async def probe_metadata_store(
    session: aiohttp.ClientSession, url: str, *, timeout_seconds: float, proxy: str | None = None
) -> Finding:
    """Check that AQUARIUS_URL answers for a DID that does not exist."""
    what = f"metadata store ({host_of(url)})"
    path = f"{url.rstrip('/')}/api/aquarius/assets/ddo/{_MADE_UP_DID}"
    try:
        status, content_type = await get(session, path, timeout_seconds=timeout_seconds, proxy=proxy)
    except Unreachable as error:
        return failed(what, str(error), "AQUARIUS_URL: is it right, and the store running and reachable?")
    if status == 404 and "json" in content_type:
        return passed(what, "answers, and rejects a made-up DID")
    if status in (200, 404):
        return warned(what, f"HTTP {status}, not the answer of a metadata store", "AQUARIUS_URL: is the path right?")
    return failed(what, f"HTTP {status}", "AQUARIUS_URL: is it the base URL of an Aquarius or ocean-node?")


async def probe_optional(
    session: aiohttp.ClientSession,
    what: str,
    variable: str,
    url: str,
    *,
    timeout_seconds: float,
    proxy: str | None = None,
) -> Finding:
    """Check a service that only some assets need. Any answer will do; no answer is a warning."""
    what = f"{what} ({host_of(url)})"
    try:
        status, _ = await get(session, url, timeout_seconds=timeout_seconds, proxy=proxy)
    except Unreachable as error:
        return warned(what, str(error), f"{variable}: assets that need it will fail")
    if status >= 500:
        return warned(what, f"HTTP {status}", f"{variable}: the service reports an error")
    return passed(what, f"answers (HTTP {status})")


async def probe_gatekeeper(
    session: aiohttp.ClientSession,
    what: str,
    variable: str,
    url: str,
    *,
    timeout_seconds: float,
    proxy: str | None = None,
) -> Finding:
    """Check a service without whose answer every consumer is refused. Any answer will do, since its calls are POSTs."""
    what = f"{what} ({host_of(url)})"
    try:
        status, _ = await get(session, url, timeout_seconds=timeout_seconds, proxy=proxy)
    except Unreachable as error:
        return failed(what, str(error), f"{variable}: is it right? Without its answer consumers are refused with 503")
    if status >= 500:
        return failed(what, f"HTTP {status}", f"{variable}: consumers are refused with 503 until it works")
    return passed(what, f"answers (HTTP {status})")


_VARIABLE = "REDIS_CONNECTION"


async def probe_redis(redis: RedisConfig) -> list[Finding]:
    """Check the connection to Redis, and every reason why it could lose nonces. Writes one key of its own."""
    what = f"Redis ({_hosts(redis.target)})"
    client = RedisClient(
        redis.target, timeout_seconds=redis.timeout_seconds, wait_replicas=redis.wait_replicas, logs_outages=False
    )
    store = RedisNonceStore(client, prefix=redis.prefix)
    try:
        found = await check_health(client)
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
    advice = "docs/scaling.md explains what may happen"
    return [passed(what, detail), *(warned("Redis", warning, advice) for warning in found.warnings)]


def _hosts(target: RedisTarget) -> str:
    """Return hosts and ports; the rest of the URL may hold passwords."""
    return ", ".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in target.nodes)
