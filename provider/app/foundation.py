"""Builds the parts that decide about a purchase: facts of the chain, credentials and policies, file lists."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass

from provider.app.assets import open_asset_source
from provider.app.compute import build_environments
from provider.app.networks import build_networks
from provider.app.origins import Origins, build_origins
from provider.app.redis import Caches, Shared
from provider.assets.catalog import AssetSource, Catalog
from provider.cache import CacheLimits
from provider.chain.networks import Networks
from provider.compute.operator import Operator
from provider.config import Settings
from provider.crypto.accounts import Account
from provider.files.file_object import Seller
from provider.files.opener import FileListOpener
from provider.files.plaintext_cache import PlaintextCache
from provider.files.remote_documents import RemoteDocuments
from provider.handlers.downloads.purchase import Purchases
from provider.observability.metrics import Metrics
from provider.orders.lookup import OrderLookup, receipt_bytes
from provider.outgoing.sessions import Outgoing
from provider.policy.access_lists import AccessLists
from provider.policy.address_rule import AddressRule
from provider.policy.gate import Gate
from provider.policy.policy_server import PolicyServer
from provider.policy.publishers import Publishers
from provider.policy.rbac import RbacServer

# Claims that the operator's own servers agreed to lately.
_AGREED_ENTRIES = 10_000


@dataclass(frozen=True, slots=True)
class Foundation:
    """The parts that a server shares with a command that decides as a server does.

    `operator` is None without an operator service.
    """

    outgoing: Outgoing
    networks: Networks
    caches: Caches
    origins: Origins
    remote: RemoteDocuments
    source: AssetSource
    access_lists: AccessLists
    publishers: Publishers
    operator: Operator | None
    purchases: Purchases


async def open_foundation(
    settings: Settings,
    metrics: Metrics,
    held: AsyncExitStack,
    *,
    shared: Shared | None = None,
    index_here: bool = False,
    shared_directory: str | None = None,
) -> Foundation:
    """Open the parts; `held` closes them. `shared`: what hosts share. The rest as for `open_asset_source`.

    Raises StartError.
    """
    outgoing = Outgoing(settings.proxies)
    networks = await build_networks(settings, metrics, outgoing)
    for network in networks:
        held.push_async_callback(network.rpc.close)
    caches = Caches(metrics, shared)
    lookup = _lookup(settings, caches)
    origins = _origins(settings, networks, lookup, outgoing)
    held.callback(origins.close)
    held.push_async_callback(origins.sources.close)
    remote = _remote_documents(settings, origins)
    source = await open_asset_source(
        settings,
        metrics,
        networks,
        caches,
        outgoing,
        remote=remote,
        index_here=index_here,
        shared_directory=shared_directory,
        facts=None if shared is None else shared.store,
    )
    held.push_async_callback(source.close)
    access_lists = AccessLists(networks, cache=caches.make("access_list", settings.cache.state))
    publishers = _publishers(settings, access_lists, lookup)
    gate = _gate(settings, access_lists, outgoing)
    held.push_async_callback(gate.close)
    operator, environments = build_environments(settings, networks, caches, outgoing)
    if operator is not None:
        held.push_async_callback(operator.close)
    held.push_async_callback(environments.close)
    files = _file_lists(settings, metrics)
    held.callback(files.close)
    purchases = Purchases(
        catalog=Catalog(source, networks, publishers.check_asset),
        lookup=lookup,
        gate=gate,
        environments=environments,
        files=files,
        agreed=caches.make("policy", CacheLimits(_AGREED_ENTRIES, settings.links.policy_seconds)),
    )
    return Foundation(
        outgoing, networks, caches, origins, remote, source, access_lists, publishers, operator, purchases
    )


def _lookup(settings: Settings, caches: Caches) -> OrderLookup:
    """Order facts through caches."""
    limits = settings.cache
    return OrderLookup(
        states=caches.make("nft_state", limits.state),
        datatokens=caches.make("datatoken", limits.state),
        factory_nfts=caches.make("factory_nft", limits.state),
        owners=caches.make("nft_owner", limits.state),
        receipts=caches.make("receipt", limits.receipt, size_of=receipt_bytes),
        receipt_wait_seconds=settings.rpc.receipt_wait_seconds,
    )


def _origins(settings: Settings, networks: Networks, lookup: OrderLookup, outgoing: Outgoing) -> Origins:
    """The origins of files; who may sell those of a source is read from the chain."""

    async def answerable_for(seller: Seller) -> frozenset[str]:
        network = networks.get(seller.chain_id)
        owner, senders = await asyncio.gather(
            lookup.genuine_owner(network, seller.data_nft),
            lookup.document_senders(network, seller.data_nft, seller.metadata_tx_id),
        )
        return frozenset() if owner is None or not senders else senders | {owner}

    return build_origins(
        settings.upstream, settings.sources, networks=networks, answerable_for=answerable_for, outgoing=outgoing
    )


def _file_lists(settings: Settings, metrics: Metrics) -> FileListOpener:
    """Opens file lists, and counts and times that."""
    plaintexts = PlaintextCache(
        max_entries=settings.cache.files_entries,
        ttl_seconds=settings.cache.files_seconds,
    )
    metrics.caches.follow("files", plaintexts)
    return FileListOpener(
        allow_unbound=settings.security.allow_unbound_files,
        plaintexts=plaintexts,
        metrics=metrics.files,
    )


def _publishers(settings: Settings, access_lists: AccessLists, lookup: OrderLookup) -> Publishers:
    """Build the rule of whose assets are served here."""
    security = settings.security
    rule = AddressRule(security.authorized_publishers, security.authorized_publishers_list, access_lists)
    return Publishers(rule, lookup)


def _gate(settings: Settings, access_lists: AccessLists, outgoing: Outgoing) -> Gate:
    """The gate, with the operator's own servers if there are any."""
    access = settings.access
    rbac, policy = None, None
    if access.rbac_url is not None:
        rbac = RbacServer(
            access.rbac_url, access, account=Account.from_hex(settings.security.universal_key), outgoing=outgoing
        )
    if access.policy_url is not None:
        policy = PolicyServer(access.policy_url, access, outgoing=outgoing)
    return Gate(access_lists, rbac=rbac, policy=policy)


def _remote_documents(settings: Settings, origins: Origins) -> RemoteDocuments:
    """Fetches documents that are stored elsewhere."""
    return RemoteDocuments(
        origins.files,
        max_bytes=settings.metadata.max_document_bytes,
        timeout_seconds=settings.metadata.timeout_seconds,
    )
