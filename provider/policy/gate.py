"""The one gate that everybody who consumes passes: roles, the asset's credentials, the operator's policy.

With nothing configured and no access list in the asset nothing is awaited that takes time.
"""

from provider.assets.access import access_lists_of, check_credentials, check_enabled, check_timeout
from provider.assets.credentials import NO_MEMBERSHIPS
from provider.assets.ddo import Asset, Service
from provider.chain.networks import Network
from provider.policy.access_lists import AccessLists
from provider.policy.policy_server import PolicyServer
from provider.policy.rbac import RbacQuestion, RbacServer, Subject

DOWNLOAD, START_COMPUTE = "download", "startCompute"
"""Actions that a policy server decides about. For a quote it is not asked, as in ocean-node."""


class Gate:
    """`rbac` and `policy` are None where the operator has none; a policy server stands in for all credentials."""

    def __init__(
        self, access_lists: AccessLists, *, rbac: RbacServer | None = None, policy: PolicyServer | None = None
    ) -> None:
        self._access_lists = access_lists
        self._rbac = rbac
        self._policy = policy

    async def ask_role(self, event: str, consumer: str, did: str, service_id: str) -> None:
        """Has the consumer the role for an `initialize` or `access` event? Before any look at the chain.

        Raises RbacRefused, RbacUnavailable.
        """
        if self._rbac is not None:
            await self._rbac.check(RbacQuestion(event, consumer, (Subject(did, service_id),)))

    async def ask_role_for_compute(
        self,
        consumer: str,
        *,
        datasets: tuple[Subject, ...] = (),
        algorithms: tuple[Subject, ...] = (),
        additional_datasets: tuple[Subject, ...] = (),
    ) -> None:
        """As `ask_role`, for start, stop and delete of a job; what the request does not name is left out [K36]."""
        if self._rbac is not None:
            await self._rbac.check(RbacQuestion("compute", consumer, datasets, algorithms, additional_datasets))

    async def admit(
        self,
        network: Network,
        asset: Asset,
        service: Service,
        consumer: str,
        *,
        action: str | None,
        policy_data: object = None,
    ) -> None:
        """May `consumer` (checksummed) have this service? The state on chain and the order are not looked at here.

        `action`: DOWNLOAD, START_COMPUTE, or None for a quote. `policy_data`: the request's `policyServer` value.
        Raises AssetMalformed, ServiceMalformed, AccessDenied, ChainError, PolicyRefused, PolicyServerUnavailable.
        """
        check_enabled(asset)
        check_timeout(service)
        if self._policy is not None:
            if action is not None:
                await self._policy.check_service(
                    action, asset, service, consumer, provider=network.account.address, data=policy_data
                )
            return
        lists = access_lists_of(asset, service)
        memberships = await self._access_lists.memberships(lists, consumer) if lists else NO_MEMBERSHIPS
        check_credentials(asset, service, consumer, memberships)

    async def admit_encryption(self, network: Network, consumer: str, *, policy_data: object = None) -> None:
        """May something be encrypted for the named address? Raises PolicyRefused, PolicyServerUnavailable."""
        if self._policy is not None:
            await self._policy.check_encrypt(consumer, provider=network.account.address, data=policy_data)

    async def close(self) -> None:
        """Close idle connections."""
        for server in (self._rbac, self._policy):
            if server is not None:
                await server.close()
