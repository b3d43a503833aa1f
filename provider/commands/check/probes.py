"""Settings in, findings out: which probes there are, run all at once, each within its time."""

import asyncio
import time
from collections.abc import Awaitable, Mapping
from pathlib import Path

import aiohttp

from provider import USER_AGENT
from provider.assets.index_store import IndexStore, index_path
from provider.auth.sqlite_store import SqliteNonceStore
from provider.chain.networks import ChainAddresses, bundled_address_book, load_address_book
from provider.commands.check.chain_probes import ChainProbe
from provider.commands.check.host_probes import probe_disk, probe_listener, probe_store
from provider.commands.check.redis_probe import probe_redis
from provider.commands.check.service_probes import probe_gatekeeper, probe_metadata_store, probe_optional
from provider.commands.check.table import Finding, failed, passed, warned
from provider.commands.check.tls_probe import probe_certificate
from provider.config import Settings
from provider.crypto.accounts import Account
from provider.outgoing.sessions import Outgoing

# A chain is asked four times in a row at most, each within the RPC timeout; nothing takes longer than this.
LONGEST_SECONDS = 60.0


async def run_probes(settings: Settings) -> list[Finding]:
    """Everything that was found, in a fixed order. Raises nothing for whatever does not work."""
    findings = [warned("settings", warning, "correct its name, or unset it") for warning in settings.warnings]
    universal = Account.from_hex(settings.security.universal_key).address
    findings.append(passed("universal key", f"its address is {universal}"))
    async with Outgoing(settings.proxies).session(headers={"User-Agent": USER_AGENT}) as session:
        groups = [
            *_chains(settings, session),
            *_services(settings, session),
            ("stores", _stores(settings)),
            ("listeners", _listeners(settings)),
        ]
        for found in await asyncio.gather(*(_in_time(what, group) for what, group in groups)):
            findings += found
    return findings


async def _in_time(what: str, group: Awaitable[list[Finding]]) -> list[Finding]:
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            return await group
    except TimeoutError:
        return [failed(what, f"no answer within {LONGEST_SECONDS:g} s", "try again, or look at the part itself")]


def _chains(settings: Settings, session: aiohttp.ClientSession) -> list[tuple[str, Awaitable[list[Finding]]]]:
    try:
        book = load_address_book(settings.addresses_text) if settings.addresses_text else bundled_address_book()
    except ValueError as error:
        return [("address file", _found(failed("address file", str(error), "ADDRESS_FILE: correct the file")))]
    return [("chain", _chain_probe(settings, session, index, book).run()) for index in range(len(settings.chains))]


def _chain_probe(
    settings: Settings, session: aiohttp.ClientSession, index: int, book: Mapping[int, ChainAddresses]
) -> ChainProbe:
    metadata = settings.metadata
    return ChainProbe(
        chain=settings.chains[index],
        book=book,
        session=session,
        proxies=settings.proxies,
        timeout_seconds=settings.rpc.timeout_seconds,
        index_blocks=None if metadata.aquarius_url else metadata.index_batch_blocks,
        pays_proofs=settings.proofs.on_chain,
        now=time.time(),
    )


def _services(settings: Settings, session: aiohttp.ClientSession) -> list[tuple[str, Awaitable[list[Finding]]]]:
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
            # Gateways are origins of files, which never take a proxy.
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


async def _stores(settings: Settings) -> list[Finding]:
    path = Path(settings.storage_path)
    if settings.redis is not None:
        found = await probe_redis(settings.redis)
    else:
        nonces = SqliteNonceStore(path)
        found = [await probe_store("nonce store", path, nonces.check)]
        await nonces.close()
    if settings.metadata.aquarius_url is None:
        index = IndexStore(index_path(path))
        found.append(await probe_store("metadata index", index_path(path), index.check))
        await index.close()
    return [*found, probe_disk(path)]


async def _listeners(settings: Settings) -> list[Finding]:
    server = settings.server
    # In a thread: resolving the listener's name may take a while.
    return [
        await asyncio.to_thread(probe_listener, "listener", "OCEAN_PROVIDER_URL", server.listener),
        await asyncio.to_thread(probe_listener, "admin listener", "PROVIDER_ADMIN_URL", server.admin),
        probe_certificate(server.tls, now=time.time()),
    ]


async def _listed(probe: Awaitable[Finding]) -> list[Finding]:
    return [await probe]


async def _found(finding: Finding) -> list[Finding]:
    return [finding]


async def _passed(what: str, detail: str) -> Finding:
    return passed(what, detail)
