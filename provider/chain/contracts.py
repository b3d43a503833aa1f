"""Makes calls of the Ocean contracts and decodes their results (pure).

Addresses and ids in, RpcCall values out; results of those calls in, plain values out. Function selectors and
their results: `provider-api.md` section 8.1.
"""

from collections.abc import Sequence

from provider.chain.abi import AbiError, Words, bytes_of_hex, count_of_hex, int_of_hex
from provider.chain.jsonrpc import RpcCall, RpcFault
from provider.errors import ChainError

SELECTORS = {
    "getMetaData()": "0xd2786ba4",
    "isDeployed(address)": "0x90184b02",
    "erc721List(address)": "0x72f670f0",
    "ownerOf(uint256)": "0x6352211e",
    "decimals()": "0x313ce567",
    "balanceOf(address)": "0x70a08231",
    "getERC721Address()": "0x007ffb78",
}

# Of the only token of a data NFT, minted when it is created.
_NFT_ID = "0x1"

FOREIGN_GAS = 10_000_000
"""Gas for a call that runs a stranger's contract: it ends within a fraction of a second on any node."""

NO_STATE = -1
"""State of an address that is no data NFT: the call reverted or the address holds no code."""


def get_metadata_call(data_nft: str) -> RpcCall:
    """ERC721 template: getMetaData() of the data NFT, for `decode_metadata_state`."""
    return _eth_call(data_nft, SELECTORS["getMetaData()"])


def is_deployed_call(data_nft: str, datatoken: str) -> RpcCall:
    """ERC721 template: was `datatoken` deployed by the data NFT? For `decode_bool`."""
    return _eth_call(data_nft, SELECTORS["isDeployed(address)"], datatoken)


def owner_of_call(data_nft: str) -> RpcCall:
    """EIP-721: owner of the data NFT, for `decode_address`."""
    return _eth_call(data_nft, SELECTORS["ownerOf(uint256)"], _NFT_ID)


def erc721_list_call(factory: str, data_nft: str) -> RpcCall:
    """ERC721Factory: the same address when the factory deployed the data NFT, else zero. For `decode_address`."""
    return _eth_call(factory, SELECTORS["erc721List(address)"], data_nft)


def decimals_call(token: str) -> RpcCall:
    """ERC-20: number of decimals of the token. For `decode_uint`."""
    return _eth_call(token, SELECTORS["decimals()"])


def balance_of_call(token: str, owner: str) -> RpcCall:
    """ERC-20 and ERC-721: how much, or how many, of the token `owner` holds. For `decode_uint`. Foreign."""
    return foreign_call(token, _call_data(SELECTORS["balanceOf(address)"], owner))


def data_nft_call(datatoken: str) -> RpcCall:
    """ERC20 template: the data NFT that deployed it, for `decode_address`. Foreign."""
    return foreign_call(datatoken, SELECTORS["getERC721Address()"])


def foreign_call(contract: str, data: str, *, gas: int = FOREIGN_GAS) -> RpcCall:
    """Make a call of a contract that a stranger chose, at the latest block, with limited gas."""
    return RpcCall("eth_call", ({"to": contract, "data": data, "gas": hex(gas)}, "latest"), foreign=True)


def receipt_call(tx_id: str) -> RpcCall:
    """Make the call for the receipt of a transaction, for `events.parse_receipt`."""
    return RpcCall("eth_getTransactionReceipt", (tx_id,))


def block_number_call() -> RpcCall:
    """Make the call for the number of the newest block, for `decode_count`."""
    return RpcCall("eth_blockNumber")


def logs_call(address: str | Sequence[str] | None, topics: Sequence[object], from_block: int, to_block: int) -> RpcCall:
    """Make the call for the logs of a range of blocks, both ends included, for `events.parse_logs`.

    `address` None: any contract. `topics` as in eth_getLogs: each a topic, a list of alternatives or None.
    """
    wanted: dict[str, object] = {
        "fromBlock": hex(from_block),
        "toBlock": hex(to_block),
        "topics": list(topics),
    }
    if address is not None:
        wanted["address"] = address if isinstance(address, str) else list(address)
    return RpcCall("eth_getLogs", (wanted,))


def is_empty(result: object) -> bool:
    """True for `0x`, a node's result if it knows no code at the address: there is none, or the node lags behind."""
    return result == "0x"


def decode_metadata_state(result: object) -> int:
    """`state` of getMetaData's `(string, string, uint8 state, bool)`; NO_STATE when that is no data NFT."""
    words = _words_of(result)
    if words is None:
        return NO_STATE
    try:
        return words.uint(2, bits=8)
    except AbiError:
        return NO_STATE


def decode_bool(result: object) -> bool:
    """Return a bool result; False if the contract refused the call or the address holds no code."""
    words = _words_of(result)
    if words is None:
        return False
    try:
        return words.boolean(0)
    except AbiError:
        return False


def decode_address(result: object) -> str | None:
    """Return an address result, checksummed; None if the contract refused the call or the address holds no code."""
    words = _words_of(result)
    if words is None:
        return None
    try:
        return words.address(0)
    except AbiError:
        return None


def decode_uint(result: object) -> int | None:
    """Return an unsigned integer result; None if the contract refused the call or the address holds no code."""
    words = _words_of(result)
    if words is None:
        return None
    try:
        return words.uint(0)
    except AbiError:
        return None


def decode_quantity(result: object) -> int:
    """Return the result of a call that answers with one JSON-RPC quantity. Raises ChainError."""
    if isinstance(result, RpcFault):
        raise ChainError(detail=f"code {result.code}: {result.message}")
    try:
        return int_of_hex(result)
    except AbiError as error:
        raise ChainError(detail=str(error)) from None


def decode_count(result: object) -> int:
    """Return the number of a block or a transaction. Raises ChainError."""
    if isinstance(result, RpcFault):
        raise ChainError(detail=f"code {result.code}: {result.message}")
    try:
        return count_of_hex(result)
    except AbiError as error:
        raise ChainError(detail=str(error)) from None


def _eth_call(contract: str, selector: str, *arguments: str) -> RpcCall:
    """`arguments`: addresses and unsigned integers, in hex."""
    return RpcCall("eth_call", ({"to": contract, "data": _call_data(selector, *arguments)}, "latest"))


def _call_data(selector: str, *arguments: str) -> str:
    return selector + "".join(argument[2:].lower().rjust(64, "0") for argument in arguments)


def _words_of(result: object) -> Words | None:
    """Return the words of an eth_call result; None if the contract refused. Raises ChainError if the node failed."""
    if isinstance(result, RpcFault):
        if result.is_revert:
            return None
        raise ChainError(detail=f"eth_call: code {result.code}: {result.message}")
    try:
        return Words(bytes_of_hex(result))
    except AbiError as error:
        raise ChainError(detail=f"eth_call: {error}") from None
