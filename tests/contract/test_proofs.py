"""Proofs of download on the real chain and to a real server: the queue, its file, and both senders."""

import asyncio
import itertools
import logging
import os
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account as EthAccount
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from provider.chain.config import RpcConfig
from provider.chain.networks import ZERO_ADDRESS, Network, Networks
from provider.chain.rpc import Rpc
from provider.crypto.accounts import Account
from provider.errors import ChainUnavailable, StoreError
from provider.observability.metrics.backends import Proofs
from provider.outgoing.client import ServiceClient
from provider.proofs import chain_sender, http_sender
from provider.proofs import queue as proof_queue
from provider.proofs.chain_sender import ChainSender
from provider.proofs.http_sender import HttpSender
from provider.proofs.proof import Proof
from provider.proofs.queue import ProofQueue
from provider.proofs.store import ProofStore, SendingLock
from provider.testing.chain.keys import PROVIDER_KEY, SPARE_KEYS
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Publisher
from provider.testing.ports import free_ports
from provider.testing.stage import DemoChain
from tests.support.proof_events import executed
from tests.support.rpc_proxy import RpcProxy, running_rpc_proxy

GWEI = 10**9
DID = "did:op:" + "ab" * 32
CHAIN_ID = 8996
_nonces = itertools.count(1)


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class Heard:
    """In place of the counter of outcomes."""

    def __init__(self, hear: Callable[[str, str, int], None]) -> None:
        self._hear = hear

    def add(self, kind: str, outcome: str, *, by: int = 1) -> None:
        self._hear(kind, outcome, by)


class Desk:
    """A store and what was observed of it; `restart` is the next life of the server over the same file."""

    def __init__(self, path: Path, *, kind: str = "chain", max_queued: int = 100) -> None:
        self.path = path
        self.kind = kind
        self.max_queued = max_queued
        self.clock = Clock()
        self.outcomes: Counter[str] = Counter()
        self.changed = asyncio.Event()
        self._stores: list[ProofStore] = []
        self.restart()

    def restart(self) -> None:
        self.store = ProofStore(
            self.path, kind=self.kind, max_queued=self.max_queued, metrics=self._metrics(), clock=self.clock
        )
        self._stores.append(self.store)

    async def close(self) -> None:
        for store in self._stores:
            await store.close()

    def _metrics(self) -> Proofs:
        metrics = Proofs()
        metrics.outcomes = Heard(self._hear)
        return metrics

    def _hear(self, kind: str, outcome: str, by: int) -> None:
        assert kind == self.kind
        self.outcomes[outcome] += by
        self.changed.set()

    async def add(self, *proofs: Proof) -> None:
        expected = self.outcomes.total() + len(proofs)
        for proof in proofs:
            self.store.add(proof, lambda: None)
        async with asyncio.timeout(30):
            while self.outcomes.total() < expected:
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
def between(chain: DemoChain) -> Iterator[RpcProxy]:
    with running_rpc_proxy(chain.url) as running:
        yield running


@pytest.fixture
def datatoken(offline_publisher: Publisher) -> str:
    return offline_publisher.create_nft()[1]


@pytest.fixture
def new_desk(tmp_path: Path, io_loop: IOLoop) -> Iterator[Callable[..., Desk]]:
    desks = []

    def new(path: str = "db.proofs", **options: Any) -> Desk:
        desks.append(Desk(tmp_path / path, **options))
        return desks[-1]

    yield new
    for desk in desks:
        io_loop.run_sync(desk.close)


@pytest.fixture
def desk(new_desk: Callable[..., Desk]) -> Desk:
    return new_desk()


def proof_of(consumer: Consumer, datatoken: str, size: int = 1000, **changes: Any) -> Proof:
    message = f"{DID}{next(_nonces)}"
    fields: dict[str, Any] = {
        "chain_id": CHAIN_ID,
        "datatoken": datatoken,
        "document_id": DID,
        "service_id": "0",
        "file_index": 0,
        "downloaded_bytes": size,
        "order_tx_id": "0x" + "11" * 32,
        "consumer": consumer.address,
        "messages": ("not signed", message),
        "consumer_signature": consumer.sign(message, ""),
        **changes,
    }
    return Proof(**fields)


@asynccontextmanager
async def network_at(url: str, *, key: str = PROVIDER_KEY, finality_blocks: int = 0) -> AsyncIterator[Network]:
    network = Network(
        chain_id=CHAIN_ID,
        name="Ganache",
        rpc=Rpc([url], RpcConfig(timeout_seconds=60), chain_id=CHAIN_ID),
        factory=ZERO_ADDRESS,
        fee_token="",
        account=Account.from_hex(key),
        finality_blocks=finality_blocks,
    )
    try:
        yield network
    finally:
        await network.rpc.close()


def sender_of(desk: Desk, network: Network, *, max_fee_gwei: float = 10) -> ChainSender:
    return ChainSender(network, store=desk.store, max_fee_wei=round(max_fee_gwei * GWEI), clock=desk.clock)


async def turns(desk: Desk, sender: ChainSender, count: int = 2, *, seconds: float = 70.0) -> None:
    """Let the sender look, with time passing between two looks."""
    for _ in range(count):
        await sender.turn()
        desk.clock.now += seconds


def sizes(chain: DemoChain, datatoken: str) -> list[int]:
    return [event.statement["downloadedBytes"] for event in executed(chain, datatoken)]


@pytest.mark.gen_test(timeout=30)
async def test_queued_proofs_take_consecutive_account_nonces_and_the_contract_accepts_each(
    chain: DemoChain, consumer: Consumer, datatoken: str, desk: Desk
) -> None:
    count = chain_sender.MAX_IN_FLIGHT + 4
    await desk.add(*(proof_of(consumer, datatoken, size) for size in range(count)))
    before = chain.w3.eth.get_transaction_count(Account.from_hex(PROVIDER_KEY).address)
    async with network_at(chain.url) as network:
        await turns(desk, sender_of(desk, network), 3)
    events = executed(chain, datatoken)
    assert sizes(chain, datatoken) == list(range(count))
    assert {event.consumer for event in events} == {consumer.address}
    used = [chain.w3.eth.get_transaction(event.tx_id)["nonce"] for event in events]
    assert used == list(range(before, before + count))
    assert desk.outcomes == {"queued": count, "confirmed": count}
    assert await desk.store.tidy(max_age_seconds=1e9) == 0


@pytest.mark.gen_test(timeout=30)
async def test_proof_is_confirmed_only_below_the_finality_depth(
    chain: DemoChain, consumer: Consumer, datatoken: str, desk: Desk
) -> None:
    await desk.add(proof_of(consumer, datatoken))
    async with network_at(chain.url, finality_blocks=3) as network:
        sender = sender_of(desk, network)
        await turns(desk, sender, 3)
        assert desk.outcomes == {"queued": 1}
        for _ in range(3):
            chain.rpc("evm_mine")
        await turns(desk, sender, 1)
    assert desk.outcomes["confirmed"] == 1


@pytest.mark.gen_test(timeout=30)
async def test_nothing_is_sent_while_the_chain_asks_more_than_the_bound(
    chain: DemoChain, between: RpcProxy, consumer: Consumer, datatoken: str, desk: Desk
) -> None:
    await desk.add(proof_of(consumer, datatoken))
    between.answers["eth_gasPrice"] = lambda _: hex(10 * GWEI + 1)
    async with network_at(between.url) as network:
        sender = sender_of(desk, network, max_fee_gwei=10)
        await turns(desk, sender, 3)
        assert between.raw_sent == []
        assert await desk.store.tidy(max_age_seconds=1e9) == 1
        between.answers["eth_gasPrice"] = lambda _: hex(10 * GWEI)
        await turns(desk, sender, 2)
    (event,) = executed(chain, datatoken)
    assert chain.w3.eth.get_transaction(event.tx_id)["gasPrice"] == 10 * GWEI


@pytest.mark.parametrize("tip", [hex(3 * GWEI), None], ids=["tip told", "no tip told"])
@pytest.mark.gen_test(timeout=30)
async def test_dynamic_fee_stays_within_the_bound(
    tip: str | None,
    chain: DemoChain,
    between: RpcProxy,
    consumer: Consumer,
    datatoken: str,
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chain_sender, "GANACHE_CHAIN_ID", 0)
    between.answers["eth_maxPriorityFeePerGas"] = lambda _: tip
    between.answers["eth_gasPrice"] = lambda _: hex(3 * GWEI)
    await desk.add(proof_of(consumer, datatoken))
    async with network_at(between.url) as network:
        await turns(desk, sender_of(desk, network, max_fee_gwei=4))
    (event,) = executed(chain, datatoken)
    sent = chain.w3.eth.get_transaction(event.tx_id)
    assert sent["type"] == 2
    assert 2.9 * GWEI < sent["maxPriorityFeePerGas"] <= 3 * GWEI
    assert 3 * GWEI <= sent["maxFeePerGas"] <= 4 * GWEI


@pytest.mark.gen_test(timeout=30)
async def test_lost_transaction_is_sent_again_and_those_behind_it_follow(
    chain: DemoChain, between: RpcProxy, consumer: Consumer, datatoken: str, desk: Desk
) -> None:
    await desk.add(proof_of(consumer, datatoken, 1), proof_of(consumer, datatoken, 2))
    between.drops = True
    async with network_at(between.url) as network:
        sender = sender_of(desk, network)
        await turns(desk, sender, 1)
        assert len(between.raw_sent) == 2
        between.drops = False
        await turns(desk, sender, 3)
    assert sizes(chain, datatoken) == [1, 2]
    assert len(set(between.raw_sent)) == 2
    assert desk.outcomes["confirmed"] == 2


@pytest.mark.gen_test(timeout=30)
async def test_stuck_transaction_is_replaced_with_a_higher_fee_but_never_above_the_bound(
    chain: DemoChain, between: RpcProxy, consumer: Consumer, datatoken: str, desk: Desk
) -> None:
    await desk.add(proof_of(consumer, datatoken))
    between.drops = True
    async with network_at(between.url) as network:
        sender = sender_of(desk, network, max_fee_gwei=2.5)
        await turns(desk, sender, 3, seconds=200)
        between.drops = False
        await turns(desk, sender, 2, seconds=200)
    signed = dict.fromkeys(between.raw_sent)
    assert len(signed) == 2, "2 gwei, then 2.25; 2.53 is above the bound"
    (event,) = executed(chain, datatoken)
    assert desk.outcomes["confirmed"] == 1
    assert {EthAccount.recover_transaction(raw) for raw in signed} == {event.provider}
    assert 2 * GWEI <= chain.w3.eth.get_transaction(event.tx_id)["gasPrice"] <= 2.5 * GWEI


@pytest.mark.parametrize("fault", ["cuts", "mutes"], ids=["question lost", "answer lost"])
@pytest.mark.gen_test(timeout=30)
async def test_crash_while_sending_takes_no_second_account_nonce(
    fault: str, chain: DemoChain, between: RpcProxy, consumer: Consumer, datatoken: str, desk: Desk
) -> None:
    await desk.add(proof_of(consumer, datatoken, 1), proof_of(consumer, datatoken, 2))
    setattr(between, fault, True)
    async with network_at(between.url) as network:
        await sender_of(desk, network).turn()
    setattr(between, fault, False)
    desk.clock.now += 60
    desk.restart()
    async with network_at(between.url) as network:
        await turns(desk, sender_of(desk, network), 3)
    assert sizes(chain, datatoken) == [1, 2]
    assert len(set(between.raw_sent)) == 2
    assert desk.outcomes["confirmed"] == 2


@pytest.mark.gen_test(timeout=30)
async def test_account_nonce_taken_by_a_stranger_is_replaced_once_that_is_sure(
    chain: DemoChain, between: RpcProxy, consumer: Consumer, datatoken: str, desk: Desk
) -> None:
    await desk.add(proof_of(consumer, datatoken))
    between.drops = True
    async with network_at(between.url) as network:
        sender = sender_of(desk, network)
        await turns(desk, sender, 1)
        between.drops = False
        chain.wallet(PROVIDER_KEY).send({"to": consumer.address, "value": 1})
        await turns(desk, sender, chain_sender.MISSES - 1)
        assert len(set(between.raw_sent)) == 1, "not sure so far"
        await turns(desk, sender, 3)
    assert len(executed(chain, datatoken)) == 1
    assert desk.outcomes["confirmed"] == 1


@pytest.mark.gen_test(timeout=30)
async def test_account_without_ether_keeps_its_proofs_until_it_has_some(
    chain: DemoChain, consumer: Consumer, datatoken: str, desk: Desk
) -> None:
    key = "0x" + "7b" * 31 + "01"
    await desk.add(proof_of(consumer, datatoken, 1), proof_of(consumer, datatoken, 2))
    async with network_at(chain.url, key=key) as network:
        sender = sender_of(desk, network)
        await turns(desk, sender, 2)
        assert desk.outcomes == {"queued": 2}
        chain.wallet(SPARE_KEYS[0]).send({"to": network.account.address, "value": 10**18})
        await turns(desk, sender, 3)
    assert sizes(chain, datatoken) == [1, 2]
    assert desk.outcomes["confirmed"] == 2


@pytest.mark.gen_test(timeout=30)
async def test_what_the_contract_refuses_or_what_costs_too_much_is_given_up(
    chain: DemoChain, consumer: Consumer, datatoken: str, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    signature = consumer.sign("another text", "")
    await desk.add(
        proof_of(consumer, chain.contracts.ocean),
        proof_of(consumer, datatoken, consumer_signature=signature),
        proof_of(consumer, datatoken, service_id="x" * 30_000),
    )
    with caplog.at_level(logging.DEBUG):
        async with network_at(chain.url) as network:
            await turns(desk, sender_of(desk, network))
    assert executed(chain, datatoken) == []
    assert desk.outcomes == {"queued": 3, "lost": 2, "skipped": 1}
    reasons = [record.__dict__["fields"]["reason"] for record in caplog.records if "fields" in record.__dict__]
    assert reasons == [
        "the contract refuses it",
        "the contract cannot verify the consumer's signature",
        "it needs too much gas",
    ]
    assert signature[2:] not in caplog.text


@pytest.mark.gen_test(timeout=30)
async def test_reverted_transaction_is_not_repeated(
    chain: DemoChain, between: RpcProxy, consumer: Consumer, desk: Desk
) -> None:
    await desk.add(proof_of(consumer, chain.contracts.ocean))
    between.answers["eth_estimateGas"] = lambda _: hex(100_000)
    async with network_at(between.url) as network:
        await turns(desk, sender_of(desk, network), 3)
    assert len(between.raw_sent) == 1
    assert desk.outcomes == {"queued": 1, "lost": 1}


class Taker(RequestHandler):
    """A proof service: keeps the forms, answers with the next of `statuses`, then 200."""

    forms: list[dict[str, str]]
    statuses: list[int]

    def post(self) -> None:
        assert self.request.headers["Content-Type"] == "application/x-www-form-urlencoded"
        assert self.request.uri == "/proofs?for=me"
        self.forms.append({name: self.get_body_argument(name) for name in self.request.body_arguments})
        self.set_status(self.statuses.pop(0) if self.statuses else 200)


@pytest.mark.gen_test(timeout=30)
async def test_http_proof_is_retried_until_the_service_takes_it(
    consumer: Consumer, new_desk: Callable[..., Desk]
) -> None:
    desk = new_desk(kind="http")
    proof = proof_of(consumer, "0x" + "d7" * 20)
    await desk.add(proof)
    taker = type("OneTaker", (Taker,), {"forms": [], "statuses": [500, 302]})
    listener, port = bind_unused_port()
    client = ServiceClient(f"http://127.0.0.1:{port}", name="proofs", timeout_seconds=60, max_bytes=1000)
    server = HTTPServer(Application([("/proofs", taker)], log_function=lambda _: None))
    server.add_socket(listener)
    async with network_at("http://127.0.0.1:9") as network:
        sender = HttpSender(client, "/proofs?for=me", networks=Networks({CHAIN_ID: network}), store=desk.store)
        for _ in range(4):
            await sender.turn()
            desk.clock.now += 600
    assert desk.outcomes == {"queued": 1, "confirmed": 1}
    assert len(taker.forms) == 3
    assert taker.forms[2]["consumerData"] == proof.messages[1]
    await sender.close()
    server.stop()
    await server.close_all_connections()


@pytest.mark.gen_test(timeout=30)
async def test_http_proof_is_lost_after_the_last_attempt_or_without_its_chain(
    consumer: Consumer, new_desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_sender, "MAX_ATTEMPTS", 2)
    desk = new_desk(kind="http")
    await desk.add(*(proof_of(consumer, "0x" + "d7" * 20, chain_id=chain_id) for chain_id in (CHAIN_ID, 137)))
    (port,) = free_ports(1)
    client = ServiceClient(f"http://127.0.0.1:{port}", name="proofs", timeout_seconds=60, max_bytes=1000)
    async with network_at("http://127.0.0.1:9") as network:
        sender = HttpSender(client, "/", networks=Networks({CHAIN_ID: network}), store=desk.store)
        await sender.turn()
        assert desk.outcomes["lost"] == 1
        desk.clock.now += 600
        await sender.turn()
    assert desk.outcomes == {"queued": 2, "lost": 2}
    await sender.close()


@pytest.mark.gen_test(timeout=30)
async def test_full_queue_and_failing_file_lose_the_proof_and_nothing_else(
    consumer: Consumer, new_desk: Callable[..., Desk]
) -> None:
    desk = new_desk(max_queued=2)
    await desk.add(*(proof_of(consumer, "0x" + "d7" * 20) for _ in range(3)))
    assert desk.outcomes == {"queued": 2, "lost": 1}
    broken = new_desk("missing/db.proofs")
    await broken.add(proof_of(consumer, "0x" + "d7" * 20))
    assert broken.outcomes == {"lost": 1}
    with pytest.raises(StoreError, match=r"storage"):
        await broken.store.open()


@pytest.mark.gen_test(timeout=30)
async def test_proof_that_waited_too_long_is_lost_and_keeps_no_signature(consumer: Consumer, desk: Desk) -> None:
    proof = proof_of(consumer, "0x" + "d7" * 20)
    await desk.add(proof)
    assert os.stat(desk.path).st_mode & 0o077 == 0
    desk.clock.now += 100
    assert await desk.store.tidy(max_age_seconds=101) == 1
    assert await desk.store.tidy(max_age_seconds=99) == 0
    assert desk.outcomes == {"queued": 1, "lost": 1}
    await desk.store.close()
    assert desk_rows(desk) == [("given_up", "too old", "")]


def desk_rows(desk: Desk) -> list[tuple[str, str, str]]:
    connection = sqlite3.connect(desk.path)
    try:
        return connection.execute("SELECT state, reason, record FROM proofs").fetchall()
    finally:
        connection.close()


@pytest.mark.gen_test(timeout=30)
async def test_one_process_sends_and_the_next_takes_over_when_it_ends(tmp_path: Path) -> None:
    first, second = SendingLock(tmp_path / "x"), SendingLock(tmp_path / "x")
    assert first.acquire()
    assert first.acquire()
    assert not second.acquire()
    first.release()
    assert second.acquire()
    second.release()


class Counting:
    """A sender that fails as told and tells of each turn."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.turns: asyncio.Queue[None] = asyncio.Queue()

    async def turn(self) -> bool:
        self.turns.put_nowait(None)
        if self.failures:
            raise self.failures.pop(0)
        return False

    async def close(self) -> None:
        pass


def queue_of(desk: Desk, sender: Counting) -> ProofQueue:
    store = ProofStore(desk.path, kind="chain", max_queued=9, metrics=Proofs())
    lock = SendingLock(desk.path)
    return ProofQueue(store, [sender], lock=lock, max_age_seconds=1e9, metrics=Proofs())


@pytest.mark.gen_test(timeout=20)
async def test_failing_sender_is_called_again_and_a_second_server_waits_for_the_end_of_the_first(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(proof_queue, "POLL_SECONDS", 0.01)
    sender, heir = Counting(ChainUnavailable(detail="away"), ValueError("a defect")), Counting()
    first, second = queue_of(desk, sender), queue_of(desk, heir)
    await first.start()
    await second.start()
    for _ in range(4):
        await sender.turns.get()
    assert heir.turns.empty()
    await first.close()
    await heir.turns.get()
    await second.close()
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert told == [("WARNING", "sending proofs failed: away"), ("ERROR", "sending proofs failed")]


class Slow(Counting):
    """A sender whose turn ends when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.let = asyncio.Event()
        self.ended = 0

    async def turn(self) -> bool:
        await super().turn()
        await self.let.wait()
        self.ended += 1
        return True


@pytest.mark.gen_test(timeout=60)
async def test_who_steps_back_ends_what_it_sends_and_the_next_takes_over_at_once(
    consumer: Consumer, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof_queue, "POLL_SECONDS", 0.01)
    refusals: asyncio.Queue[None] = asyncio.Queue()
    acquire = SendingLock.acquire

    def observed(lock: SendingLock) -> bool:
        acquired = acquire(lock)
        if not acquired:
            refusals.put_nowait(None)
        return acquired

    monkeypatch.setattr(SendingLock, "acquire", observed)
    sender, heir = Slow(), Counting()
    first, second = queue_of(desk, sender), queue_of(desk, heir)
    await first.start()
    await second.start()
    await sender.turns.get()
    first.hand_over()
    for _ in range(refusals.qsize() + 2):
        await refusals.get()
    # It still sends, and two must not.
    assert heir.turns.empty()
    sender.let.set()
    await heir.turns.get()
    assert (sender.ended, sender.turns.qsize()) == (1, 0)
    first.submit(proof_of(consumer, "0x" + "d7" * 20))
    await first.close()
    assert [state for state, _, _ in desk_rows(desk)] == ["queued"]
    await second.close()


@pytest.mark.gen_test(timeout=60)
async def test_who_hands_over_waits_neither_for_the_lock_nor_after_a_failure(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pause in ("POLL_SECONDS", "LONGEST_PAUSE_SECONDS", "TIDY_SECONDS"):
        monkeypatch.setattr(proof_queue, pause, 3600.0)
    failing, waiting, heir = Counting(ChainUnavailable(detail="away")), Counting(), Counting()
    first, second, third = queue_of(desk, failing), queue_of(desk, waiting), queue_of(desk, heir)
    await first.start()
    await failing.turns.get()
    await second.start()
    second.hand_over()
    first.hand_over()
    monkeypatch.setattr(proof_queue, "POLL_SECONDS", 0.01)
    await third.start()
    await heir.turns.get()
    assert waiting.turns.empty()
    for queue in (first, second, third):
        await queue.close()


class Stuck:
    """A sender whose service never answers."""

    def __init__(self) -> None:
        self.began = asyncio.Event()

    async def turn(self) -> bool:
        self.began.set()
        await asyncio.Event().wait()
        return False

    async def close(self) -> None:
        pass


@pytest.mark.gen_test(timeout=10)
async def test_closing_waits_for_no_answer_and_leaves_the_queue_on_disk(consumer: Consumer, desk: Desk) -> None:
    sender = Stuck()
    queue = ProofQueue(
        desk.store,
        [sender],
        lock=SendingLock(desk.path),
        max_age_seconds=1e9,
        metrics=Proofs(),
    )
    await queue.start()
    await sender.began.wait()
    queue.submit(proof_of(consumer, "0x" + "d7" * 20))
    queue.submit(proof_of(consumer, "0x" + "d7" * 20, consumer_signature=""))
    await queue.close()
    assert [state for state, _, _ in desk_rows(desk)] == ["queued"]
    assert desk.outcomes["skipped"] == 1
    queue.submit(proof_of(consumer, "0x" + "d7" * 20))
    assert desk.outcomes["lost"] == 1
