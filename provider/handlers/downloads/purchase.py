"""Checks what a proven consumer has bought. Downloads and links share these checks."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from provider.assets.access import check_state
from provider.assets.catalog import Catalog
from provider.assets.consumer_parameters import check_parameters
from provider.assets.ddo import Asset, Service
from provider.cache import FactCache
from provider.chain.networks import Network
from provider.compute.environments import Environments
from provider.errors import OrderError, ServiceTypeRefused, named_network
from provider.files.file_object import FileObject
from provider.files.opener import FileListOpener
from provider.files.userdata import Userdata
from provider.handlers.downloads.file_params import read_userdata
from provider.orders.check import Order, OrderFacts, check_order, parse_tx_id
from provider.orders.lookup import OrderLookup
from provider.policy.gate import DOWNLOAD, Gate

# 9999-12-31T23:59:59Z. Publishers choose timeouts, and contracts of strangers the times of their events.
_LAST_SECOND = 253_402_300_799


@dataclass(frozen=True, slots=True)
class Claim:
    """What a consumer claims to have bought. Texts are as received.

    Attributes:
        userdata: user data for the origin, an object or JSON text.
        policy_data: the request's `policyServer` value.
    """

    did: str
    service_id: str
    order_tx_id: str
    userdata: object = field(default=None, repr=False)
    policy_data: object = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Purchase:
    """A service that a consumer may use now, and the order that permits it."""

    network: Network
    asset: Asset
    service: Service
    order: Order
    userdata: Userdata = field(repr=False)

    @property
    def ends_at(self) -> int | None:
        """When the order ends, in unix seconds; None for never, or for a time that dates cannot tell."""
        timeout_seconds = self.service.timeout_seconds
        ends_at = self.order.started_at + timeout_seconds
        return ends_at if timeout_seconds and ends_at <= _LAST_SECOND else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchases:
    """Checks claims. `agreed`: remembers for a while which claims the operator's own servers accepted."""

    catalog: Catalog
    lookup: OrderLookup
    gate: Gate
    environments: Environments
    files: FileListOpener
    agreed: FactCache[bytes, bool]

    async def check(
        self, claim: Claim, consumer: str, *, enter: Callable[[str], None], again: bool = False
    ) -> Purchase:
        """The purchase that `claim` names, of `consumer` (checksummed).

        Roles, the asset's state and credentials, the order and the user data are checked each time.

        Args:
            claim: what was asked for.
            consumer: who asks, proven.
            enter: told when a step begins.
            again: RBAC and policy servers that agreed to the same claim within the lifetime of `agreed` are not asked.

        Raises:
            ProviderError: the first check that fails, or a part that cannot answer.
        """
        enter("asset")
        if not again:
            await self.gate.ask_role("access", consumer, claim.did, claim.service_id)
        asset, network = await self.catalog.find(claim.did)
        with named_network(network.name):
            service = asset.service(claim.service_id)
            enter("order")
            order = await self._check_order(network, asset, service, claim, consumer, again=again)
            enter("files")
            userdata = read_userdata(claim.userdata)
            check_parameters(service.consumer_parameters, userdata.values or None, field="userdata")
        return Purchase(network, asset, service, order, userdata)

    def file(self, purchase: Purchase, index: str) -> FileObject:
        """Return the file at a wire index. Raises FilesUndecryptable, FileIndexOutOfRange, FileObjectInvalid."""
        return self.files.file(purchase.network.account, purchase.asset, purchase.service, index)

    def count_files(self, purchase: Purchase) -> int:
        """Return the number of files of the service. Raises FilesUndecryptable."""
        return len(self.files.open(purchase.network.account, purchase.asset, purchase.service))

    async def _check_order(
        self, network: Network, asset: Asset, service: Service, claim: Claim, consumer: str, *, again: bool
    ) -> Order:
        tx_id = parse_tx_id(claim.order_tx_id)
        state, facts = await self.lookup.facts(
            network, data_nft=asset.data_nft, datatoken=service.datatoken, tx_id=tx_id
        )
        check_state(state)
        await self._admit(network, asset, service, claim, consumer, again=again)
        await self.check_type(service, consumer)
        return self.order(network, service, facts, tx_id, consumer)

    async def check_type(self, service: Service, consumer: str) -> None:
        """Raise ServiceTypeRefused for files that only the jobs of an environment may have."""
        if service.type != "access" and not await self.environments.is_consumer(consumer):
            raise ServiceTypeRefused(f"Service with index={service.id} is not an access service.")

    def order(self, network: Network, service: Service, facts: OrderFacts, tx_id: str, consumer: str) -> Order:
        """The order that lets `consumer` have `service` now. Raises OrderError in the sentence that clients show."""
        try:
            return check_order(
                facts, service, tx_id=tx_id, sender=consumer, provider=network.account.address, now=time.time()
            )
        except OrderError as error:
            raise error.of_transaction(tx_id, network.name) from error

    async def _admit(
        self, network: Network, asset: Asset, service: Service, claim: Claim, consumer: str, *, again: bool
    ) -> None:
        async def ask_servers() -> bool:
            await self.gate.ask_role("access", consumer, claim.did, claim.service_id)
            await self.gate.admit(network, asset, service, consumer, action=DOWNLOAD, policy_data=claim.policy_data)
            return True

        if again:
            await self.gate.admit(network, asset, service, consumer, action=None)
            if self.gate.asks_servers:
                await self.agreed.get(_key(claim, consumer), ask_servers)
            return
        await self.gate.admit(network, asset, service, consumer, action=DOWNLOAD, policy_data=claim.policy_data)
        if self.gate.asks_servers:
            self.agreed.put(_key(claim, consumer), True)


def _key(claim: Claim, consumer: str) -> bytes:
    """Return a key made from everything that the operator's servers learn about a claim."""
    told = (consumer, claim.did, claim.service_id, claim.order_tx_id, claim.policy_data)
    return hashlib.sha256(repr(told).encode()).digest()
