"""Calls and results of the contracts, against eth_utils and eth_abi."""

from collections.abc import Callable

import pytest
from eth_abi import encode
from eth_utils import function_signature_to_4byte_selector, to_checksum_address

from provider.chain import contracts
from provider.chain.endpoint import EndpointFailed, parse_count
from provider.chain.jsonrpc import RpcCall, RpcFault
from provider.errors import ChainError

NFT = to_checksum_address("0x" + "a1" * 20)
TOKEN = to_checksum_address("0x" + "d2" * 20)
FACTORY = to_checksum_address("0x" + "f3" * 20)
REVERT = RpcFault(3, "execution reverted")
NODE_FAULT = RpcFault(-32603, "internal error")


@pytest.mark.parametrize("signature", contracts.SELECTORS)
def test_selectors_follow_from_their_signatures(signature: str) -> None:
    assert contracts.SELECTORS[signature] == "0x" + function_signature_to_4byte_selector(signature).hex()


def data_of(call: RpcCall) -> tuple[str, str]:
    assert call.method == "eth_call"
    transaction, block = call.params
    assert block == "latest"
    assert isinstance(transaction, dict)
    assert set(transaction) == {"to", "data"}
    return transaction["to"], transaction["data"]


@pytest.mark.parametrize(
    ("call", "to", "signature", "arguments"),
    [
        (contracts.get_metadata_call(NFT), NFT, "getMetaData()", []),
        (contracts.is_deployed_call(NFT, TOKEN), NFT, "isDeployed(address)", [TOKEN]),
        (contracts.erc721_list_call(FACTORY, NFT), FACTORY, "erc721List(address)", [NFT]),
        (contracts.decimals_call(TOKEN), TOKEN, "decimals()", []),
    ],
    ids=["getMetaData", "isDeployed", "erc721List", "decimals"],
)
def test_calls_are_encoded_as_eth_abi_does(call: RpcCall, to: str, signature: str, arguments: list[str]) -> None:
    encoded = function_signature_to_4byte_selector(signature) + encode(["address"] * len(arguments), arguments)
    assert data_of(call) == (to, "0x" + encoded.hex())


def test_owner_is_asked_of_the_first_token() -> None:
    encoded = function_signature_to_4byte_selector("ownerOf(uint256)") + encode(["uint256"], [1])
    assert data_of(contracts.owner_of_call(NFT)) == (NFT, "0x" + encoded.hex())


def test_other_calls() -> None:
    assert contracts.receipt_call("0x12") == RpcCall("eth_getTransactionReceipt", ("0x12",))
    assert contracts.block_number_call() == RpcCall("eth_blockNumber", ())
    everywhere = {"fromBlock": "0x1", "toBlock": "0xff", "topics": ["0xaa", None]}
    assert contracts.logs_call(None, ["0xaa", None], 1, 255).params == (everywhere,)
    assert contracts.logs_call(NFT, ["0xaa", None], 1, 255).params == ({**everywhere, "address": NFT},)
    both = {**everywhere, "address": [NFT, TOKEN]}
    assert contracts.logs_call((NFT, TOKEN), ["0xaa", None], 1, 255).params == (both,)


def hex_of(types: list[str], values: list[object]) -> str:
    return "0x" + encode(types, values).hex()


@pytest.mark.parametrize("state", [0, 1, 5, 255])
def test_metadata_state_is_the_third_value(state: int) -> None:
    result = hex_of(["string", "string", "uint8", "bool"], ["https://provider.example", "0xabc", state, True])
    assert contracts.decode_metadata_state(result) == state


@pytest.mark.parametrize("result", ["0x", REVERT, "0x" + "00" * 64, "0x" + "ff" * 96], ids=repr)
def test_an_address_that_is_no_data_nft_has_no_state(result: object) -> None:
    assert contracts.decode_metadata_state(result) == contracts.NO_STATE


def test_booleans_addresses_and_integers() -> None:
    assert contracts.decode_bool(hex_of(["bool"], [True])) is True
    assert contracts.decode_bool(hex_of(["bool"], [False])) is False
    assert contracts.decode_address(hex_of(["address"], [NFT])) == NFT
    assert contracts.decode_uint(hex_of(["uint8"], [18])) == 18
    assert contracts.decode_quantity("0x10") == 16
    assert contracts.decode_count("0x7fffffffffffffff") == 2**63 - 1


@pytest.mark.parametrize("result", ["0x8000000000000000", "0x" + "f" * 64])
def test_no_chain_has_more_blocks_than_databases_can_count(result: str) -> None:
    with pytest.raises(ChainError):
        contracts.decode_count(result)
    with pytest.raises(EndpointFailed):
        parse_count(result, "eth_blockNumber")


@pytest.mark.parametrize("result", ["0x", REVERT, "0x01", "0x" + "ff" * 31], ids=repr)
def test_a_refused_or_empty_call_is_a_negative_answer(result: object) -> None:
    assert contracts.decode_bool(result) is False
    assert contracts.decode_address(result) is None
    assert contracts.decode_uint(result) is None


def test_a_bool_must_be_zero_or_one() -> None:
    assert contracts.decode_bool("0x" + "02".rjust(64, "0")) is False
    assert contracts.decode_address("0x" + "ff" * 32) is None


DECODERS = [
    contracts.decode_metadata_state,
    contracts.decode_bool,
    contracts.decode_address,
    contracts.decode_uint,
    contracts.decode_quantity,
    contracts.decode_count,
]


@pytest.mark.parametrize("decode", DECODERS, ids=lambda decode: decode.__name__)
@pytest.mark.parametrize("result", [NODE_FAULT, None, 5, [], {}, "hello", "0xzz"], ids=repr)
def test_a_fault_of_the_node_is_never_an_answer(decode: Callable[[object], object], result: object) -> None:
    with pytest.raises(ChainError):
        decode(result)
