"""The address file and the table of chains."""

import json
from importlib import resources

import pytest
from eth_utils import is_checksum_address

from provider.chain.config import RpcConfig
from provider.chain.networks import Network, Networks, bundled_address_book, load_address_book, network_name
from provider.chain.rpc import Rpc
from provider.crypto.accounts import Account
from provider.errors import UnsupportedChain

FACTORY = "0x1706df1f2d93558d1d77bed49ccdb8b88fafc306"
OCEAN = "0x967da4048cd07ab37855c090aaf366e4ce1b9f48"


def network(chain_id: int) -> Network:
    return Network(
        chain_id=chain_id,
        name="x",
        rpc=Rpc(["http://127.0.0.1:1"], RpcConfig(), chain_id=chain_id),
        factory=FACTORY,
        fee_token=OCEAN,
        account=Account.from_hex("01" * 32),
    )


def test_a_configured_chain_is_found_and_others_are_refused() -> None:
    networks = Networks({8996: network(8996), 1: network(1)})
    assert networks.get(1).chain_id == 1
    assert networks.chain_ids == (8996, 1)
    assert [item.chain_id for item in networks] == [8996, 1]
    assert len(networks) == 2
    assert 1 in networks
    assert 2 not in networks
    with pytest.raises(UnsupportedChain, match=r"^Unsupported chain ID 137$"):
        networks.get(137)


def test_a_network_never_shows_its_key_or_url() -> None:
    shown = repr(network(1))
    assert "01" * 32 not in shown
    assert "127.0.0.1" not in shown


def test_addresses_are_read_by_chain_id() -> None:
    text = json.dumps({"development": {"chainId": 5, "Ocean": OCEAN, "ERC721Factory": FACTORY, "startBlock": 7}})
    addresses = load_address_book(text)[5]
    assert addresses.name == "development"
    assert addresses.ocean == OCEAN  # as written
    assert addresses.factory == "0x1706DF1f2d93558D1d77bEd49ccdB8B88fAfC306"
    assert addresses.start_block == 7


def test_missing_contracts_are_none() -> None:
    for entry in ({"chainId": 5}, {"chainId": 5, "Ocean": None, "ERC721Factory": ""}):
        addresses = load_address_book(json.dumps({"x": entry}))[5]
        assert (addresses.ocean, addresses.factory, addresses.start_block) == (None, None, 0)


def test_the_first_of_two_networks_with_one_chain_id_counts() -> None:
    assert load_address_book('{"a": {"chainId": 5}, "b": {"chainId": 5}}')[5].name == "a"


def test_chain_8996_is_ganache_and_a_chain_without_key_is_unknown() -> None:
    assert load_address_book('{"development": {"chainId": 8996}}')[8996].name == "Ganache"
    assert network_name(8996, None) == "Ganache"
    assert network_name(5, None) == "Unknown"
    assert network_name(5, "goerli") == "goerli"


def test_every_fault_of_an_address_file_is_listed_with_its_network() -> None:
    text = json.dumps(
        {
            "good": {"chainId": 1},
            "no id": {},
            "list": [],
            "flag": {"chainId": True},
            "factory": {"chainId": 2, "ERC721Factory": "0x12"},
            "ocean": {"chainId": 3, "Ocean": 5},
            "block": {"chainId": 4, "startBlock": "7"},
        }
    )
    with pytest.raises(ValueError, match="address file") as caught:
        load_address_book(text)
    for name in ("no id", "list", "flag", "factory", "ocean", "block"):
        assert f"{name}: " in str(caught.value)
    assert "good" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "nonsense", "5"])
def test_a_file_that_is_no_object_of_networks_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="address file"):
        load_address_book(text)


def test_the_bundled_file_knows_the_public_networks() -> None:
    book = bundled_address_book()
    assert {1: "mainnet", 137: "polygon", 11155111: "sepolia", 10: "optimism"}.items() <= {
        chain_id: addresses.name for chain_id, addresses in book.items()
    }.items()
    assert book[1].ocean == "0x967da4048cD07aB37855c090aAF366e4ce1b9F48"
    for addresses in book.values():
        assert addresses.factory is not None
        assert is_checksum_address(addresses.factory)
        assert addresses.start_block > 0


def test_the_bundled_file_agrees_with_the_contracts_package() -> None:
    theirs = json.loads(resources.files("addresses").joinpath("address.json").read_text())
    ours = bundled_address_book()
    assert {entry["chainId"] for entry in theirs.values()} == set(ours)
    for name, entry in theirs.items():
        mine = ours[entry["chainId"]]
        assert mine.name == name
        assert mine.factory is not None
        assert mine.factory.lower() == entry["ERC721Factory"].lower()
        assert mine.ocean == (entry.get("Ocean") or None)
