"""Looks up whether a consumer is on access lists: in the cache, otherwise on the chains of the lists.

`assets/credentials.py` decides what a membership means.
"""

import asyncio
from collections.abc import Mapping, Sequence
from enum import Enum

from provider.assets.credentials import AccessList, Memberships
from provider.cache import FactCache
from provider.chain import contracts
from provider.chain.networks import Networks


class Listed(Enum):
    """A chain's answer. NO_LIST: no contract there could answer."""

    YES = 1
    NO = 2
    NO_LIST = 3


MembershipKey = tuple[AccessList, str]
"""Access list, consumer (checksummed)."""


class AccessLists:
    """Looks up memberships by `balanceOf`, with one JSON-RPC batch per chain for all unknown ones.

    A yes is cached for the lifetime of `cache`; any other answer for at most `negative_ttl_seconds`, so that a consumer
    who was just listed need not wait long.
    """

    def __init__(
        self, networks: Networks, *, cache: FactCache[MembershipKey, Listed], negative_ttl_seconds: float = 10.0
    ) -> None:
        self._networks = networks
        self._cache = cache
        self._negative_ttl_seconds = negative_ttl_seconds

    async def memberships(self, lists: Sequence[AccessList], consumer: str) -> Memberships:
        """Tell for each list whether the consumer (checksummed) is on it. Lists that no configured chain has are left
        out.

        Raises ChainError when a chain cannot be asked; that never counts as an answer.
        """
        keys = [(item, consumer) for item in dict.fromkeys(lists) if item.chain_id in self._networks]
        listed = await self._cache.get_many(keys, self._ask, ttl_seconds=self._ttl_seconds)
        return {key[0]: found is Listed.YES for key, found in listed.items() if found is not Listed.NO_LIST}

    async def _ask(self, keys: list[MembershipKey]) -> Mapping[MembershipKey, Listed]:
        # Submitted in one turn of the loop, so that each chain gets one batch.
        answers = await asyncio.gather(
            *(
                self._networks.get(item.chain_id).rpc.submit(contracts.balance_of_call(item.contract, consumer))
                for item, consumer in keys
            )
        )
        return {key: _listed(contracts.decode_uint(answer)) for key, answer in zip(keys, answers, strict=True)}

    def _ttl_seconds(self, listed: Listed) -> float:
        ttl_seconds = self._cache.ttl_seconds
        return ttl_seconds if listed is Listed.YES else min(self._negative_ttl_seconds, ttl_seconds)


def _listed(balance: int | None) -> Listed:
    if balance is None:
        return Listed.NO_LIST
    return Listed.YES if balance > 0 else Listed.NO
