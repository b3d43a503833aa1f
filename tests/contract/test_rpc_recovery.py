"""Endpoints that were ejected and that nobody calls: when they are checked, and how they come back."""

import pytest

from provider.chain import health as health_module
from provider.chain.rpc import Rpc
from provider.errors import ChainUnavailable
from tests.support.rpc_nodes import Node, is_available, playing, until

CHECK = ["eth_chainId"]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_module, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(health_module, "LONGEST_PAUSE_SECONDS", 0.02)


async def fail(rpc: Rpc) -> None:
    with pytest.raises(ChainUnavailable):
        await rpc.call("eth_blockNumber")


@pytest.mark.gen_test(timeout=90)
async def test_the_only_endpoint_comes_back_although_nobody_calls() -> None:
    node = Node("failing")
    async with playing(node) as rpc:
        await fail(rpc)
        assert not is_available(rpc)
        await until(lambda: len(node.requests) > 5)
        assert not is_available(rpc)
        node.mode = "good"
        await until(lambda: is_available(rpc))
        # The batch and each of its two calls, then nothing but checks.
        assert node.methods[3:] == [CHECK] * (len(node.requests) - 3)
        asked = len(node.requests)
        assert await rpc.call("eth_blockNumber") == "0x64"
        assert node.methods[asked:] == [["eth_blockNumber"]]  # seen to be the right chain


@pytest.mark.gen_test(timeout=90)
async def test_one_that_answers_for_another_chain_is_checked_on_until_it_is_right() -> None:
    node = Node("failing", chain_id=1)
    async with playing(node) as rpc:
        await fail(rpc)
        node.mode = "good"
        asked = len(node.requests)
        await until(lambda: len(node.requests) > asked + 3)
        assert not is_available(rpc)
        node.chain_id = rpc.chain_id or 0
        await until(lambda: is_available(rpc))


@pytest.mark.gen_test(timeout=90)
async def test_one_that_came_back_is_checked_after_its_next_failure_too() -> None:
    node = Node()
    async with playing(node) as rpc:
        for _ in range(3):
            node.mode = "failing"
            await fail(rpc)
            node.mode = "good"
            await until(lambda: is_available(rpc))


@pytest.mark.gen_test(timeout=90)
async def test_one_that_asked_for_patience_is_not_checked_before() -> None:
    patient, failing = Node("patient"), Node("failing")
    async with playing(patient, failing) as rpc:
        await fail(rpc)
        await until(lambda: len(failing.requests) > 10)
    assert len(patient.requests) == 1


@pytest.mark.gen_test(timeout=90)
async def test_a_check_that_is_told_to_wait_waits() -> None:
    told, failing = Node("failing"), Node("failing")
    async with playing(told, failing) as rpc:
        await fail(rpc)
        told.mode = "patient"
        asked = len(told.requests)
        await until(lambda: rpc.endpoints.healths()[0].back_in_seconds > 60)
        others = len(failing.requests)
        await until(lambda: len(failing.requests) > others + 10)
    assert told.methods[asked:] == [CHECK]


@pytest.mark.gen_test(timeout=90)
async def test_a_call_that_succeeds_takes_the_place_of_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_module, "FIRST_PAUSE_SECONDS", 600.0)
    monkeypatch.setattr(health_module, "LONGEST_PAUSE_SECONDS", 600.0)
    node = Node("failing")
    async with playing(node) as rpc:
        await fail(rpc)
        node.mode = "good"
        assert await rpc.call("eth_blockNumber") == "0x64"
        assert is_available(rpc)
        # The next outage has pauses of its own.
        monkeypatch.setattr(health_module, "FIRST_PAUSE_SECONDS", 0.01)
        node.mode = "failing"
        await fail(rpc)
        node.mode = "good"
        await until(lambda: is_available(rpc))


@pytest.mark.gen_test(timeout=90)
async def test_one_that_hangs_is_checked_once_at_a_time() -> None:
    hanging, failing = Node("failing"), Node("failing")
    async with playing(hanging, failing, timeout_seconds=60.0) as rpc:
        await fail(rpc)
        hanging.mode = "slow"
        asked = len(hanging.requests)
        await until(lambda: len(hanging.requests) > asked)
        others = len(failing.requests)
        await until(lambda: len(failing.requests) > others + 10)
        assert len(hanging.requests) == asked + 1
        hanging.mode = "good"
        hanging.released.set()
        await until(lambda: rpc.endpoints.healths()[0].standing != "ejected")


@pytest.mark.gen_test(timeout=90)
async def test_after_closing_nobody_is_checked() -> None:
    node, failing = Node("failing"), Node("failing")
    async with playing(node) as rpc, playing(failing) as other:
        await fail(rpc)
        await until(lambda: len(node.requests) > 3)
        await rpc.close()
        asked = len(node.requests)
        await fail(other)
        await until(lambda: len(failing.requests) > 10)
        assert len(node.requests) <= asked + 1  # one may have been on its way
