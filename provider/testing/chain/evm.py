"""One EVM (py-evm, Shanghai rules) with an index of its blocks, transactions and logs, in JSON-RPC shapes.

Each transaction is mined into its own block at once. Chain data comes as the plain dicts of JSON-RPC answers. There are
no sockets here.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eth.abc import BlockHeaderAPI
from eth.chains.base import MiningChain
from eth.consensus.applier import ConsensusApplier
from eth.consensus.noproof import NoProofConsensus
from eth.constants import GENESIS_PARENT_HASH, POST_MERGE_DIFFICULTY, POST_MERGE_MIX_HASH, POST_MERGE_NONCE
from eth.db import get_db_backend
from eth.exceptions import PyEVMError
from eth.vm.forks.shanghai import ShanghaiVM
from eth.vm.spoof import SpoofTransaction
from eth_typing import Address
from eth_utils.exceptions import ValidationError
from rlp.exceptions import RLPException  # type: ignore[import-untyped]

from provider.testing.chain.evm_json import CHAIN_ID, JsonObject, block_json, receipt_json, transaction_json

GAS_LIMIT = 30_000_000
BALANCE_WEI = 10**24
ZERO_ADDRESS = bytes(20)


class CallReverted(Exception):
    """A state query or gas estimate failed. `data` holds the revert bytes, possibly none."""

    def __init__(self, message: str, data: bytes) -> None:
        super().__init__(message)
        self.data = data


class TransactionRefused(Exception):
    """A raw transaction cannot enter the chain: wrong nonce, chain, signature or balance."""


class _Vm(ShanghaiVM):
    @classmethod
    def validate_header(cls, header: BlockHeaderAPI, parent_header: BlockHeaderAPI) -> None:
        """Accept: we make every block ourselves, and its clock may stand still or go back (`shift_clock`)."""


class _Chain(MiningChain):
    chain_id = CHAIN_ID
    vm_configuration = ConsensusApplier(NoProofConsensus).amend_vm_configuration(((0, _Vm),))

    def create_header_from_parent(self, parent_header: BlockHeaderAPI, **header_params: Any) -> BlockHeaderAPI:
        return super().create_header_from_parent(
            parent_header, **{**header_params, "gas_limit": parent_header.gas_limit}
        )


@dataclass(slots=True)
class _Mined:
    header: BlockHeaderAPI
    block: JsonObject
    transactions: list[JsonObject] = field(default_factory=list)
    receipts: list[JsonObject] = field(default_factory=list)
    logs: list[JsonObject] = field(default_factory=list)


class Evm:
    """A chain whose `funded` accounts (canonical 20-byte addresses) hold a million ether each."""

    def __init__(self, funded: Iterable[Address]) -> None:
        account: Any = {"balance": BALANCE_WEI, "nonce": 0, "code": b"", "storage": {}}
        genesis: Any = {
            "coinbase": ZERO_ADDRESS,
            "difficulty": POST_MERGE_DIFFICULTY,
            "mix_hash": POST_MERGE_MIX_HASH,
            "nonce": POST_MERGE_NONCE,
            "extra_data": b"",
            "gas_limit": GAS_LIMIT,
            "timestamp": int(time.time()),
        }
        self._chain: Any = _Chain.from_genesis(get_db_backend(), genesis, dict.fromkeys(funded, account))
        head = self._chain.get_canonical_head()
        self._mined = [_Mined(head, block_json(head, (), 0))]
        self._by_hash = {self._mined[0].block["hash"]: 0}
        self._by_tx: dict[str, int] = {}
        self._clock_offset_seconds = 0

    @property
    def height(self) -> int:
        """Number of the newest block."""
        return len(self._mined) - 1

    def now(self) -> int:
        """Unix seconds that the next block will carry."""
        return int(time.time()) + self._clock_offset_seconds

    def shift_clock(self, seconds: int) -> int:
        """Move the chain's clock and return the total offset. A negative step puts the next blocks into the past."""
        self._clock_offset_seconds += seconds
        return self._clock_offset_seconds

    def mine(self) -> JsonObject:
        """Close the pending block with whatever it holds."""
        block = self._chain.mine_block(coinbase=ZERO_ADDRESS)
        mined = _Mined(block.header, block_json(block.header, block.transactions, len(self._mined)))
        self._by_hash[mined.block["hash"]] = len(self._mined)
        self._mined.append(mined)
        return mined.block

    def mine_empty(self) -> JsonObject:
        """Mine a block without transactions at the chain's current time."""
        self._chain.header = self._chain.header.copy(timestamp=self.now())
        return self.mine()

    def send_raw(self, raw: bytes) -> str:
        """Execute one signed transaction in its own block and return its hash. Raises TransactionRefused."""
        self._chain.header = self._chain.header.copy(timestamp=self.now())
        try:
            transaction = self._chain.get_vm().get_transaction_builder().decode(raw)
            if transaction.chain_id not in (None, CHAIN_ID):
                raise TransactionRefused(f"invalid chain id for signer: have {transaction.chain_id} want {CHAIN_ID}")
            _, receipt, _ = self._chain.apply_transaction(transaction)
        except (ValidationError, PyEVMError, RLPException, ValueError, TypeError, IndexError) as error:
            raise TransactionRefused(str(error)) from error
        self.mine()
        mined = self._mined[-1]
        tx_object, receipt_object = (
            transaction_json(transaction, mined.block),
            receipt_json(transaction, receipt, mined.block),
        )
        mined.transactions.append(tx_object)
        mined.receipts.append(receipt_object)
        mined.logs.extend(receipt_object["logs"])
        self._by_tx[tx_object["hash"]] = self.height
        return str(tx_object["hash"])

    def call(self, request: Mapping[str, Any], block: str) -> bytes:
        """Return the result of a state query at `block`. Raises CallReverted."""
        return bytes(self._execute(request, block).output)

    def estimate(self, request: Mapping[str, Any]) -> int:
        """Return enough gas for the transaction to succeed. Raises CallReverted."""
        computation = self._execute({**request, "gas": hex(GAS_LIMIT)}, "latest")
        # A callee gets 63/64 of the remaining gas (EIP-150), so an exact measurement would run out in deep calls.
        return min(GAS_LIMIT, int(computation.get_gas_used()) * 3 // 2 + 30_000)

    def _execute(self, request: Mapping[str, Any], block: str) -> Any:
        sender = bytes.fromhex((request.get("from") or "0x" + "00" * 20)[2:])
        with self._chain.get_vm(self._header(block)).in_costless_state() as state:
            unsigned = self._chain.create_unsigned_transaction(
                nonce=state.get_nonce(sender),
                gas_price=0,
                gas=int(request.get("gas") or hex(GAS_LIMIT), 16),
                to=bytes.fromhex((request.get("to") or "0x")[2:]),
                value=int(request.get("value") or "0x0", 16),
                data=bytes.fromhex((request.get("data") or request.get("input") or "0x")[2:]),
            )
            try:
                computation = state.costless_execute_transaction(SpoofTransaction(unsigned, from_=sender))
            except ValidationError as error:
                raise CallReverted(str(error), b"") from error
        if computation.is_error:
            output = bytes(computation.output)
            raise CallReverted(_revert_text(output), output)
        return computation

    def state(self, block: str) -> Any:
        """Return py-evm's state of accounts after `block`."""
        return self._chain.get_vm(self._header(block)).state

    def _header(self, block: str) -> BlockHeaderAPI:
        number = self.number(block)
        return self._mined[self.height if number is None else number].header

    def number(self, block: object) -> int | None:
        """Return the height that a block tag, quantity or hash object names; None if there is no such block."""
        if isinstance(block, Mapping):
            return self._by_hash.get(str(block.get("blockHash")))
        if block in ("latest", "pending", "safe", "finalized", None):
            return self.height
        number = 0 if block == "earliest" else int(str(block), 16)
        return number if number <= self.height else None

    def number_of_hash(self, block_hash: str) -> int | None:
        """Height of the block with this hash."""
        return self._by_hash.get(block_hash.lower())

    def block(self, number: int | None, *, full: bool) -> JsonObject | None:
        """Block at a height, with whole transactions or only their hashes."""
        if number is None:
            return None
        mined = self._mined[number]
        return {**mined.block, "transactions": mined.transactions} if full else mined.block

    def transaction(self, tx_hash: str) -> JsonObject | None:
        """Transaction by hash."""
        number = self._by_tx.get(tx_hash.lower())
        return None if number is None else self._mined[number].transactions[0]

    def receipt(self, tx_hash: str) -> JsonObject | None:
        """Receipt by transaction hash."""
        number = self._by_tx.get(tx_hash.lower())
        return None if number is None else self._mined[number].receipts[0]

    def logs(self, query: Mapping[str, Any]) -> list[JsonObject]:
        """Return the logs that an eth_getLogs filter object selects, in chain order."""
        if "blockHash" in query:
            number = self._by_hash.get(str(query["blockHash"]).lower())
            span = [] if number is None else [self._mined[number]]
        else:
            first, last = self.number(query.get("fromBlock")), self.number(query.get("toBlock"))
            span = [] if first is None else self._mined[first : (self.height if last is None else last) + 1]
        addresses = _address_set(query.get("address"))
        topics = query.get("topics") or []
        return [log for mined in span for log in mined.logs if _selected(log, addresses, topics)]

    def snapshot(self) -> str:
        """Return a name of the current state for `revert`: the height in hex."""
        return hex(self.height)

    def revert(self, snapshot: str) -> bool:
        """Forget every block after the snapshot, like a reorganisation."""
        height = int(snapshot, 16)
        if height > self.height:
            return False
        for mined in self._mined[height + 1 :]:
            del self._by_hash[mined.block["hash"]]
            for transaction in mined.transactions:
                del self._by_tx[transaction["hash"]]
        del self._mined[height + 1 :]
        chaindb, header = self._chain.chaindb, self._mined[-1].header
        chaindb._set_as_canonical_chain_head(chaindb.db, header, GENESIS_PARENT_HASH)
        self._chain.header = self._chain.create_header_from_parent(header)
        return True


def _address_set(value: object) -> frozenset[str] | None:
    if value is None:
        return None
    addresses = [value] if isinstance(value, str) else value
    return frozenset(str(address).lower() for address in addresses)  # type: ignore[attr-defined]


def _selected(log: JsonObject, addresses: frozenset[str] | None, topics: Sequence[Any]) -> bool:
    if addresses is not None and log["address"].lower() not in addresses:
        return False
    if len(topics) > len(log["topics"]):
        return False
    wanted_pairs = zip(topics, log["topics"], strict=False)
    return all(
        wanted is None or topic in [w.lower() for w in ([wanted] if isinstance(wanted, str) else wanted)]
        for wanted, topic in wanted_pairs
    )


def _revert_text(output: bytes) -> str:
    # Error(string), EIP-838: selector, offset, length, text
    if output[:4] == b"\x08\xc3y\xa0" and len(output) >= 68:
        length = int.from_bytes(output[36:68], "big")
        return "execution reverted: " + output[68 : 68 + length].decode("utf-8", "replace")
    return "execution reverted"
