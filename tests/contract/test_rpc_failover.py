"""Rpc over several endpoints, not all of them well: who is asked, and who is ejected."""

import asyncio
import logging

import pytest
from aiohttp.test_utils import unused_port

from provider.chain import endpoint as endpoint_module
from provider.chain import health as health_module
from provider.chain.config import RpcConfig
from provider.chain.jsonrpc import RpcCall
from provider.chain.rpc import Rpc
from provider.errors import ChainError, ChainUnavailable
from provider.observability.metrics.backends import Chains
from tests.support.rpc_nodes import CHAIN_ID, Node, exchanges, is_available, playing, until

NUMBER = RpcCall("eth_blockNumber")
BALANCE = RpcCall("eth_getBalance", ("0x00", "latest"))


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Endpoints that failed may be checked again at once."""
    monkeypatch.setattr(health_module, "FIRST_PAUSE_SECONDS", 0.0)


@pytest.fixture
def long_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Endpoints that failed are not checked again while the test runs."""
    monkeypatch.setattr(health_module, "FIRST_PAUSE_SECONDS", 60.0)


FAILURES = {
    "failing": "http_status",
    "throttled": "limited",
    "forbidding": "http_status",
    "redirecting": "http_status",
    "not_found": "http_status",
    "limited": "limited",
    "for_another": "malformed",
    "garbage": "malformed",
    "huge": "too_large",
    "hanging_up": "unreachable",
}


@pytest.mark.usefixtures("long_pause")
@pytest.mark.parametrize(("mode", "outcome"), FAILURES.items(), ids=FAILURES.keys())
@pytest.mark.gen_test
async def test_a_failure_moves_on_to_the_next_endpoint(
    mode: str, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint_module, "MAX_REPLY_BYTES", 65_536)
    metrics = Chains()
    bad, good = Node(mode), Node()
    async with playing(bad, good, metrics=metrics) as rpc:
        assert await rpc.batch([NUMBER, BALANCE]) == ["0x64", "0x5"]
        asked = len(bad.requests)
        assert await rpc.batch([NUMBER, BALANCE]) == ["0x64", "0x5"]
        assert len(bad.requests) == asked  # ejected
    assert exchanges(metrics) == {("batch", outcome): 1, ("batch", "ok"): 2}


@pytest.mark.parametrize("mode", FAILURES)
@pytest.mark.gen_test
async def test_without_a_usable_endpoint_the_chain_is_unavailable(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_module, "MAX_REPLY_BYTES", 65_536)
    first, second = Node(mode), Node(mode)
    async with playing(first, second) as rpc:
        for _ in range(2):
            with pytest.raises(ChainUnavailable) as caught:
                await rpc.batch([NUMBER, BALANCE])
        assert not is_available(rpc)
    assert first.requests
    assert second.requests
    shown = f"{caught.value.public_text} {caught.value.detail} {rpc!r}"
    for secret in ("127.0.0.1", "secret-key", "10.0.0.1", "http://"):
        assert secret not in shown


@pytest.mark.usefixtures("long_pause")
@pytest.mark.gen_test
async def test_a_block_that_no_chain_can_have_is_no_answer() -> None:
    """Such a number would stop whatever writes it: metrics, the index, the dashboard."""
    metrics = Chains()
    lying, good = Node(), Node()
    lying.height = 2**64
    async with playing(lying, good, metrics=metrics) as rpc:
        assert await rpc.batch([BALANCE, NUMBER]) == ["0x5", "0x64"]
        assert [health.standing for health in rpc.endpoints.healths()] == ["ejected", "ok"]
    assert metrics.block_height.values == {(CHAIN_ID,): 100}


@pytest.mark.gen_test
async def test_nothing_listening_is_a_failure() -> None:
    good = Node()
    await good.server.start_server()
    dead = f"http://127.0.0.1:{unused_port()}/"
    rpc = Rpc([dead, good.url], RpcConfig(), chain_id=CHAIN_ID)
    assert await rpc.call("eth_blockNumber") == "0x64"
    await good.server.close()
    with pytest.raises(ChainUnavailable):
        await rpc.call("eth_blockNumber")
    await rpc.close()


@pytest.mark.usefixtures("long_pause")
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
        assert [health.standing for health in rpc.endpoints.healths()] == ["ejected", "ok"]
    async with playing(Node(chain_id=1)) as rpc:
        with pytest.raises(ChainUnavailable):
            await rpc.call("eth_blockNumber")


@pytest.mark.usefixtures("no_pause")
@pytest.mark.gen_test
async def test_an_endpoint_that_changed_its_chain_during_an_outage_stays_ejected() -> None:
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


@pytest.mark.usefixtures("long_pause")
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

        deadline = asyncio.get_running_loop().time() + 60
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


@pytest.mark.usefixtures("long_pause")
@pytest.mark.gen_test
async def test_many_calls_that_meet_one_outage_count_it_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="provider.chain.failover"):
        async with playing(Node("failing")) as rpc:
            await asyncio.gather(*(_call_ignoring_errors(rpc) for _ in range(20)))
    assert len(caplog.records) == 1


@pytest.mark.gen_test
async def test_pauses_grow_with_repeated_failures(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(health_module, "FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(health_module, "LONGEST_PAUSE_SECONDS", 0.2)
    node = Node("failing")
    with caplog.at_level(logging.WARNING, logger="provider.chain.failover"):
        async with playing(node) as rpc:
            while len(caplog.records) < 4:
                await _call_ignoring_errors(rpc)
                await asyncio.sleep(0.01)
    pauses = [record.args[2] for record in caplog.records if isinstance(record.args, tuple)]
    assert pauses[:4] == [0.05, 0.1, 0.2, 0.2]
    assert "127.0.0.1" not in caplog.text


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
    monkeypatch.setattr(health_module, "OPEN_AFTER_FAILURES", 2)
    node = Node("failing")
    async with playing(node) as rpc:
        assert await _call_ignoring_errors(rpc) is None
        # One short pause, whose end finds it as it was, then a long one.
        monkeypatch.setattr(health_module, "FIRST_PAUSE_SECONDS", 60.0)
        await until(lambda: rpc.endpoints.healths()[0].back_in_seconds > 30)
        asked = len(node.requests)
        with pytest.raises(ChainUnavailable) as refused:
            await rpc.call("eth_blockNumber")
        assert len(node.requests) == asked
        assert refused.value.retry_after_seconds is not None
        assert 30 <= refused.value.retry_after_seconds <= 60


@pytest.mark.gen_test
async def test_a_slow_endpoint_has_the_next_one_asked_as_well() -> None:
    metrics = Chains()
    slow, good = Node("slow"), Node()
    async with playing(slow, good, hedge_after_seconds=0.05, metrics=metrics) as rpc:
        assert await rpc.call("eth_blockNumber") == "0x64"
        expected = {("eth_blockNumber", "ok"): 1, ("eth_blockNumber", "cancelled"): 1}
        await until(lambda: exchanges(metrics) == expected)
        assert metrics.hedges.values == {(CHAIN_ID,): 1}
        assert is_available(rpc)


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
    metrics = Chains()
    async with playing(late, level, metrics=metrics, watch_seconds=0.02, max_lag_blocks=10) as rpc:
        rpc.endpoints.watch()
        await until(lambda: metrics.endpoint_block.values == {(CHAIN_ID, 1): 100, (CHAIN_ID, 2): 200})

        first, second = rpc.endpoints._endpoints
        await until(lambda: first.health.behind)
        assert await rpc.call("eth_blockNumber") == hex(200)
        late.height = 201
        await until(lambda: not first.health.behind)
        assert await rpc.call("eth_blockNumber") == hex(201)
        assert not second.health.behind


@pytest.mark.usefixtures("long_pause")
@pytest.mark.gen_test
async def test_a_look_asks_each_endpoint_for_its_height_once() -> None:
    good, broken = Node(), Node("failing")
    async with playing(good, broken, watch_seconds=0) as rpc:
        await rpc.endpoints.look()
        assert (good.requests, broken.requests) == ([], [])
        rpc.endpoints.watch()
        assert [health.standing for health in rpc.endpoints.healths()] == ["unasked", "unasked"]
        await rpc.endpoints.look()
        first, second = rpc.endpoints.healths()
        assert (first.standing, first.height, second.standing, second.height) == ("ok", 100, "ejected", None)
        assert first.latency_seconds is not None
        assert len(good.requests) == 1


@pytest.mark.gen_test
async def test_a_single_endpoint_is_not_watched() -> None:
    node, *others = Node(), Node(), Node()
    async with playing(node, watch_seconds=0.01) as rpc, playing(*others, watch_seconds=0.01) as watched:
        rpc.endpoints.watch()
        watched.endpoints.watch()
        async with asyncio.timeout(60):
            while len(others[0].requests) < 3:  # noqa: ASYNC110 - a played node has no event
                await asyncio.sleep(0.01)
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
