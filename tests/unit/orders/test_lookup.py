"""OrderLookup over a chain that counts its round trips: what is asked, when, and what is kept."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
from eth_abi import encode

from provider.cache import FactCache
from provider.chain import contracts, events
from provider.chain.config import RpcConfig
from provider.chain.jsonrpc import RpcCall, RpcFault
from provider.chain.networks import Network
from provider.chain.rpc import Rpc
from provider.crypto.accounts import Account
from provider.errors import ChainError, ChainUnavailable
from provider.orders import lookup as lookup_module
from provider.orders.lookup import OrderLookup, receipt_bytes

NFT, FACTORY = "0x" + "A1" * 20, "0x" + "F6" * 20
TX, STARTED_TX = "0x" + "ab" * 32, "0x" + "cd" * 32
DATATOKEN = "0xd2D2d2d2d2d2d2d2d2D2d2d2D2d2D2d2d2d2d2D2"
OWNER = "0xD1d1d1D1d1d1D1d1D1D1D1d1d1D1D1D1d1D1d1d1"
FINALITY = 10
HEAD = 1000
RECEIPT_BYTES = 1 << 20


def word(value: int | str) -> str:
    return f"{value:064x}" if isinstance(value, int) else value[2:].lower().rjust(64, "0")


def raw_log(topics: list[str], data: bytes) -> dict[str, object]:
    return {
        "address": DATATOKEN,
        "topics": topics,
        "data": "0x" + data.hex(),
        "blockNumber": "0x1",
        "transactionHash": TX,
        "logIndex": "0x0",
    }


def raw_receipt(tx_id: str = TX, *, block: int = 1, logs: Sequence[object] = ()) -> dict[str, object]:
    return {"transactionHash": tx_id, "blockNumber": hex(block), "status": "0x1", "logs": list(logs)}


def reused_log(order_tx_id: str = STARTED_TX) -> dict[str, object]:
    values = [bytes.fromhex(order_tx_id[2:]), DATATOKEN, 1, 1]
    return raw_log([events.ORDER_REUSED], encode(["bytes32", "address", "uint256", "uint256"], values))


class ChainRpc(Rpc):
    """The client with its HTTP replaced by a dictionary; batching and all else is the real thing."""

    def __init__(self) -> None:
        super().__init__(["http://127.0.0.1:1"], RpcConfig(), chain_id=8996)
        self.batches: list[list[str]] = []
        self.receipts: dict[str, object] = {TX: raw_receipt()}
        self.state: object = "0x" + word(128) + word(160) + word(5) + word(1)
        self.deployed: object = "0x" + word(1)
        self.listed: object = "0x" + word(NFT)
        self.owner: object = "0x" + word(OWNER)
        self.failure: Exception | None = None
        self.before_answer: Callable[[], None] = lambda: None

    async def batch(self, calls: Sequence[RpcCall], *, together: bool = True) -> list[object]:
        self.batches.append([self._name(call) for call in calls])
        await asyncio.sleep(0)
        self.before_answer()
        if self.failure is not None:
            raise self.failure
        return [self._answer(call) for call in calls]

    def _name(self, call: RpcCall) -> str:
        if call.method != "eth_call":
            return call.method
        transaction = call.params[0]
        assert isinstance(transaction, dict)
        selectors = {selector: signature for signature, selector in contracts.SELECTORS.items()}
        return selectors[transaction["data"][:10]]

    def _answer(self, call: RpcCall) -> object:
        answers = {
            "eth_blockNumber": hex(HEAD),
            "getMetaData()": self.state,
            "isDeployed(address)": self.deployed,
            "erc721List(address)": self.listed,
            "ownerOf(uint256)": self.owner,
        }
        name = self._name(call)
        return self.receipts.get(str(call.params[0])) if name == "eth_getTransactionReceipt" else answers[name]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Stage:
    """A lookup with its caches, clock and chain."""

    def __init__(self, *, wait_seconds: float = 0.05) -> None:
        self.clock = Clock()
        self.rpc = ChainRpc()
        self.network = Network(
            chain_id=8996,
            name="Ganache",
            rpc=self.rpc,
            factory=FACTORY,
            fee_token=DATATOKEN,
            account=Account.from_hex("01" * 32),
            finality_blocks=FINALITY,
        )
        self.receipts: FactCache = self._cache(3600, max_bytes=RECEIPT_BYTES, size_of=receipt_bytes)
        self.lookup = OrderLookup(
            states=self._cache(30),
            datatokens=self._cache(3600),
            receipts=self.receipts,
            factory_nfts=self._cache(3600),
            owners=self._cache(3600),
            unsettled_ttl_seconds=10,
            receipt_wait_seconds=wait_seconds,
        )

    def _cache(self, ttl_seconds: float, **more: object) -> FactCache:
        return FactCache(name="x", max_entries=100, ttl_seconds=ttl_seconds, clock=self.clock, **more)

    async def facts(self, tx_id: str = TX, *, wait: bool = True) -> tuple[int, lookup_module.OrderFacts]:
        return await self.lookup.facts(self.network, data_nft=NFT, datatoken=DATATOKEN, tx_id=tx_id, wait=wait)

    @property
    def batches(self) -> list[list[str]]:
        return self.rpc.batches


COLD = ["getMetaData()", "isDeployed(address)", "eth_getTransactionReceipt", "eth_blockNumber"]


@pytest.fixture(autouse=True)
def _poll_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup_module, "_FIRST_POLL_SECONDS", 0.001)


@pytest.mark.gen_test
async def test_a_cold_lookup_is_one_batch_and_a_warm_one_none() -> None:
    stage = Stage()
    state, facts = await stage.facts()
    assert state == 5
    assert facts.datatoken_deployed is True
    assert facts.receipt is not None
    assert facts.receipt.tx_id == TX
    assert facts.started_receipt is None
    assert stage.batches == [COLD]
    assert await stage.facts() == (state, facts)
    assert stage.batches == [COLD]


@pytest.mark.gen_test
async def test_a_reused_order_costs_one_more_batch() -> None:
    stage = Stage()
    stage.rpc.receipts = {TX: raw_receipt(logs=[reused_log()]), STARTED_TX: raw_receipt(STARTED_TX)}
    _, facts = await stage.facts()
    assert facts.started_receipt is not None
    assert facts.started_receipt.tx_id == STARTED_TX
    assert stage.batches == [COLD, ["eth_getTransactionReceipt", "eth_blockNumber"]]
    assert (await stage.facts())[1] == facts
    assert len(stage.batches) == 2


@pytest.mark.gen_test
async def test_a_reuse_of_an_unknown_order_is_not_waited_for() -> None:
    stage = Stage(wait_seconds=60)
    stage.rpc.receipts = {TX: raw_receipt(logs=[reused_log()])}
    _, facts = await stage.facts()
    assert facts.receipt is not None
    assert facts.started_receipt is None
    assert len(stage.batches) == 2


@pytest.mark.gen_test
async def test_a_warm_lookup_never_yields_to_the_loop() -> None:
    stage = Stage()
    stage.rpc.receipts = {TX: raw_receipt(logs=[reused_log()]), STARTED_TX: raw_receipt(STARTED_TX)}
    await stage.facts()
    coroutine = stage.facts()
    with pytest.raises(StopIteration) as done:
        coroutine.send(None)
    assert done.value.value[0] == 5


@pytest.mark.gen_test
async def test_only_what_expired_is_asked_again() -> None:
    stage = Stage()
    await stage.facts()
    stage.clock.now = 31
    await stage.facts()
    assert stage.batches == [COLD, ["getMetaData()"]]


@pytest.mark.gen_test
async def test_concurrent_lookups_share_one_batch() -> None:
    stage = Stage()
    results = await asyncio.gather(*(stage.facts() for _ in range(50)))
    assert stage.batches == [COLD]
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize(
    ("depth", "kept"),
    [(FINALITY + 1, True), (FINALITY, True), (FINALITY - 1, False), (0, False), (-3, False)],
    ids=["deeper", "deep enough", "not yet", "head", "ahead of a lagging node"],
)
@pytest.mark.gen_test
async def test_a_receipt_is_kept_long_only_when_final(depth: int, kept: bool) -> None:
    stage = Stage()
    stage.rpc.receipts = {TX: raw_receipt(block=HEAD - depth)}
    await stage.facts()
    stage.clock.now = 9
    await stage.facts()
    assert len(stage.batches) == 1
    stage.clock.now = 11
    await stage.facts()
    assert stage.batches[1:] == ([] if kept else [["eth_getTransactionReceipt", "eth_blockNumber"]])


@pytest.mark.gen_test
async def test_an_unknown_transaction_is_waited_for_within_bounds() -> None:
    stage = Stage()
    stage.rpc.receipts = {}
    _, facts = await stage.facts()
    assert facts.receipt is None
    assert facts.datatoken_deployed is True
    assert stage.batches[0] == COLD
    assert len(stage.batches) == 1 + 6  # 50 ms in pauses of 1, 2, 4, 8, 16 and 19 ms
    assert len(stage.receipts) == 0


@pytest.mark.gen_test
async def test_a_transaction_that_is_mined_meanwhile_is_found() -> None:
    stage = Stage(wait_seconds=4)
    stage.rpc.receipts = {}

    def mine_after_two() -> None:
        if len(stage.batches) > 2:
            stage.rpc.receipts = {TX: raw_receipt()}

    stage.rpc.before_answer = mine_after_two
    _, facts = await stage.facts()
    assert facts.receipt is not None
    assert len(stage.batches) == 3


@pytest.mark.gen_test
async def test_nothing_is_waited_for_when_the_order_cannot_be_valid_or_the_caller_does_not_wish() -> None:
    stage = Stage(wait_seconds=60)
    stage.rpc.receipts = {}
    assert (await stage.facts(wait=False))[1].receipt is None
    assert len(stage.batches) == 1
    stage = Stage(wait_seconds=60)
    stage.rpc.receipts, stage.rpc.deployed = {}, "0x" + word(0)
    _, facts = await stage.facts()
    assert (facts.receipt, facts.datatoken_deployed) == (None, False)
    assert len(stage.batches) == 1


@pytest.mark.gen_test
async def test_a_failing_chain_is_never_an_answer_and_never_kept() -> None:
    stage = Stage()
    stage.rpc.failure = ChainUnavailable()
    for ask in (
        stage.facts,
        lambda: stage.lookup.nft_state(stage.network, NFT),
        lambda: stage.lookup.is_deployed(stage.network, NFT, DATATOKEN),
        lambda: stage.lookup.is_factory_nft(stage.network, NFT),
        lambda: stage.lookup.nft_owner(stage.network, NFT),
        lambda: stage.lookup.receipt(stage.network, TX),
    ):
        with pytest.raises(ChainUnavailable):
            await ask()
    stage.rpc.failure = None
    assert (await stage.facts())[0] == 5


@pytest.mark.parametrize("fault", [RpcFault(-32603, "internal"), "nonsense", None, 5], ids=repr)
@pytest.mark.gen_test
async def test_a_fault_of_the_node_about_one_call_is_an_error(fault: object) -> None:
    for field in ("state", "deployed"):
        stage = Stage()
        setattr(stage.rpc, field, fault)
        with pytest.raises(ChainError):
            await stage.facts()
    stage = Stage()
    stage.rpc.receipts = {TX: fault if fault is not None else "0x"}
    with pytest.raises(ChainError):
        await stage.facts()


@pytest.mark.gen_test
async def test_the_receipt_of_another_transaction_is_not_believed() -> None:
    stage = Stage()
    stage.rpc.receipts = {TX: raw_receipt(STARTED_TX)}
    with pytest.raises(ChainError):
        await stage.facts()


@pytest.mark.gen_test
async def test_an_address_without_contract_is_a_negative_answer_for_a_short_time() -> None:
    stage = Stage()
    stage.rpc.state, stage.rpc.deployed = "0x", RpcFault(3, "execution reverted")
    state, facts = await stage.facts()
    assert (state, facts.datatoken_deployed) == (contracts.NO_STATE, False)
    stage.clock.now = 11
    stage.rpc.deployed = "0x" + word(1)
    assert (await stage.facts())[1].datatoken_deployed is True


@pytest.mark.parametrize(
    ("listed", "genuine"),
    [("0x" + word(NFT), True), ("0x" + word(0), False), ("0x" + word(FACTORY), False), ("0x", False)],
    ids=["same", "zero", "other", "no factory there"],
)
@pytest.mark.gen_test
async def test_a_data_nft_is_genuine_when_the_factory_lists_it(listed: str, genuine: bool) -> None:
    stage = Stage(wait_seconds=0)
    stage.rpc.listed = listed
    assert await stage.lookup.is_factory_nft(stage.network, NFT) is genuine
    assert await stage.lookup.is_factory_nft(stage.network, NFT) is genuine
    assert stage.batches == [["erc721List(address)"]]
    stage.clock.now = 11  # only a negative answer may change
    await stage.lookup.is_factory_nft(stage.network, NFT)
    assert len(stage.batches) == (1 if genuine else 2)


@pytest.mark.gen_test
async def test_the_zero_address_is_no_data_nft_although_the_factory_lists_zero_for_it() -> None:
    stage = Stage(wait_seconds=0)
    stage.rpc.listed = "0x" + word(0)
    assert await stage.lookup.is_factory_nft(stage.network, "0x" + "0" * 40) is False
    assert stage.batches == []


@pytest.mark.parametrize(
    ("told", "owner"),
    [("0x" + word(OWNER), OWNER), ("0x", None), (RpcFault(3, "execution reverted"), None)],
    ids=["owner", "no contract there", "no such token"],
)
@pytest.mark.gen_test
async def test_an_owner_is_kept_and_that_there_is_none_only_for_a_short_time(told: object, owner: str | None) -> None:
    stage = Stage(wait_seconds=0)
    stage.rpc.owner = told
    assert await stage.lookup.nft_owner(stage.network, NFT) == owner
    assert await stage.lookup.nft_owner(stage.network, NFT) == owner
    assert stage.batches == [["ownerOf(uint256)"]]
    stage.clock.now = 11
    await stage.lookup.nft_owner(stage.network, NFT)
    assert len(stage.batches) == (1 if owner else 2)


def _asked(stage: Stage) -> dict[str, Callable[[], Awaitable[object]]]:
    lookup, network = stage.lookup, stage.network
    return {
        "state": lambda: lookup.nft_state(network, NFT),
        "deployed": lambda: lookup.is_deployed(network, NFT, DATATOKEN),
        "listed": lambda: lookup.is_factory_nft(network, NFT),
        "owner": lambda: lookup.nft_owner(network, NFT),
    }


@pytest.mark.parametrize("fact", ["state", "deployed", "listed", "owner"])
@pytest.mark.gen_test
async def test_a_contract_that_is_not_there_yet_is_waited_for(fact: str) -> None:
    stage = Stage()
    told = getattr(stage.rpc, fact)
    setattr(stage.rpc, fact, "0x")

    def mined_meanwhile() -> None:
        if len(stage.batches) == 2:
            setattr(stage.rpc, fact, told)

    stage.rpc.before_answer = mined_meanwhile
    known = await _asked(stage)[fact]()
    assert known == {"state": 5, "deployed": True, "listed": True, "owner": OWNER}[fact]
    assert len(stage.batches) == 2


@pytest.mark.parametrize("fact", ["state", "deployed", "listed", "owner"])
@pytest.mark.gen_test
async def test_a_contract_that_is_not_there_is_asked_elsewhere_and_kept_only_for_a_short_time(
    fact: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage()
    elsewhere: list[object] = []

    async def ask_elsewhere(calls: Sequence[RpcCall]) -> list[object] | None:
        elsewhere.extend(calls)
        return ["0x"]

    monkeypatch.setattr(stage.rpc, "elsewhere", ask_elsewhere)
    setattr(stage.rpc, fact, "0x")
    nothing = {"state": contracts.NO_STATE, "deployed": False, "listed": False, "owner": None}[fact]
    assert await _asked(stage)[fact]() == nothing
    assert len(elsewhere) == 1
    asked = len(stage.batches)
    assert await _asked(stage)[fact]() == nothing
    assert len(stage.batches) == asked
    stage.clock.now = 11
    await _asked(stage)[fact]()
    assert len(stage.batches) > asked


@pytest.mark.gen_test
async def test_a_contract_and_a_receipt_that_another_node_has_are_known_without_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage(wait_seconds=3600)
    known, receipts = stage.rpc.state, dict(stage.rpc.receipts)

    async def ask_elsewhere(calls: Sequence[RpcCall]) -> list[object] | None:
        answers = {"eth_getTransactionReceipt": receipts.get(TX), "eth_blockNumber": hex(HEAD), "eth_call": known}
        return [answers[call.method] for call in calls]

    monkeypatch.setattr(stage.rpc, "elsewhere", ask_elsewhere)
    stage.rpc.state = "0x"
    stage.rpc.receipts.clear()
    state, facts = await stage.facts()
    assert state == 5
    assert facts.receipt is not None
    assert facts.receipt.tx_id == TX
    assert stage.batches == [COLD]


@pytest.mark.parametrize("named", [[(8996, NFT)], None], ids=["this NFT", "any"])
@pytest.mark.gen_test
async def test_state_and_owner_of_an_nft_with_an_event_are_asked_again(named: list[tuple[int, str]] | None) -> None:
    stage = Stage()
    assert await stage.lookup.nft_state(stage.network, NFT) == 5
    assert await stage.lookup.nft_owner(stage.network, NFT) == OWNER
    stage.rpc.state, stage.rpc.owner = "0x" + word(128) + word(160) + word(3) + word(1), "0x" + word(FACTORY)
    stage.lookup.forget([(8996, FACTORY)])
    assert await stage.lookup.nft_state(stage.network, NFT) == 5
    stage.lookup.forget(named)
    assert await stage.lookup.nft_state(stage.network, NFT) == 3
    assert (await stage.lookup.nft_owner(stage.network, NFT) or "").lower() == FACTORY.lower()


@pytest.mark.gen_test
async def test_receipt_and_state_for_decrypt_leave_in_one_batch() -> None:
    stage = Stage()
    genuine, state, receipt = await asyncio.gather(
        stage.lookup.is_factory_nft(stage.network, NFT),
        stage.lookup.nft_state(stage.network, NFT),
        stage.lookup.receipt(stage.network, TX),
    )
    assert (genuine, state) == (True, 5)
    assert receipt is not None
    assert len(stage.batches) == 1
    assert await stage.lookup.receipt(stage.network, TX) == receipt
    assert len(stage.batches) == 1


@pytest.mark.gen_test
async def test_an_unknown_receipt_is_none_after_the_wait() -> None:
    stage = Stage()
    stage.rpc.receipts = {}
    assert await stage.lookup.receipt(stage.network, TX) is None
    assert len(stage.batches) > 1


def started_log(payer: int) -> dict[str, object]:
    values = [f"0x{payer:040x}", 10**18, 0, 1_700_000_000, OWNER, payer]
    types = ["address", "uint256", "uint256", "uint256", "address", "uint256"]
    return raw_log([events.ORDER_STARTED, "0x" + word(OWNER), "0x" + word(OWNER)], encode(types, values))


def fee_log(data: bytes) -> dict[str, object]:
    topic = "0x" + word(NFT)
    types = ["uint256", "bytes", "uint8", "bytes32", "bytes32", "uint256"]
    return raw_log([events.PROVIDER_FEE, topic, topic], encode(types, [0, data, 27, bytes(32), bytes(32), 0]))


def document_log(size: int) -> dict[str, object]:
    types = ["uint8", "string", "bytes", "bytes", "bytes32", "uint256", "uint256"]
    data = encode(types, [0, "", b"", b"x" * size, bytes(32), 0, 0])
    return raw_log([events.METADATA_CREATED, "0x" + word(NFT)], data)


@pytest.mark.gen_test
async def test_a_transaction_with_fifty_orders_is_read_once() -> None:
    stage = Stage()
    stage.rpc.receipts = {TX: raw_receipt(logs=[*(started_log(n) for n in range(50)), *[fee_log(b"x" * 250)] * 50])}
    _, facts = await stage.facts()
    assert facts.receipt is not None
    assert (len(facts.receipt.order_started), len(facts.receipt.provider_fees)) == (50, 50)
    asked = len(stage.batches)
    for _ in range(3):
        assert await stage.facts() == (5, facts)
    assert len(stage.batches) == asked


@pytest.mark.parametrize("log", [document_log, lambda size: fee_log(b"x" * size)], ids=["document", "fee"])
@pytest.mark.gen_test
async def test_kept_receipts_take_no_more_memory_than_they_may(log: Callable[[int], dict[str, object]]) -> None:
    stage = Stage()
    for number in range(60):
        tx_id = f"0x{number:064x}"
        stage.rpc.receipts = {tx_id: raw_receipt(tx_id, logs=[log(RECEIPT_BYTES // 16)])}
        assert await stage.lookup.receipt(stage.network, tx_id) is not None
    assert RECEIPT_BYTES * 3 // 4 < stage.receipts.held_bytes <= RECEIPT_BYTES
    stage.rpc.receipts = {TX: raw_receipt(logs=[log(RECEIPT_BYTES // 8)])}
    assert await stage.lookup.receipt(stage.network, TX) is not None
    assert stage.receipts.peek((8996, TX)) is None, "one receipt may not drive out the others"
    assert len(stage.receipts) > 10


@pytest.mark.gen_test
async def test_facts_of_one_chain_are_not_those_of_another() -> None:
    stage = Stage()
    await stage.facts()
    other = Stage()
    other.rpc.state = "0x" + word(128) + word(160) + word(3) + word(1)
    network = Network(
        chain_id=1, name="mainnet", rpc=other.rpc, factory=FACTORY, fee_token=NFT, account=stage.network.account
    )
    state, _ = await stage.lookup.facts(network, data_nft=NFT, datatoken=DATATOKEN, tx_id=TX)
    assert state == 3
    assert other.batches == [COLD]
