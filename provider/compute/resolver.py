"""Resolves the items of a compute request to services that the consumer may use in this job (sections 10.2, 10.3).

Decides everything but orders. Each refusal names the item that it is about.
"""

from dataclasses import dataclass, field

from provider.assets.access import check_state, check_timeout
from provider.assets.catalog import Catalog
from provider.compute.checksums import AlgorithmChecksums
from provider.compute.gather_limited import gather_limited
from provider.compute.items import ALGORITHM, Item, ResolvedItem
from provider.compute.trust import (
    AlgorithmIdentity,
    check_checksums,
    check_raw,
    demands_files_checksum,
    demands_owner,
    trusted_entries,
)
from provider.errors import (
    AssetError,
    AssetNotFound,
    ComputeRefused,
    FilesUndecryptable,
    NotAnAlgorithm,
    PolicyRefused,
    ServiceNotFound,
    UnsupportedChain,
)
from provider.files.opener import FileListOpener
from provider.orders.lookup import OrderLookup
from provider.policy.gate import START_COMPUTE, Gate


@dataclass(frozen=True, slots=True)
class Requester:
    """The consumer (checksummed address), and the purpose: to start a job, with orders, or only to get a quote."""

    consumer: str
    starts: bool
    policy_data: object = field(default=None, repr=False)


class ItemResolver:
    """Finds and checks the services that items name."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        lookup: OrderLookup,
        gate: Gate,
        files: FileListOpener,
        checksums: AlgorithmChecksums,
    ) -> None:
        self._catalog = catalog
        self._lookup = lookup
        self._gate = gate
        self._files = files
        self._checksums = checksums

    async def datasets(
        self, items: tuple[Item, ...], algorithm: ResolvedItem | None, requester: Requester
    ) -> tuple[ResolvedItem, ...]:
        """Resolve all datasets. The first refusal, in their order, counts. `algorithm` is None for a raw one."""

        async def look_at(index: int) -> ResolvedItem:
            return await self._dataset(items[index], algorithm, requester, is_main=index == 0)

        return tuple(await gather_limited(look_at, range(len(items))))

    async def _dataset(
        self, item: Item, algorithm: ResolvedItem | None, requester: Requester, *, is_main: bool
    ) -> ResolvedItem:
        resource = item.resource
        require_texts(item, ordered=requester.starts)
        resolved = await self._find(item)
        await self._admit(resolved, requester, resource)
        kind = resolved.service.type
        if kind not in ("access", "compute"):
            raise ComputeRefused(f"{resource}.serviceId", "service_not_access_compute")
        if is_main and kind != "compute":
            raise ComputeRefused(f"{resource}.serviceId", "main_service_compute")
        if kind == "compute":
            if not self.is_opened_here(resolved):
                raise ComputeRefused(f"{resource}.serviceId", "compute_services_not_in_same_provider")
            await self._check_trust(resolved, algorithm)
        return resolved

    async def algorithm_to_quote(self, item: Item) -> ResolvedItem:
        """Resolve the published algorithm of initializeCompute. Raises NotAnAlgorithm, ComputeRefused."""
        require_texts(item, ordered=False)
        resolved = await self._find(item)
        if resolved.asset.metadata_type != ALGORITHM:
            raise NotAnAlgorithm
        return resolved

    async def algorithm_to_run(self, item: Item, requester: Requester) -> ResolvedItem:
        """Resolve the published algorithm of a job. Raises ComputeRefused."""
        require_texts(item, ordered=False)
        try:
            resolved = await self._find(item)
        except ComputeRefused as error:
            raise ComputeRefused(ALGORITHM, "file_unavailable", detail=str(error)) from error
        if resolved.asset.metadata_type != ALGORITHM:
            raise ComputeRefused(ALGORITHM, "not_algo")
        await self._admit(resolved, requester, "algorithm.credentials")
        if not self.is_opened_here(resolved):
            compute = resolved.service.type == "compute"
            raise ComputeRefused(ALGORITHM, "compute_services_not_in_same_provider" if compute else "file_unavailable")
        return resolved

    async def _admit(self, resolved: ResolvedItem, requester: Requester, resource: str) -> None:
        """Check that the item can be consumed (section 8.2), for `resource`. Keep a policy server's refusal."""
        network, asset = resolved.network, resolved.asset
        try:
            check_state(await self._lookup.nft_state(network, asset.data_nft))
            await self._gate.admit(
                network,
                asset,
                resolved.service,
                requester.consumer,
                action=START_COMPUTE if requester.starts else None,
                policy_data=requester.policy_data,
            )
        except PolicyRefused:
            raise
        except AssetError as error:
            raise ComputeRefused(resource, str(error), detail=error.detail) from error

    def is_opened_here(self, resolved: ResolvedItem) -> bool:
        """Tell whether this Provider can open the service's files."""
        try:
            self._files.open(resolved.network.account, resolved.asset, resolved.service)
        except FilesUndecryptable:
            return False
        return True

    async def _find(self, item: Item) -> ResolvedItem:
        try:
            asset, network = await self._catalog.find(item.did)
            service = asset.service(item.service_id)
            check_timeout(service)
            return ResolvedItem(item, asset, network, service)
        except AssetNotFound as error:
            raise ComputeRefused(_field(item, "documentId"), "did_not_found") from error
        except ServiceNotFound as error:
            raise ComputeRefused(f"{item.resource}.serviceId", "not_found") from error
        except (AssetError, UnsupportedChain) as error:
            raise ComputeRefused(item.resource, str(error), detail=error.detail) from error

    async def _check_trust(self, dataset: ResolvedItem, algorithm: ResolvedItem | None) -> None:
        options, resource = dataset.service.compute, dataset.item.resource
        if algorithm is None:
            check_raw(options, resource)
            return
        asset, owner = algorithm.asset, algorithm.asset.nft_owner
        if owner is None and demands_owner(options):
            owner = await self._lookup.nft_owner(algorithm.network, asset.data_nft)
        identity = AlgorithmIdentity(asset.did, algorithm.service.id, asset.data_nft, owner)
        entries = trusted_entries(options, identity, resource)
        files = await self._checksums.files(algorithm) if demands_files_checksum(entries) else None
        check_checksums(entries, files=files, container=self._checksums.container(algorithm), resource=resource)


def require_texts(item: Item, *, ordered: bool) -> None:
    """Check that an item has the required fields. Raises ComputeRefused."""
    if not item.did:
        raise ComputeRefused(_field(item, "documentId"), "missing")
    if ordered and not item.tx_id:
        raise ComputeRefused(f"{item.resource}.transferTxId", "missing")
    if not item.service_id:
        raise ComputeRefused(f"{item.resource}.serviceId", "missing")


def _field(item: Item, name: str) -> str:
    """wire: a missing algorithm is reported as `algorithm` (`provider-api.md` section 10.2)."""
    return item.resource if item.resource == ALGORITHM else f"{item.resource}.{name}"
