"""Probes the services that the Provider uses: metadata store, operator service, gateways, Redis."""

from collections.abc import Awaitable

import aiohttp

from provider.auth.redis_store import RedisNonceStore
from provider.commands.check.reach import Unreachable, get, host_of
from provider.commands.check.table import Finding, failed, passed, warned
from provider.config import Settings
from provider.errors import StoreError
from provider.redis.client import RedisClient
from provider.redis.config import RedisConfig
from provider.redis.health import check_health
from provider.redis.url import RedisTarget

# Not the hash of any data NFT, so a working store answers "not found".
_MADE_UP_DID = "did:op:" + "0" * 64


def probe_services(settings: Settings, session: aiohttp.ClientSession) -> list[tuple[str, Awaitable[list[Finding]]]]:
    """Return the name and the check of each service that the settings name, Redis excepted."""
    metadata, upstream, proxies = settings.metadata, settings.upstream, settings.proxies
    store = (
        probe_metadata_store(
            session,
            metadata.aquarius_url,
            timeout_seconds=metadata.timeout_seconds,
            proxy=proxies.of(metadata.aquarius_url),
        )
        if metadata.aquarius_url
        else _passed("metadata store", "none: metadata is read from the chain")
    )
    services: list[tuple[str, Awaitable[list[Finding]]]] = [("metadata store", _listed(store))]
    for what, variable, url in (
        ("operator service", "OPERATOR_SERVICE_URL", settings.compute.operator_service_url),
        *(("IPFS gateway", "IPFS_GATEWAY", url) for url in upstream.ipfs_gateways),
        *(("Arweave gateway", "ARWEAVE_GATEWAY", url) for url in upstream.arweave_gateways),
    ):
        if url:
            # Gateways are origins of files, which never use a proxy.
            proxy = proxies.of(url) if variable == "OPERATOR_SERVICE_URL" else None
            probe = probe_optional(
                session, what, variable, url, timeout_seconds=upstream.first_byte_timeout_seconds, proxy=proxy
            )
            services.append((what, _listed(probe)))
    for what, variable, url in (
        ("RBAC server", "RBAC_SERVER_URL", settings.access.rbac_url),
        ("policy server", "POLICY_SERVER_URL", settings.access.policy_url),
    ):
        if url:
            probe = probe_gatekeeper(
                session,
                what,
                variable,
                url,
                timeout_seconds=settings.access.timeout_seconds,
                proxy=proxies.of(url),
            )
            services.append((what, _listed(probe)))
    return services


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


async def _listed(probe: Awaitable[Finding]) -> list[Finding]:
    return [await probe]


async def _passed(what: str, detail: str) -> Finding:
    return passed(what, detail)
