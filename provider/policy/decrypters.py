"""Decides who may read documents that are encrypted for this Provider: addresses, and access lists on chain.

An operator may set both. Then a decrypter must be on both.
"""

from collections.abc import Sequence

from provider.assets.credentials import AccessList
from provider.errors import DecrypterNotAuthorized
from provider.policy.access_lists import AccessLists


class Decrypters:
    """The operator's rules.

    Args:
        addresses: lower-case addresses; empty for everybody.
        lists: access lists, each for documents of its chain. A decrypter must be on one of those of the document's
            chain. As in ocean-node, a chain without a list has no such rule.
        access_lists: looks up who is on them.
    """

    def __init__(self, addresses: frozenset[str], lists: Sequence[AccessList], access_lists: AccessLists) -> None:
        self._addresses = addresses
        self._lists = tuple(lists)
        self._access_lists = access_lists

    def may_be_anybody(self, chain_id: int) -> bool:
        """True if everybody may read documents of this chain."""
        return not self._addresses and not self._lists_of(chain_id)

    async def check(self, decrypter: str, chain_id: int) -> None:
        """Check that an address (checksummed) may read documents of this chain.

        Raises DecrypterNotAuthorized, and ChainError if a list cannot be read.
        """
        if self._addresses and decrypter.lower() not in self._addresses:
            raise DecrypterNotAuthorized
        lists = self._lists_of(chain_id)
        if lists and not any((await self._access_lists.memberships(lists, decrypter)).values()):
            raise DecrypterNotAuthorized

    def _lists_of(self, chain_id: int) -> list[AccessList]:
        return [item for item in self._lists if item.chain_id == chain_id]
