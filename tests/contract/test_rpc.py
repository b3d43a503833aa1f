"""Rpc against real HTTP servers that play good, failing, lying, slow and peculiar nodes."""

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from provider.chain import endpoint as endpoint_module
from provider.chain import health as health_module
from provider.chain.jsonrpc import RpcCall, RpcFault
from provider.chain.rpc import Rpc
from provider.errors import ChainError, ChainUnavailable

CHAIN_ID = 8996
NUMBER = RpcCall("eth_blockNumber")
BALANCE = RpcCall("eth_getBalance", ("0x00", "latest"))


class Node:
    """A JSON-RPC server whose manners are set by `mode`."""

    def __init__(self, mode: str = "good", chain_id: int = CHAIN_ID) -> None:
        self.mode = mode
        self.chain_id = chain_id
        self.height = 100
        self.requests: list[object] = []
        self.headers: list[dict[str, str]] = []
        self.released = asyncio.Event()
        self.server = TestServer(self._application())

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=2**26)
        application.router.add_post("/{path:.*}", self._answer)
        return application

    @property
    def url(self) -> str:
        return str(self.server.make_url("/v1/secret-key"))

    @property
    def methods(self) -> list[list[str]]:
        """Methods of each HTTP request."""
        return [
            [call["method"] for call in (request if isinstance(request, list) else [request])]
            for request in self.requests
        ]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        sent = orjson.loads(await request.read())
        self.requests.append(sent)
        self.headers.append(dict(request.headers))
        handler: Callable[..., object] = getattr(self, f"_{self.mode}")
        answer = handler(request, sent)
        if asyncio.iscoroutine(answer):
            answer = await answer
        return answer if isinstance(answer, web.StreamResponse) else self._json(answer)

    def _json(self, value: object, status: int = 200) -> web.Response:
        return web.Response(body=orjson.dumps(value), content_type="application/json", status=status)

    def _result(self, call: dict) -> dict:
        reply = {"jsonrpc": "2.0", "id": call["id"]}
        if call["method"] == "eth_chainId":
            return {**reply, "result": hex(self.chain_id)}
        if call["method"] == "eth_blockNumber":
            return {**reply, "result": hex(self.height)}
        if call["method"] == "eth_getBalance":
            return {**reply, "result": "0x5"}
        return {**reply, "error": {"code": -32601, "message": "method not found"}}

    def _good(self, request: web.Request, sent: object) -> object:
        return [self._result(call) for call in reversed(sent)] if isinstance(sent, list) else self._result(sent)

    def _failing(self, request: web.Request, sent: object) -> object:
        return web.Response(status=503, text="upstream at http://10.0.0.1/ is down")

    def _throttled(self, request: web.Request, sent: object) -> object:
        return web.Response(status=429)

    def _patient(self, request: web.Request, sent: object) -> object:
        return web.Response(status=429, headers={"Retry-After": "120"})

    def _limited(self, request: web.Request, sent: object) -> object:
        return {"jsonrpc": "2.0", "id": None, "error": {"code": 429, "message": "compute units exhausted"}}

    def _partly_limited(self, request: web.Request, sent: object) -> object:
        replies = self._good(request, sent)
        last = replies[0] if isinstance(replies, list) else replies
        last.pop("result", None)
        last["error"] = {"code": -32000, "message": "request rate limit reached"}
        return replies

    async def _slow(self, request: web.Request, sent: object) -> object:
        await self.released.wait()
        return self._good(request, sent)

    def _no_batches(self, request: web.Request, sent: object) -> object:
        if isinstance(sent, list):
            return {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "batch is not supported"}}
        return self._result(sent)

    def _batches_are_bad_requests(self, request: web.Request, sent: object) -> object:
        return web.Response(status=400, text="bad request") if isinstance(sent, list) else self._result(sent)

    def _partial(self, request: web.Request, sent: object) -> object:
        return [self._result(call) for call in sent[1:]] if isinstance(sent, list) else self._result(sent)

    def _duplicate(self, request: web.Request, sent: object) -> object:
        return [self._result(sent[0])] * len(sent) if isinstance(sent, list) else self._result(sent)

    def _garbage(self, request: web.Request, sent: object) -> object:
        return web.Response(text="<html>welcome</html>")

    def _huge(self, request: web.Request, sent: object) -> object:
        return web.Response(body=b" " * 70_000 + orjson.dumps(self._good(request, sent)))

    def _redirecting(self, request: web.Request, sent: object) -> object:
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    def _error_with_status(self, request: web.Request, sent: object) -> object:
        return self._json({"jsonrpc": "2.0", "id": 0, "error": {"code": 3, "message": "execution reverted"}}, 400)

    def _not_found(self, request: web.Request, sent: object) -> object:
        return web.Response(status=404, text="no such page")

    def _forbidding(self, request: web.Request, sent: object) -> object:
        return self._json({"jsonrpc": "2.0", "id": 0, "error": {"code": -32600, "message": "key"}}, 403)

    def _hanging_up(self, request: web.Request, sent: object) -> object:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    def _hanging_up_once(self, request: web.Request, sent: object) -> object:
        self.mode = "good"
        return self._hanging_up(request, sent)


@asynccontextmanager
async def playing(*nodes: Node, **options: object) -> AsyncIterator[Rpc]:
    """The nodes as servers and a client that knows them in this order."""
    for node in nodes:
        await node.server.start_server()
    rpc = Rpc(
        [node.url for node in nodes],
        **{"chain_id": CHAIN_ID, "timeout_seconds": 5.0, "user_agent": "OceanProvider/test", **options},
    )
    try:
        yield rpc
    finally:
        await rpc.close()
        for node in nodes:
            node.released.set()
            await node.server.close()


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "condition not met in time"
        await asyncio.sleep(0.01)


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Endpoints that failed may be checked again at once."""
    monkeypatch.setattr(health_module, "FIRST_PAUSE_SECONDS", 0.0)


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


FAILURES = {
    "failing": "http_status",
    "throttled": "limited",
    "forbidding": "http_status",
    "redirecting": "http_status",
    "not_found": "http_status",
    "limited": "limited",
    "partly_limited": "limited",
    "partial": "malformed",
    "duplicate": "malformed",
    "garbage": "malformed",
    "huge": "too_large",
    "hanging_up": "unreachable",
}


@pytest.mark.parametrize(("mode", "outcome"), FAILURES.items(), ids=FAILURES.keys())
@pytest.mark.gen_test
async def test_a_failure_moves_on_to_the_next_endpoint(
    mode: str, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint_module, "MAX_REPLY_BYTES", 65_536)
    seen: list[tuple[str, str]] = []
    bad, good = Node(mode), Node()
    async with playing(bad, good, observe=lambda method, result, _: seen.append((method, result))) as rpc:
        assert await rpc.batch([NUMBER, BALANCE]) == ["0x64", "0x5"]
        asked = len(bad.requests)
        assert await rpc.batch([NUMBER, BALANCE]) == ["0x64", "0x5"]
        assert len(bad.requests) == asked  # put aside
    assert seen == [("batch", outcome), ("batch", "ok"), ("batch", "ok")]


@pytest.mark.parametrize("mode", FAILURES)
@pytest.mark.gen_test
async def test_without_a_usable_endpoint_the_chain_is_unavailable(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_module, "MAX_REPLY_BYTES", 65_536)
    first, second = Node(mode), Node(mode)
    async with playing(first, second) as rpc:
        for _ in range(2):
            with pytest.raises(ChainUnavailable) as caught:
                await rpc.batch([NUMBER, BALANCE])
        assert not rpc.is_available
    assert first.requests
    assert second.requests
    shown = f"{caught.value.public_text} {caught.value.detail} {rpc!r}"
    for secret in ("127.0.0.1", "secret-key", "10.0.0.1", "http://"):
        assert secret not in shown


@pytest.mark.gen_test
async def test_nothing_listening_is_a_failure() -> None:
    good = Node()
    await good.server.start_server()
    dead = f"http://127.0.0.1:{unused_port()}/"
    rpc = Rpc([dead, good.url], chain_id=CHAIN_ID, user_agent="test")
    assert await rpc.call("eth_blockNumber") == "0x64"
    await good.server.close()
    with pytest.raises(ChainUnavailable):
        await rpc.call("eth_blockNumber")
    await rpc.close()


@pytest.mark.gen_test
async def test_a_slow_endpoint_fails_after_the_timeout() -> None:
    slow, good = Node("slow"), Node()
    async with playing(slow, good, timeout_seconds=0.1) as rpc:
        assert await rpc.call("eth_blockNumber") == "0x64"
    assert len(slow.requests) == 1


@pytest.mark.gen_test
async def test_an_endpoint_of_another_chain_is_never_believed() -> None:
    lying, good = Node(chain_id=1), Node()
    async with playing(lying, good) as rpc:
        assert await rpc.call("eth_blockNumber") == "0x64"
        states = await rpc.probe()
    assert [state.problem for state in states] == [f"answers for chain 1, not {CHAIN_ID}", None]
    async with playing(Node(chain_id=1)) as rpc:
        with pytest.raises(ChainUnavailable):
            await rpc.call("eth_blockNumber")


@pytest.mark.usefixtures("no_pause")
@pytest.mark.gen_test
async def test_an_endpoint_that_changed_its_chain_during_an_outage_stays_aside() -> None:
    first, second = Node(), Node()
    async with playing(first, second) as rpc:
        await rpc.call("eth_blockNumber")
        first.mode = "failing"
        await rpc.call("eth_blockNumber")
        first.mode, first.chain_id = "good", 1
        asked = len(first.requests)
        await rpc.call("eth_blockNumber")
        await until(lambda: len(first.requests) > asked)
        await rpc.call("eth_blockNumber")
        for methods in first.methods[asked:]:
            assert methods == ["eth_chainId"]


@pytest.mark.gen_test
async def test_the_only_endpoint_is_verified_again_after_a_failure() -> None:
    node = Node()
    async with playing(node) as rpc:
        await rpc.call("eth_blockNumber")
        node.mode = "failing"
        with pytest.raises(ChainUnavailable):
            await rpc.call("eth_blockNumber")
        node.mode, node.chain_id = "good", 1
        with pytest.raises(ChainUnavailable):
            await rpc.call("eth_blockNumber")
        node.chain_id = CHAIN_ID
        assert await rpc.call("eth_blockNumber") == "0x64"


@pytest.mark.usefixtures("no_pause")
@pytest.mark.gen_test
async def test_a_recovered_endpoint_is_used_again_after_a_check_in_the_background() -> None:
    first, second = Node("failing"), Node()
    async with playing(first, second) as rpc:
        await rpc.call("eth_blockNumber")
        first.mode = "good"
        asked = len(first.requests)
        await rpc.call("eth_blockNumber")
        await until(lambda: len(first.requests) > asked)
        assert first.methods[asked] == ["eth_chainId"]

        async def served_by_first() -> bool:
            before = len(first.requests)
            await rpc.call("eth_getBalance")
            return len(first.requests) > before and first.methods[-1] == ["eth_getBalance"]

        deadline = asyncio.get_running_loop().time() + 5
        while not await served_by_first():
            assert asyncio.get_running_loop().time() < deadline


async def _call_ignoring_errors(rpc: Rpc) -> object:
    try:
        return await rpc.call("eth_blockNumber")
    except ChainError:
        return None


@pytest.mark.usefixtures("no_pause")
@pytest.mark.gen_test
async def test_no_caller_waits_for_a_doubtful_endpoint_while_another_is_healthy() -> None:
    """The first endpoint hangs during its check; calls go on over the second."""
    first, second = Node("failing"), Node()
    async with playing(first, second) as rpc:
        await rpc.call("eth_blockNumber")
        first.mode = "slow"
        asked = len(first.requests)
        for _ in range(5):
            assert await rpc.call("eth_blockNumber") == "0x64"
        await until(lambda: len(first.requests) > asked)
        assert await rpc.call("eth_blockNumber") == "0x64"
        assert first.methods[asked:] == [["eth_chainId"]]  # one check at a time


@pytest.mark.gen_test
async def test_pauses_grow_with_repeated_failures_and_count_an_outage_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(health_module, "FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(health_module, "LONGEST_PAUSE_SECONDS", 0.2)
    node = Node("failing")
    with caplog.at_level(logging.WARNING, logger="provider.chain.rpc"):
        async with playing(node) as rpc:
            await asyncio.gather(*(_call_ignoring_errors(rpc) for _ in range(20)))
            assert len(caplog.records) == 1
            while len(caplog.records) < 4:
                await _call_ignoring_errors(rpc)
                await asyncio.sleep(0.01)
    pauses = [record.args[2] for record in caplog.records if isinstance(record.args, tuple)]
    assert pauses == [0.05, 0.1, 0.2, 0.2]
    assert "127.0.0.1" not in caplog.text


@pytest.mark.parametrize("mode", ["no_batches", "batches_are_bad_requests"])
@pytest.mark.gen_test
async def test_without_batches_calls_are_sent_singly_and_that_is_remembered(mode: str) -> None:
    node = Node(mode)
    async with playing(node) as rpc:
        assert await rpc.batch([NUMBER, BALANCE]) == ["0x64", "0x5"]
        assert await rpc.batch([NUMBER, BALANCE]) == ["0x64", "0x5"]
    shapes = [type(request) for request in node.requests]
    assert shapes == [list, dict, dict, dict, dict, dict]
    assert rpc.is_available


@pytest.mark.gen_test
async def test_single_calls_are_under_way_at_once() -> None:
    node = Node("no_batches")
    async with playing(node) as rpc:
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
        assert rpc.is_available


@pytest.mark.gen_test
async def test_a_kept_connection_that_was_closed_is_no_failure() -> None:
    node = Node()
    async with playing(node) as rpc:
        await rpc.call("eth_blockNumber")
        node.mode = "hanging_up_once"
        assert await rpc.call("eth_blockNumber") == "0x64"
        assert rpc.is_available


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
        rpc = Rpc([url], chain_id=None, user_agent="OceanProvider/3.0.0")
        await rpc.call("eth_blockNumber")
        await rpc.close()
    (headers,) = node.headers
    assert base64.b64decode(headers["Authorization"].removeprefix("Basic ")) == b"us@er:p:ss"
    assert headers["User-Agent"] == "OceanProvider/3.0.0"
    assert headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("url", ["", "ws://127.0.0.1:1", "ftp://secret@host", "127.0.0.1:8545", "http://"])
def test_an_unusable_url_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ValueError, match="RPC endpoint 2") as caught:
        Rpc(["http://127.0.0.1:1", url], chain_id=1, user_agent="test")
    assert "secret" not in str(caught.value)


def test_no_endpoint_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Rpc([], chain_id=1, user_agent="test")


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
async def test_probe_tells_each_endpoint_apart() -> None:
    nodes = [Node(), Node("failing"), Node(chain_id=1), Node("slow")]
    async with playing(*nodes, timeout_seconds=0.5) as rpc:
        states = await rpc.probe()
        assert rpc.is_available
    assert [state.index for state in states] == [0, 1, 2, 3]
    assert [state.chain_id for state in states] == [CHAIN_ID, None, 1, None]
    assert [state.reachable for state in states] == [True, True, True, False]
    assert [state.problem for state in states] == [
        None,
        "HTTP 503",
        f"answers for chain 1, not {CHAIN_ID}",
        "no answer in time",
    ]
    assert all(state.latency_seconds >= 0 for state in states)


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


# Several endpoints, not all of them well


@pytest.mark.gen_test
async def test_an_endpoint_that_asks_for_patience_is_left_alone_and_callers_are_told() -> None:
    node = Node("patient")
    async with playing(node) as rpc:
        with pytest.raises(ChainUnavailable) as first:
            await rpc.call("eth_blockNumber")
        assert first.value.retry_after_seconds == 120
        with pytest.raises(ChainUnavailable):
            await rpc.call("eth_blockNumber")
    assert len(node.requests) == 1


@pytest.mark.gen_test
async def test_after_several_failures_a_call_fails_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # Two short pauses, then a long one.
    monkeypatch.setattr(health_module, "FIRST_PAUSE_SECONDS", 0.0)
    node = Node("failing")
    async with playing(node) as rpc:
        for failure in range(health_module.OPEN_AFTER_FAILURES):
            if failure == health_module.OPEN_AFTER_FAILURES - 1:
                monkeypatch.setattr(health_module, "FIRST_PAUSE_SECONDS", 60.0)
            assert await _call_ignoring_errors(rpc) is None
        assert len(node.requests) == health_module.OPEN_AFTER_FAILURES
        with pytest.raises(ChainUnavailable) as refused:
            await rpc.call("eth_blockNumber")
        assert len(node.requests) == health_module.OPEN_AFTER_FAILURES
        assert refused.value.retry_after_seconds == 60


@pytest.mark.gen_test
async def test_a_slow_endpoint_has_the_next_one_asked_as_well() -> None:
    seen: list[str] = []
    slow, good = Node("slow"), Node()
    async with playing(slow, good, hedge_after_seconds=0.05, observe=lambda _, result, __: seen.append(result)) as rpc:
        assert await rpc.call("eth_blockNumber") == "0x64"
        await until(lambda: sorted(seen) == ["cancelled", "ok"])
        assert rpc.is_available


@pytest.mark.gen_test
async def test_an_endpoint_that_is_always_slow_is_asked_later() -> None:
    slow, good = Node("slow"), Node()
    async with playing(slow, good, hedge_after_seconds=0.02) as rpc:
        for _ in range(health_module.SLOW_AFTER_LOSSES):
            await rpc.call("eth_blockNumber")
        asked = len(slow.requests)
        await rpc.call("eth_blockNumber")
        assert len(slow.requests) == asked


@pytest.mark.gen_test
async def test_an_endpoint_that_falls_behind_is_asked_last_until_it_is_level_again() -> None:
    late, level = Node(), Node()
    late.height, level.height = 100, 200
    seen: dict[int, int] = {}
    async with playing(late, level) as rpc:
        rpc.watch(every_seconds=0.02, max_lag_blocks=10, observe=seen.__setitem__)
        await until(lambda: seen == {0: 100, 1: 200})

        first, second = rpc._endpoints
        await until(lambda: first.health.behind)
        assert await rpc.call("eth_blockNumber") == hex(200)
        late.height = 201
        await until(lambda: not first.health.behind)
        assert await rpc.call("eth_blockNumber") == hex(201)
        assert not second.health.behind


@pytest.mark.gen_test
async def test_a_look_asks_each_endpoint_for_its_height_once() -> None:
    good, broken = Node(), Node("failing")
    async with playing(good, broken) as rpc:
        await rpc.look()
        assert (good.requests, broken.requests) == ([], [])
        rpc.watch(every_seconds=0, max_lag_blocks=10, observe=lambda *_: None)
        assert [health.standing for health in rpc.healths()] == ["unasked", "unasked"]
        await rpc.look()
        first, second = rpc.healths()
        assert (first.standing, first.height, second.standing, second.height) == ("ok", 100, "aside", None)
        assert first.latency_seconds is not None
        assert len(good.requests) == 1


@pytest.mark.gen_test
async def test_a_single_endpoint_is_not_watched() -> None:
    node = Node()
    async with playing(node) as rpc:
        rpc.watch(every_seconds=0.01, max_lag_blocks=10, observe=lambda *_: None)
        await asyncio.sleep(0.05)
    assert node.requests == []


@pytest.mark.gen_test
async def test_another_endpoint_can_be_asked_for_what_the_first_has_not_seen() -> None:
    first, second = Node(), Node()
    second.height = 101
    async with playing(first, second) as rpc:
        assert await rpc.elsewhere([NUMBER]) == ["0x65"]
        second.mode = "failing"
        assert await rpc.elsewhere([NUMBER]) is None
    async with playing(Node()) as alone:
        assert await alone.elsewhere([NUMBER]) is None
