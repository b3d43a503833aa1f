"""The gate that every consumer passes: roles, the asset's credentials, the operator's policy.

If nothing is configured and the asset has no access list, nothing here takes time.
"""

from provider.assets.access import access_lists_of, check_credentials, check_enabled, check_timeout
from provider.assets.credentials import NO_MEMBERSHIPS
from provider.assets.ddo import Asset, Service
from provider.chain.networks import Network
from provider.errors import RouteNotFound
from provider.policy.access_lists import AccessLists
from provider.policy.policy_server import PolicyServer
from provider.policy.rbac import RbacQuestion, RbacServer, Subject

DOWNLOAD, START_COMPUTE = "download", "startCompute"
"""Actions that a policy server decides about. It is not asked about a quote, as in ocean-node."""


class Gate:
    """Decides who may consume. `rbac` and `policy` may be None; a policy server replaces all credentials."""

    def __init__(
        self, access_lists: AccessLists, *, rbac: RbacServer | None = None, policy: PolicyServer | None = None
    ) -> None:
        self._access_lists = access_lists
        self._rbac = rbac
        self._policy = policy

    @property
    def asks_servers(self) -> bool:
        """True if an RBAC or a policy server must be asked for a decision."""
        return self._rbac is not None or self._policy is not None

    async def ask_role(self, event: str, consumer: str, did: str, service_id: str) -> None:
        """Check the consumer's role for an `initialize` or `access` event, before the chain is looked at.

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
        """Check the role for start, stop or delete of a job. Fields that the request does not name are left out [K36].

        Raises RbacRefused, RbacUnavailable.
        """
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
        """Check that `consumer` (checksummed) may have this service. The state on chain and the order are checked
        elsewhere.

        `action`: DOWNLOAD, START_COMPUTE, or None for a quote.
        `policy_data`: the request's `policyServer` value.

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

    @property
    def has_sessions(self) -> bool:
        """True if there is a policy server, with which consumers begin sessions."""
        return self._policy is not None

    async def begin_session(
        self, network: Network, asset: Asset, service: Service, consumer: str, *, policy_data: object
    ) -> bytes:
        """Begin a session with the policy server for a proven consumer. Returns its JSON, which is for the consumer.

        Raises RouteNotFound without a policy server, AssetMalformed, AccessDenied, PolicyRefused, ValidationFailed,
        PolicyServerUnavailable.
        """
        if self._policy is None:
            raise RouteNotFound
        check_enabled(asset)
        reply = await self._policy.begin_session(
            asset, service, consumer, provider=network.account.address, data=policy_data
        )
        return reply.body

    async def admit_encryption(self, network: Network, consumer: str, *, policy_data: object = None) -> None:
        """Check that something may be encrypted for the address. Raises PolicyRefused, PolicyServerUnavailable."""
        if self._policy is not None:
            await self._policy.check_encrypt(consumer, provider=network.account.address, data=policy_data)

    async def close(self) -> None:
        """Close idle connections."""
        for server in (self._rbac, self._policy):
            if server is not None:
                await server.close()
