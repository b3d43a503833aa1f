"""Deploys the real Ocean contracts of the `ocean-contracts` package, wired as their deployment script does.

In: a funded wallet. Out: their addresses, also as the text of an ADDRESS_FILE.
"""

import json
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files
from typing import Any

from web3 import Web3
from web3.contract import Contract

from provider.testing.chain.wallet import Wallet

# Fees of the community, as the deployment script sets them on a development chain (fractions of 1e18)
SWAP_FEE_WEI, NON_OCEAN_SWAP_FEE_WEI, CONSUME_FEE_WEI, PROVIDER_FEE_SHARE_WEI = 0, 10**15, 3 * 10**16, 0

TEMPLATE_STANDARD, TEMPLATE_ENTERPRISE = 1, 2  # position in the factory's list of datatoken templates


@dataclass(frozen=True, slots=True)
class Contracts:
    """Checksum addresses of one deployment, and its first block."""

    chain_id: int
    ocean: str
    router: str
    factory: str
    dispenser: str
    fixed_rate: str
    fee_collector: str
    start_block: int

    def address_file(self) -> str:
        """Return the text of an ADDRESS_FILE with this deployment under `development`, as Barge's has it."""
        return json.dumps(
            {
                "development": {
                    "chainId": self.chain_id,
                    "Ocean": self.ocean,
                    "Router": self.router,
                    "ERC721Factory": self.factory,
                    "Dispenser": self.dispenser,
                    "FixedPrice": self.fixed_rate,
                    "OPFCommunityFeeCollector": self.fee_collector,
                    "startBlock": self.start_block,
                }
            },
            indent=2,
        )


@cache
def artifact(name: str) -> dict[str, Any]:
    """Return a compiled contract: `abi` and `bytecode`. Raises ModuleNotFoundError without the extra `demo`."""
    value: dict[str, Any] = json.loads(files("artifacts").joinpath(f"{name}.json").read_bytes())
    return value


def contract_at(w3: Web3, name: str, address: str) -> Contract:
    """Return web3's contract object of an Ocean contract at an address."""
    return _bare_contract(w3, name)(address)  # type: ignore[arg-type]


@cache
def _bare_contract(w3: Web3, name: str) -> type[Contract]:
    return w3.eth.contract(abi=artifact(name)["abi"], bytecode=artifact(name)["bytecode"])


def deploy_contract(wallet: Wallet, name: str, *arguments: object) -> str:
    """Deploy one Ocean contract and return its checksum address."""
    receipt = wallet.send(_bare_contract(wallet.w3, name).constructor(*arguments))
    return str(receipt["contractAddress"])


def deploy_contracts(wallet: Wallet) -> Contracts:
    """Deploy and wire everything that publishing and ordering need. Takes about a second on the demo chain."""
    deploy = partial(deploy_contract, wallet)

    start_block = wallet.w3.eth.block_number
    ocean = deploy("MockOcean", wallet.address)
    collector = deploy("OPFCommunityFeeCollector", wallet.address, wallet.address)
    # The pool template must not be zero; pools themselves are gone from the protocol.
    router_address = deploy("FactoryRouter", wallet.address, ocean, wallet.address, collector, [])
    fixed_rate = deploy("FixedRateExchange", router_address)
    dispenser = deploy("Dispenser", router_address)
    datatoken = deploy("ERC20Template")
    enterprise = deploy("ERC20TemplateEnterprise")
    data_nft = deploy("ERC721Template")
    factory_address = deploy("ERC721Factory", data_nft, datatoken, router_address)

    factory = contract_at(wallet.w3, "ERC721Factory", factory_address).functions
    router = contract_at(wallet.w3, "FactoryRouter", router_address).functions
    for call in (
        factory.addTokenTemplate(enterprise),
        router.addFactory(factory_address),
        router.addFixedRateContract(fixed_rate),
        router.addDispenserContract(dispenser),
        router.updateOPCFee(SWAP_FEE_WEI, NON_OCEAN_SWAP_FEE_WEI, CONSUME_FEE_WEI, PROVIDER_FEE_SHARE_WEI),
    ):
        wallet.send(call)
    return Contracts(
        chain_id=wallet.chain_id,
        ocean=ocean,
        router=router_address,
        factory=factory_address,
        dispenser=dispenser,
        fixed_rate=fixed_rate,
        fee_collector=collector,
        start_block=start_block,
    )
