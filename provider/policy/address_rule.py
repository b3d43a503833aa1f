"""Decides which addresses have a role: by a list of the operator, and by access lists on chain.

An operator may set both. Then an address must be on both.
"""

from collections.abc import Sequence

from provider.assets.credentials import AccessList
from provider.policy.access_lists import AccessLists


class AddressRule:
    """The operator's rule for one role.

    Args:
        addresses: lower-case addresses; empty for everybody.
        lists: access lists, each for documents of its chain. An address must be on one of those of the document's
            chain. As in ocean-node, a chain without a list has no such rule.
        access_lists: looks up who is on them.
    """

    def __init__(self, addresses: frozenset[str], lists: Sequence[AccessList], access_lists: AccessLists) -> None:
        self._addresses = addresses
        self._lists = tuple(lists)
        self._access_lists = access_lists

    def is_open(self, chain_id: int) -> bool:
        """True if everybody has the role for documents of this chain."""
        return not self._addresses and not self._lists_of(chain_id)

    async def admits(self, address: str, chain_id: int) -> bool:
        """True if an address (checksummed) has the role for documents of this chain.

        Raises ChainError if a list cannot be read.
        """
        if self._addresses and address.lower() not in self._addresses:
            return False
        lists = self._lists_of(chain_id)
        return not lists or any((await self._access_lists.memberships(lists, address)).values())

    def _lists_of(self, chain_id: int) -> list[AccessList]:
        return [item for item in self._lists if item.chain_id == chain_id]
