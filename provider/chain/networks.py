"""The configured chains by chain id, and the address file that names their contracts.

Nothing is fetched here. Format of the address file: `provider-api.md` section 14, `ADDRESS_FILE`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources

import orjson

from provider.chain.rpc import Rpc
from provider.crypto.accounts import Account
from provider.crypto.keccak import is_address, to_checksum_address
from provider.errors import UnsupportedChain

ZERO_ADDRESS = "0x" + "0" * 40
GANACHE_CHAIN_ID = 8996


@dataclass(frozen=True, slots=True)
class ChainAddresses:
    """One network of the address file. `ocean`: as written there. `factory`: the ERC721Factory, checksummed."""

    name: str
    ocean: str | None
    factory: str | None
    start_block: int


@dataclass(frozen=True, slots=True)
class Network:
    """One configured chain.

    name: for the prefix `Provider <name>: `.
    fee_token: as written in the settings or the address file.
    account: the Provider's key on this chain.
    start_block: the first block with Ocean contracts.
    finality_blocks: the depth from which a receipt counts as immutable.
    """

    chain_id: int
    name: str
    rpc: Rpc
    factory: str
    fee_token: str
    account: Account
    start_block: int = 0
    finality_blocks: int = 64


class Networks:
    """The configured chains in the given order. Iterating yields the Network values."""

    def __init__(self, networks: Mapping[int, Network]) -> None:
        self._networks = dict(networks)

    @property
    def chain_ids(self) -> tuple[int, ...]:
        """The ids, in the same order."""
        return tuple(self._networks)

    def get(self, chain_id: int) -> Network:
        """Return the chain with this id. Raises UnsupportedChain with the documented text."""
        network = self._networks.get(chain_id)
        if network is None:
            raise UnsupportedChain(f"Unsupported chain ID {chain_id}")
        return network

    def __contains__(self, chain_id: object) -> bool:
        return chain_id in self._networks

    def __iter__(self) -> Iterator[Network]:
        return iter(self._networks.values())

    def __len__(self) -> int:
        return len(self._networks)


def bundled_address_book() -> dict[int, ChainAddresses]:
    """Return the networks of the address file in this package."""
    return load_address_book(resources.files(__package__).joinpath("address.json").read_text("utf-8"))


def load_address_book(text: str) -> dict[int, ChainAddresses]:
    """Parse an address file. Returns networks by chain id; if two have one id, the first counts.

    Raises ValueError, which lists every fault by network and key.
    """
    try:
        networks = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise ValueError("address file: not JSON") from None
    if not isinstance(networks, dict):
        raise ValueError("address file: not an object of networks")
    book: dict[int, ChainAddresses] = {}
    faults: list[str] = []
    for name, entry in networks.items():
        chain_id = entry.get("chainId") if isinstance(entry, dict) else None
        if type(chain_id) is not int or chain_id <= 0:
            faults.append(f"{name}: chainId must be a positive integer")
            continue
        factory, ocean = entry.get("ERC721Factory") or None, entry.get("Ocean") or None
        start_block = entry.get("startBlock", 0)
        if factory is not None and not is_address(factory):
            faults.append(f"{name}: ERC721Factory is not an address")
        elif ocean is not None and not is_address(ocean):
            faults.append(f"{name}: Ocean is not an address")
        elif type(start_block) is not int or start_block < 0:
            faults.append(f"{name}: startBlock must be a block number")
        else:
            book.setdefault(
                chain_id,
                ChainAddresses(
                    name=network_name(chain_id, name),
                    ocean=ocean,
                    factory=to_checksum_address(factory) if factory else None,
                    start_block=start_block,
                ),
            )
    if faults:
        raise ValueError("address file: " + "; ".join(faults))
    return book


def network_name(chain_id: int, key: str | None) -> str:
    """Return the name for clients: the key in the address file, `Ganache` for 8996, `Unknown` without a key."""
    if chain_id == GANACHE_CHAIN_ID:
        return "Ganache"
    return key if key is not None else "Unknown"
