"""Rpc against real HTTP servers that play nodes: what one exchange is, batches, chain ids, connections."""

import asyncio
import base64

import pytest
from aiohttp import web

from provider.chain import endpoint as endpoint_module
from provider.chain.config import RpcConfig
from provider.chain.contracts import foreign_call
from provider.chain.jsonrpc import TOO_LARGE, RpcCall, RpcFault
from provider.chain.rpc import Rpc
from provider.errors import ChainError, ChainUnavailable
from provider.observability.metrics.backends import Chains
from tests.support.illnesses import BATCH_REFUSALS
from tests.support.rpc_nodes import CHAIN_ID, Node, is_available, playing, until

NUMBER = RpcCall("eth_blockNumber")
BALANCE = RpcCall("eth_getBalance", ("0x00", "latest"))


@pytest.mark.gen_test
async def test_the_first_batch_verifies_the_chain_in_the_same_round_trip() -> None:
    node = Node()
    async with playing(node) as rpc:
        assert await rpc.batch([NUMBER, BALANCE]) == ["0x64", "0x5"]
        assert await rpc.batch([NUMBER, BALANCE]) == ["0x64", "0x5"]
    assert node.methods == [
        ["eth_chainId", "eth_blockNumber", "eth_getBalance"],
        ["eth_blockNumber", "eth_getBalance"],
    ]


@pytest.mark.gen_test
async def test_a_single_call_is_no_batch_and_an_empty_batch_no_request() -> None:
    node = Node()
    async with playing(node, chain_id=None) as rpc:
        assert await rpc.call("eth_blockNumber") == "0x64"
        assert await rpc.batch([]) == []
    assert [type(request) for request in node.requests] == [dict]


@pytest.mark.gen_test
async def test_a_fault_is_a_value_in_a_batch_and_an_error_of_a_call() -> None:
    async with playing(Node()) as rpc:
        assert await rpc.batch([NUMBER, RpcCall("eth_nothing")]) == ["0x64", RpcFault(-32601, "method not found")]
        with pytest.raises(ChainError) as caught:
            await rpc.call("eth_nothing")
    assert not isinstance(caught.value, ChainUnavailable)
    assert "method not found" not in caught.value.public_text


class Picky(Node):
    """Takes `most` calls at a time and refuses more in one of many ways."""

    def __init__(self, refusal: str, most: int) -> None:
        super().__init__()
        self.refusal, self.most = refusal, most

    def _good(self, request: web.Request, sent: object) -> object:
        if isinstance(sent, list) and len(sent) > self.most:
            status, body = BATCH_REFUSALS[self.refusal]
            return web.Response(text=body, status=status)
        return super()._good(request, sent)

    @property
    def sizes(self) -> list[int]:
        return [len(methods) for methods in self.methods]


@pytest.mark.parametrize("refusal", BATCH_REFUSALS)
@pytest.mark.gen_test
async def test_a_batch_that_fails_in_any_way_is_asked_singly_and_that_is_remembered(refusal: str) -> None:
    node = Picky(refusal, most=1)
    async with playing(node) as rpc:
        for _ in range(4):
            assert await rpc.batch([NUMBER, BALANCE, NUMBER, BALANCE]) == ["0x64", "0x5", "0x64", "0x5"]
            assert is_available(rpc)
        node.requests.clear()
        assert await rpc.batch([NUMBER, BALANCE, NUMBER, BALANCE]) == ["0x64", "0x5", "0x64", "0x5"]
    assert node.sizes == [1, 1, 1, 1]


@pytest.mark.parametrize("refusal", BATCH_REFUSALS)
@pytest.mark.gen_test
async def test_a_smaller_batch_that_works_is_learned(refusal: str) -> None:
    node = Picky(refusal, most=3)
    async with playing(node) as rpc:
        for _ in range(4):
            assert await rpc.batch([NUMBER] * 5) == ["0x64"] * 5
        node.requests.clear()
        assert await rpc.batch([NUMBER] * 5) == ["0x64"] * 5
        assert is_available(rpc)
    assert sorted(node.sizes) == [2, 3]


@pytest.mark.gen_test
async def test_calls_that_fail_singly_are_faults_of_their_own() -> None:
    node = Node("no_batches")

    def one_of_them_fails(request: web.Request, sent: object) -> object:
        if isinstance(sent, list) or sent["method"] == "eth_getBalance":  # type: ignore[index]
            return web.Response(status=500)
        return node._result(sent)  # type: ignore[arg-type]

    node._no_batches = one_of_them_fails  # type: ignore[method-assign]
    async with playing(node) as rpc:
        number, balance = await rpc.batch([NUMBER, BALANCE])
        assert number == "0x64"
        assert isinstance(balance, RpcFault)
        assert is_available(rpc)


@pytest.mark.gen_test
async def test_single_calls_are_under_way_at_once() -> None:
    node = Node("no_batches")
    async with playing(node) as rpc:
        await rpc.batch([NUMBER, BALANCE])
        asked = len(node.requests)
        await rpc.batch([NUMBER, BALANCE])
        asked = len(node.requests)
        node.mode = "slow"
        waiting = asyncio.create_task(rpc.batch([NUMBER] * 10))
        await until(lambda: len(node.requests) == asked + 10)
        node.released.set()
        assert await waiting == ["0x64"] * 10


@pytest.mark.gen_test
async def test_an_error_object_with_a_client_error_status_is_an_answer() -> None:
    async with playing(Node("error_with_status"), chain_id=None) as rpc:
        assert await rpc.batch([NUMBER]) == [RpcFault(3, "execution reverted")]
        assert is_available(rpc)


@pytest.mark.gen_test
async def test_a_kept_connection_that_was_closed_is_no_failure() -> None:
    node = Node()
    async with playing(node) as rpc:
        await rpc.call("eth_blockNumber")
        node.mode = "hanging_up_once"
        assert await rpc.call("eth_blockNumber") == "0x64"
        assert is_available(rpc)


@pytest.mark.gen_test
async def test_connections_are_kept() -> None:
    ports = set()
    node = Node()
    plain = node._good

    def note(request: web.Request, sent: object) -> object:
        assert request.transport is not None
        ports.add(request.transport.get_extra_info("peername"))
        return plain(request, sent)

    node._good = note  # type: ignore[method-assign]
    async with playing(node) as rpc:
        for _ in range(5):
            await rpc.call("eth_blockNumber")
    assert len(ports) == 1


@pytest.mark.gen_test
async def test_credentials_of_the_url_become_a_header() -> None:
    node = Node()
    async with playing(node):
        url = node.url.replace("http://", "http://us%40er:p%3Ass@")
        rpc = Rpc([url], RpcConfig(), chain_id=None)
        await rpc.call("eth_blockNumber")
        await rpc.close()
    (headers,) = node.headers
    assert base64.b64decode(headers["Authorization"].removeprefix("Basic ")) == b"us@er:p:ss"
    assert headers["User-Agent"] == "OceanProvider/3.0.0"
    assert headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("url", ["", "ws://127.0.0.1:1", "ftp://secret@host", "127.0.0.1:8545", "http://"])
def test_an_unusable_url_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ValueError, match="RPC endpoint 2") as caught:
        Rpc(["http://127.0.0.1:1", url], RpcConfig(), chain_id=1)
    assert "secret" not in str(caught.value)


def test_no_endpoint_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Rpc([], RpcConfig(), chain_id=1)


@pytest.mark.gen_test
async def test_calls_submitted_in_one_turn_leave_in_one_batch() -> None:
    node = Node()
    async with playing(node) as rpc:
        results = await asyncio.gather(rpc.submit(NUMBER), rpc.submit(BALANCE), rpc.submit(RpcCall("eth_nothing")))
        assert results == ["0x64", "0x5", RpcFault(-32601, "method not found")]
        assert node.methods == [["eth_chainId", "eth_blockNumber", "eth_getBalance", "eth_nothing"]]


@pytest.mark.gen_test
async def test_many_submitted_calls_leave_in_bounded_batches() -> None:
    node = Node()
    async with playing(node, chain_id=None) as rpc:
        assert await asyncio.gather(*(rpc.submit(NUMBER) for _ in range(120))) == ["0x64"] * 120
    assert sorted(len(methods) for methods in node.methods) == [20, 50, 50]


@pytest.mark.gen_test
async def test_a_failed_batch_fails_every_submitted_call_and_a_cancelled_one_disturbs_nobody() -> None:
    async with playing(Node("failing")) as rpc:
        outcomes = await asyncio.gather(*(rpc.submit(NUMBER) for _ in range(3)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [ChainUnavailable] * 3
    node = Node("slow")
    async with playing(node) as rpc:
        first, second = rpc.submit(NUMBER), rpc.submit(BALANCE)
        await until(lambda: len(node.requests) == 1)
        first.cancel()
        node.released.set()
        assert await second == "0x5"
        early = rpc.submit(NUMBER)
        early.cancel()
        assert await rpc.submit(BALANCE) == "0x5"
        assert node.methods[-1] == ["eth_getBalance"]


@pytest.mark.gen_test
async def test_the_chain_id_is_learned_once_and_then_demanded_of_all() -> None:
    first, second = Node(chain_id=5), Node(chain_id=6)
    async with playing(first, second, chain_id=None) as rpc:
        assert rpc.chain_id is None
        assert await rpc.learn_chain_id() == 5
        assert await rpc.learn_chain_id() == 5
        assert first.methods == [["eth_chainId"]]
        first.mode = "failing"
        with pytest.raises(ChainUnavailable):
            await rpc.call("eth_blockNumber")
    assert second.methods == [["eth_chainId", "eth_blockNumber"]]


@pytest.mark.parametrize("answer", ["mainnet", "0xzz", 5, None], ids=repr)
@pytest.mark.gen_test
async def test_a_chain_id_that_is_no_number_is_not_learned(answer: object) -> None:
    node = Node()
    node._result = lambda call: {"jsonrpc": "2.0", "id": call["id"], "result": answer}  # type: ignore[method-assign]
    async with playing(node, chain_id=None) as rpc:
        with pytest.raises(ChainError):
            await rpc.learn_chain_id()
    async with playing(node_of_text := Node()) as rpc:
        node_of_text._result = node._result  # type: ignore[method-assign]
        with pytest.raises(ChainUnavailable):
            await rpc.call("eth_blockNumber")


@pytest.mark.gen_test
async def test_a_closed_client_is_unavailable_and_leaves_nothing_waiting() -> None:
    node = Node("slow")
    async with playing(node) as rpc:
        waiting = rpc.submit(NUMBER)
        await until(lambda: len(node.requests) == 1)
        await rpc.close()
        assert waiting.cancelled()
        with pytest.raises(ChainUnavailable):
            await rpc.call("eth_blockNumber")


@pytest.mark.gen_test
async def test_a_cancelled_call_ends_its_request() -> None:
    node = Node("slow")
    async with playing(node) as rpc:
        waiting = asyncio.create_task(rpc.call("eth_blockNumber"))
        await until(lambda: len(node.requests) == 1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        node.mode = "good"
        assert await rpc.call("eth_blockNumber") == "0x64"


@pytest.mark.gen_test
async def test_a_receipt_with_too_many_logs_fails_its_own_call_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_module, "MAX_REPLY_LOGS", 10)
    node = Node()
    plain = node._result

    def result(call: dict) -> dict:
        if call["method"] == "eth_getTransactionReceipt":
            return {"jsonrpc": "2.0", "id": call["id"], "result": {"logs": [{"topics": []}] * 11}}
        return plain(call)

    node._result = result  # type: ignore[method-assign]
    async with playing(node) as rpc:
        receipt = RpcCall("eth_getTransactionReceipt", ("0x00",))
        assert await asyncio.gather(rpc.submit(NUMBER), rpc.submit(receipt), rpc.submit(BALANCE)) == [
            "0x64",
            TOO_LARGE,
            "0x5",
        ]
        assert is_available(rpc)
        assert await rpc.batch([NUMBER, BALANCE]) == ["0x64", "0x5"]
    # The length of one answer says nothing about batches.
    assert node.methods[-1] == ["eth_blockNumber", "eth_getBalance"]


@pytest.mark.gen_test
async def test_contracts_of_strangers_share_a_request_with_nobody_and_no_health() -> None:
    node = Node()
    async with playing(node) as rpc:
        await rpc.batch([NUMBER])
        node.requests.clear()
        first, second = foreign_call("0xA", "0x"), foreign_call("0xB", "0x")
        await asyncio.gather(*map(rpc.submit, [NUMBER, first, BALANCE, second, first]))
        assert sorted(map(len, node.methods)) == [1, 2, 2]
        assert ["eth_blockNumber", "eth_getBalance"] in node.methods
        node.mode = "failing"
        with pytest.raises(ChainUnavailable):
            await rpc.submit(first)
        assert is_available(rpc)
        with pytest.raises(ChainUnavailable):
            await rpc.submit(NUMBER)
        assert not is_available(rpc)


@pytest.mark.gen_test
@pytest.mark.parametrize(("idle", "counted"), [([], 2), ([CHAIN_ID], 0), ([CHAIN_ID + 1], 2)])
async def test_heads_of_a_chain_that_may_stand_still_are_not_counted(idle: list[int], counted: int) -> None:
    metrics = Chains()
    async with playing(Node(), metrics=metrics, idle_chains=frozenset(idle)) as rpc:
        await rpc.batch([NUMBER])
        await rpc.batch([NUMBER])
    assert dict(metrics.heads.values) == {(CHAIN_ID,): counted}
    assert dict(metrics.block_height.values) == {(CHAIN_ID,): 100}
