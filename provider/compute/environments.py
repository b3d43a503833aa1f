"""The environments of all chains, from the operator service. Each chain's list is cached for a short time."""

import asyncio
import logging

from provider.cache import FactCache
from provider.chain.networks import Network, Networks
from provider.compute.environment import Environment, parse_environments
from provider.compute.operator import Operator
from provider.errors import EnvironmentsUnavailable, EnvironmentUnknown, ServiceUnavailable

log = logging.getLogger("provider.compute")
Listed = tuple[Environment, ...]


class Environments:
    """Lists environments. If one chain's list cannot be fetched, the others remain [K39]. Without an operator: none."""

    def __init__(self, operator: Operator | None, networks: Networks, *, cache: FactCache[int, Listed]) -> None:
        self._operator = operator
        self._networks = networks
        self._cache = cache
        self._addresses: dict[int, frozenset[str]] = {}
        self._known: frozenset[str] = frozenset()
        self._following: asyncio.Task[None] | None = None

    def follow(self, every_seconds: float) -> None:
        """Fetch the lists now and every `every_seconds`, so that `knows` has an answer. `close` ends it."""
        if self._operator is not None:
            self._following = asyncio.create_task(self._follow(every_seconds))

    async def _follow(self, every_seconds: float) -> None:
        while True:
            await self._all()
            await asyncio.sleep(every_seconds)

    async def close(self) -> None:
        """Stop fetching the lists."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])

    def knows(self, address: str) -> bool:
        """Tell whether the checksummed address is known as that of an environment's jobs. Does no I/O."""
        return address in self._known

    async def listing(self) -> dict[str, list[object]]:
        """Return the environments for clients, by chain id. Raises EnvironmentsUnavailable if no chain has any list."""
        told = await self._all()
        if self._operator is not None and not any(isinstance(answer, tuple) for answer in told.values()):
            chain_id = next(iter(told))
            raise EnvironmentsUnavailable(
                f"Compute envs could not be retrieved for chainId {chain_id}, check configuration."
            )
        return {
            str(chain_id): [dict(environment.listed) for environment in answer] if isinstance(answer, tuple) else []
            for chain_id, answer in told.items()
        }

    async def find(self, environment_id: str, *, chain_id: int | None = None) -> Environment:
        """Find the payable environment with this id, on the given chain or else on any.

        Raises EnvironmentUnknown, or ServiceUnavailable when a chain that might have it cannot be asked.
        """
        told = await self._all()
        answers = [answer for chain, answer in told.items() if chain_id in (None, chain)]
        for answer in answers:
            for environment in answer if isinstance(answer, tuple) else ():
                if environment.id == environment_id and environment.price_per_minute is not None:
                    return environment
        for answer in answers:
            if isinstance(answer, ServiceUnavailable):
                raise answer
        raise EnvironmentUnknown

    async def is_consumer(self, address: str) -> bool:
        """Return the same as `knows`, and ask the operator if necessary. Raises ServiceUnavailable."""
        if self.knows(address):
            return True
        told = await self._all()
        failures = [answer for answer in told.values() if isinstance(answer, ServiceUnavailable)]
        if failures and not self.knows(address):
            raise failures[0]
        return self.knows(address)

    async def _all(self) -> dict[int, Listed | ServiceUnavailable]:
        """Return each chain's environments, or the error that made them unavailable."""
        operator = self._operator
        if operator is None:
            return {}
        networks = list(self._networks)
        answers = await asyncio.gather(*(self._of(operator, network) for network in networks))
        return {network.chain_id: answer for network, answer in zip(networks, answers, strict=True)}

    async def _of(self, operator: Operator, network: Network) -> Listed | ServiceUnavailable:
        async def fetch() -> Listed:
            raw = await operator.environments(network.chain_id)
            listed = parse_environments(raw, chain_id=network.chain_id, fee_token=network.fee_token)
            self._remember(network.chain_id, listed)
            return listed

        try:
            return await self._cache.get(network.chain_id, fetch)
        except ServiceUnavailable as error:
            log.warning("no environments for chain %d: %s", network.chain_id, error.detail or error.code)
            return error

    def _remember(self, chain_id: int, listed: Listed) -> None:
        self._addresses[chain_id] = frozenset(one.consumer_address for one in listed if one.consumer_address)
        self._known = frozenset().union(*self._addresses.values())
