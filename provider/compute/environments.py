"""The environments of all chains, from the operator service, each chain's list kept for a short while."""

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
    """A chain whose list cannot be had does not spoil the others [K39]. Without an operator there are none."""

    def __init__(self, operator: Operator | None, networks: Networks, *, cache: FactCache[int, Listed]) -> None:
        self._operator = operator
        self._networks = networks
        self._cache = cache
        self._addresses: dict[int, frozenset[str]] = {}
        self._known: frozenset[str] = frozenset()
        self._following: asyncio.Task[None] | None = None

    def follow(self, every_seconds: float) -> None:
        """Look at the lists now and every so often, so that `knows` has an answer; `close` ends it."""
        if self._operator is not None:
            self._following = asyncio.create_task(self._follow(every_seconds))

    async def _follow(self, every_seconds: float) -> None:
        while True:
            await self._all()
            await asyncio.sleep(every_seconds)

    async def close(self) -> None:
        """Stop following."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])

    def knows(self, address: str) -> bool:
        """Is the checksummed address that of an environment's jobs, as far as is known? Asks nobody."""
        return address in self._known

    async def listing(self) -> dict[str, list[object]]:
        """What clients see: the environments by chain id. Raises EnvironmentsUnavailable when no chain has a list."""
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
        """The environment with this id that can be paid for: on the chain given, else on any.

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
        """As `knows`, after asking if need be. Raises ServiceUnavailable when a chain cannot be asked."""
        if self.knows(address):
            return True
        told = await self._all()
        failures = [answer for answer in told.values() if isinstance(answer, ServiceUnavailable)]
        if failures and not self.knows(address):
            raise failures[0]
        return self.knows(address)

    async def _all(self) -> dict[int, Listed | ServiceUnavailable]:
        """Per chain its environments, or why they are not known."""
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
            log.warning("no environments of chain %d: %s", network.chain_id, error.detail or error.code)
            return error

    def _remember(self, chain_id: int, listed: Listed) -> None:
        self._addresses[chain_id] = frozenset(one.consumer_address for one in listed if one.consumer_address)
        self._known = frozenset().union(*self._addresses.values())
