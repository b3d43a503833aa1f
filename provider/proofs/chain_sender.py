"""Sends proofs as transactions of one chain: signs, stores and sends each, and follows it until the chain has decided.

A transaction is stored before it is sent. After a crash the same bytes go out again, so one proof cannot take two
account nonces. It is signed only if the fee limit lets it into the next blocks.
"""

import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from provider.chain.abi import AbiError, count_of_hex, int_of_hex
from provider.chain.contracts import decode_count, receipt_call
from provider.chain.events import Receipt, parse_receipt
from provider.chain.jsonrpc import RpcCall, RpcFault
from provider.chain.networks import GANACHE_CHAIN_ID, Network
from provider.errors import ChainError
from provider.proofs.pace import MAX_ATTEMPTS, poll_seconds, retry_seconds
from provider.proofs.proof import Unprovable, order_executed_data
from provider.proofs.sql import Entry
from provider.proofs.store import ProofStore
from provider.proofs.transaction import (
    Fee,
    Market,
    SignedTransaction,
    affordable_fee,
    next_account_nonce,
    replacement_fee,
    sign_call,
)


@dataclass(frozen=True, slots=True)
class ChainView:
    """A chain at one moment.

    `mined_nonce`: number of the account's transactions in blocks.
    `free_nonce`: the same, plus those that the node holds.
    """

    height: int
    mined_nonce: int
    free_nonce: int
    market: Market
    receipts: Mapping[str, Receipt]


async def fetch_view(network: Network, tx_ids: Sequence[str]) -> ChainView:
    """Fetch the account's nonces, the fees, and the receipts of transactions, in one round trip. Raises ChainError."""
    address = network.account.address
    calls = [
        RpcCall("eth_getTransactionCount", (address, "latest")),
        RpcCall("eth_getTransactionCount", (address, "pending")),
        RpcCall("eth_getBlockByNumber", ("latest", False)),
        RpcCall("eth_maxPriorityFeePerGas"),
        RpcCall("eth_gasPrice"),
        *map(receipt_call, tx_ids),
    ]
    mined, pending, block, tip, gas_price, *receipts = await network.rpc.batch(calls)
    if not isinstance(block, Mapping):
        raise ChainError(detail="no newest block")
    mined_nonce = decode_count(mined)
    base_fee = _optional(block.get("baseFeePerGas"))
    if network.chain_id == GANACHE_CHAIN_ID:
        # wire: a legacy gas price there (`provider-api.md` section 13.2); old Ganache accepts nothing else.
        base_fee = None
    return ChainView(
        height=decode_count(block.get("number")),
        mined_nonce=mined_nonce,
        free_nonce=max(_optional(pending) or 0, mined_nonce),
        market=Market(base_fee, _optional(tip), _optional(gas_price)),
        receipts={
            tx_id: receipt
            for tx_id, raw in zip(tx_ids, receipts, strict=True)
            if (receipt := _receipt(raw)) is not None
        },
    )


def _receipt(raw: object) -> Receipt | None:
    if isinstance(raw, RpcFault):
        raise ChainError(detail=f"receipt: code {raw.code}")
    return parse_receipt(raw)


def _optional(value: object) -> int | None:
    """Parse a quantity that not every node reports."""
    try:
        return count_of_hex(value)
    except AbiError:
        return None


# geth is sure to keep 16 transactions of one account (txpool.accountslots).
MAX_IN_FLIGHT = 16
# An ordinary proof takes about 55 000. Publisher and consumer choose texts in it, which cost up to 20 gas a byte.
MAX_GAS = 300_000
# The nonce was used, but no node knows our transaction: ask this often before believing that another one took it.
MISSES = 5

# Replies of nodes that rejected a transaction because of what is in it.
_NOT_TAKEN = re.compile(
    r"insufficient funds|cannot afford|underpriced|fee (?:cap )?(?:too low|less than)|below .*(?:base fee|minimum)"
    r"|exceeds block gas limit|intrinsic gas",
    re.I,
)

_log = logging.getLogger(__name__)


class ChainSender:
    """Sends the proofs of one chain.

    `resend_seconds`: age at which a transaction that is in no block is sent again.
    `replace_seconds`: age at which it is replaced by one with a higher fee.
    `first_poll_seconds`: delay before the first look at a transaction that was sent.
    """

    def __init__(
        self,
        network: Network,
        *,
        store: ProofStore,
        max_fee_wei: int,
        resend_seconds: float = 30.0,
        replace_seconds: float = 180.0,
        first_poll_seconds: float = 2.0,
        fee_wait_seconds: float = 15.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._network = network
        self._store = store
        self._max_fee_wei = max_fee_wei
        self._resend_seconds = resend_seconds
        self._replace_seconds = replace_seconds
        self._first_poll_seconds = first_poll_seconds
        self._fee_wait_seconds = fee_wait_seconds
        self._clock = clock
        self._sent_here: set[int] = set()
        self._waits_for_fee = False

    async def turn(self) -> bool:
        """Follow what was sent and send what is queued; True if there may be more. Raises ChainError, StoreError."""
        chain_id = self._network.chain_id
        sent = await self._store.due("sent", chain_id=chain_id, limit=MAX_IN_FLIGHT)
        queued = await self._store.due("queued", chain_id=chain_id, limit=MAX_IN_FLIGHT)
        if not sent and not queued:
            return False
        view = await fetch_view(self._network, [one.signed.tx_id for entry in sent for one in entry.sent])
        for entry in sorted(sent, key=lambda entry: entry.account_nonce or 0):
            await self._follow(entry, view)
        held = await self._store.held_nonces(chain_id)
        sending = queued[: max(MAX_IN_FLIGHT - len(held), 0)]
        if sending:
            await self._send_all(sending, view, set(held))
        return bool(sending) and not self._waits_for_fee

    async def close(self) -> None:
        """Hold nothing to close: the connections belong to the network."""

    async def _follow(self, entry: Entry, view: ChainView) -> None:
        receipt = next(
            (view.receipts[one.signed.tx_id] for one in entry.sent if one.signed.tx_id in view.receipts), None
        )
        if receipt is None:
            await self._follow_unmined(entry, view)
        elif not receipt.succeeded:
            self._sent_here.discard(entry.id)
            await self._store.give_up(entry, "the transaction was reverted")
        elif view.height - receipt.block_number >= self._network.finality_blocks:
            self._sent_here.discard(entry.id)
            await self._store.confirm(entry)
            self._log_event("proof confirmed", entry, receipt.tx_id)
        else:
            pause = poll_seconds(self._age(entry), first_seconds=self._first_poll_seconds)
            await self._store.seen(entry, mined_block=receipt.block_number, due_in_seconds=pause)

    async def _follow_unmined(self, entry: Entry, view: ChainView) -> None:
        nonce, newest = entry.account_nonce or 0, entry.sent[-1]
        if view.mined_nonce > nonce:
            await self._follow_displaced(entry)
            return
        fee = None
        if self._clock() - newest.signed_at >= self._replace_seconds and view.mined_nonce == nonce:
            fee = replacement_fee(newest.signed.fee, view.market, max_fee_wei=self._max_fee_wei)
        pause = poll_seconds(self._age(entry), first_seconds=self._first_poll_seconds)
        if fee is not None:
            gas, data = await self._estimate(entry)
            if gas is not None:
                signed = self._sign(entry, nonce, fee, gas, data)
                await self._store.record_signed(entry, nonce, signed, due_in_seconds=pause)
                await self._send(signed)
                return
        await self._store.seen(entry, due_in_seconds=pause)
        if entry.id not in self._sent_here or self._age(entry) >= self._resend_seconds:
            self._sent_here.add(entry.id)
            for one in entry.sent:
                await self._send(one.signed)

    async def _follow_displaced(self, entry: Entry) -> None:
        """Handle a nonce that another transaction took. A lagging node looks the same, so ask several times."""
        if entry.misses + 1 < MISSES:
            pause = self._first_poll_seconds * 2**entry.misses
            await self._store.seen(entry, misses=entry.misses + 1, due_in_seconds=pause)
            return
        self._sent_here.discard(entry.id)
        self._log_event("proof needs another account nonce", entry, entry.sent[-1].signed.tx_id)
        await self._store.release(entry, due_in_seconds=0.0)

    async def _send_all(self, queued: list[Entry], view: ChainView, held: set[int]) -> None:
        fee = affordable_fee(view.market, max_fee_wei=self._max_fee_wei)
        if self._waits_for_fee != (fee is None):
            self._waits_for_fee = fee is None
            what = "proofs wait: the chain's fee exceeds the limit" if fee is None else "proofs are sent again"
            _log.warning(what, extra={"fields": {"chain_id": self._network.chain_id}})
        if fee is None:
            await self._store.defer(queued, due_in_seconds=self._fee_wait_seconds)
            return
        for entry in queued:
            gas, data = await self._estimate(entry)
            if gas is None:
                continue
            nonce = next_account_nonce(view.free_nonce, held)
            signed = self._sign(entry, nonce, fee, gas, data)
            await self._store.record_signed(entry, nonce, signed, due_in_seconds=self._first_poll_seconds)
            held.add(nonce)
            self._sent_here.add(entry.id)
            if await self._send(signed):
                self._log_event("proof sent", entry, signed.tx_id)
            else:
                # It is in no pool, so its nonce is free for the next one, and it cannot appear later.
                held.discard(nonce)
                self._sent_here.discard(entry.id)
                await self._store.release(entry, due_in_seconds=retry_seconds(entry.attempts))

    async def _estimate(self, entry: Entry) -> tuple[int | None, bytes]:
        """Return gas and calldata; None if it is not to be sent now, which is then recorded."""
        is_queued = entry.account_nonce is None
        account = self._network.account
        try:
            data = order_executed_data(entry.proof, account)
        except Unprovable as reason:
            if is_queued:
                await self._store.give_up(entry, str(reason), outcome="skipped")
            return None, b""
        call = {"from": account.address, "to": entry.proof.datatoken, "data": "0x" + data.hex()}
        (answer,) = await self._network.rpc.batch([RpcCall("eth_estimateGas", (call,))])
        gas = _gas(answer)
        if gas is not None and gas <= MAX_GAS:
            return gas, data
        if is_queued:
            await self._refused(entry, answer)
        return None, b""

    async def _refused(self, entry: Entry, answer: object) -> None:
        if not isinstance(answer, RpcFault):
            await self._store.give_up(entry, "it needs too much gas")
        elif answer.is_revert:
            await self._store.give_up(entry, "the contract refuses it")
        elif entry.attempts + 1 >= MAX_ATTEMPTS:
            await self._store.give_up(entry, "the node cannot estimate its gas")
        else:
            await self._store.retry(entry, due_in_seconds=retry_seconds(entry.attempts))

    def _sign(self, entry: Entry, nonce: int, fee: Fee, gas: int, data: bytes) -> SignedTransaction:
        network = self._network
        return sign_call(
            network.account,
            chain_id=network.chain_id,
            account_nonce=nonce,
            fee=fee,
            gas=gas,
            to=entry.proof.datatoken,
            data=data,
        )

    async def _send(self, signed: SignedTransaction) -> bool:
        """Send it to the chain. Returns False only if it surely entered no pool; in doubt, following it will tell."""
        try:
            (answer,) = await self._network.rpc.batch([RpcCall("eth_sendRawTransaction", ("0x" + signed.raw.hex(),))])
        except ChainError as error:
            _log.warning("sending a proof failed: %s", error.detail)
            return True
        if not isinstance(answer, RpcFault):
            return True
        # Expected: a node already has the transaction, or its nonce was used.
        _log.info("a node answered a proof: code %d: %s", answer.code, answer.message)
        return _NOT_TAKEN.search(answer.message) is None

    def _age(self, entry: Entry) -> float:
        return self._clock() - entry.sent[0].signed_at

    def _log_event(self, what: str, entry: Entry, tx_id: str) -> None:
        facts = {"chain_id": self._network.chain_id, "proof": entry.id, "tx_id": tx_id}
        _log.info(what, extra={"fields": facts})


def _gas(answer: object) -> int | None:
    """Add a fifth to the estimate, because the block's own values may change what is stored."""
    try:
        return int_of_hex(answer) * 6 // 5
    except AbiError:
        return None
