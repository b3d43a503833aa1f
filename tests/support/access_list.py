"""A real AccessList contract (an ERC-721 whose holders are listed) on the demo chain."""

from dataclasses import dataclass
from typing import Any

from web3.logs import DISCARD

from provider.testing.chain.contracts import contract_at, deploy_contract
from provider.testing.chain.wallet import Wallet


@dataclass
class AccessListContract:
    """A deployed list; the wallet owns it and may change it."""

    wallet: Wallet
    address: str

    def add(self, user: str) -> None:
        """Mint the user a token."""
        self.wallet.send(self._functions.mint(user, ""))

    def remove_first(self) -> None:
        """Burn the first token of the list."""
        self.wallet.send(self._functions.burn(self._functions.tokenByIndex(0).call()))

    @property
    def _functions(self) -> Any:
        return contract_at(self.wallet.w3, "AccessList", self.address).functions


def deploy_access_list(wallet: Wallet, *users: str) -> AccessListContract:
    """Deploy a list of these users with the factory, as publishers do."""
    template = deploy_contract(wallet, "AccessList")
    factory = contract_at(wallet.w3, "AccessListFactory", deploy_contract(wallet, "AccessListFactory", template))
    receipt = wallet.send(
        factory.functions.deployAccessListContract("List", "LST", False, wallet.address, list(users), [""] * len(users))
    )
    events = factory.events.NewAccessList().process_receipt(receipt, errors=DISCARD)
    return AccessListContract(wallet, str(events[0]["args"]["contractAddress"]))
