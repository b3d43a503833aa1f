"""Slots for strangers' work: a client waits for itself only, and a full house says so at once."""

import asyncio
import random
from collections import Counter

import pytest

from provider.errors import OriginsBusy
from provider.upstream.shares import Shares

A, B = b"\x01\x01\x01\x01", b"\x02\x02\x02\x02"


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.gen_test
async def test_a_client_that_uses_its_share_waits_while_others_go_on() -> None:
    shares = Shares(total=10, per_client=2, wait_seconds=30)
    await shares.take(A)
    await shares.take(A)
    third = asyncio.create_task(shares.take(A))
    await turns()
    assert not third.done()
    await shares.take(B)
    shares.give_back(B)
    await turns()
    assert not third.done()
    shares.give_back(A)
    await third
    assert shares.in_use == 2


@pytest.mark.gen_test
async def test_a_full_house_refuses_instead_of_letting_strangers_queue() -> None:
    shares = Shares(total=2, per_client=2, wait_seconds=30)
    await shares.take(A)
    await shares.take(None)
    for client in (A, B, None):
        with pytest.raises(OriginsBusy):
            await shares.take(client)
    shares.give_back(None)
    await shares.take(B)


@pytest.mark.gen_test
async def test_work_without_a_client_is_limited_by_the_total_alone() -> None:
    shares = Shares(total=4, per_client=1, wait_seconds=30)
    for _ in range(4):
        await shares.take(None)
    with pytest.raises(OriginsBusy):
        await shares.take(None)


@pytest.mark.gen_test
async def test_waiters_go_in_order_and_one_that_left_gets_no_slot() -> None:
    shares = Shares(total=10, per_client=1, wait_seconds=30)
    await shares.take(A)
    waiting = [asyncio.create_task(shares.take(A)) for _ in range(3)]
    await turns()
    waiting[0].cancel()
    await turns()
    shares.give_back(A)
    await turns()
    assert [task.done() for task in waiting] == [True, True, False]
    shares.give_back(A)
    await waiting[2]
    shares.give_back(A)
    assert shares.in_use == 0


@pytest.mark.gen_test
async def test_a_slot_that_comes_as_its_waiter_leaves_goes_to_the_next() -> None:
    shares = Shares(total=10, per_client=1, wait_seconds=30)
    await shares.take(A)
    waiting = [asyncio.create_task(shares.take(A)) for _ in range(2)]
    await turns()
    shares.give_back(A)
    waiting[0].cancel()
    await turns()
    assert waiting[0].cancelled()
    assert waiting[1].done()
    shares.give_back(A)
    assert shares.in_use == 0


@pytest.mark.gen_test
async def test_a_client_that_waits_too_long_for_itself_is_refused_and_leaves_nothing() -> None:
    shares = Shares(total=10, per_client=1, wait_seconds=0.01)
    await shares.take(A)
    with pytest.raises(OriginsBusy):
        await shares.take(A)
    shares.give_back(A)
    await shares.take(A)
    shares.give_back(A)
    assert shares.in_use == 0


@pytest.mark.gen_test(timeout=30)
async def test_whatever_clients_do_the_limits_hold_and_all_slots_come_back() -> None:
    """Random takes, cancellations and returns; the counts are those of who really works."""
    dice = random.Random(20261129)
    shares, working = Shares(total=6, per_client=2, wait_seconds=0.05), Counter[bytes | None]()

    async def work(client: bytes | None) -> None:
        await shares.take(client)
        try:
            working[client] += 1
            assert working.total() <= 6
            assert client is None or working[client] <= 2
            await asyncio.sleep(dice.random() * 0.004)
        finally:
            working[client] -= 1
            shares.give_back(client)

    tasks = []
    for _ in range(2_000):
        tasks.append(asyncio.create_task(work(dice.choice([None, A, B, b"cccc"]))))
        if dice.random() < 0.3:
            dice.choice(tasks).cancel()
        if dice.random() < 0.3:
            await asyncio.sleep(0)
    await asyncio.wait(tasks)
    assert {type(task.exception()) for task in tasks if not task.cancelled()} <= {type(None), OriginsBusy}
    assert shares.in_use == 0
    await shares.take(A)
    await shares.take(A)
