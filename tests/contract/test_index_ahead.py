"""The index reads pages ahead of their turn: what it records is what one page after another would have given."""

import asyncio
import logging
import random
from pathlib import Path

import pytest

from benchmarks.log_node import LogNode, listening
from provider.assets.strides import MOST_PAGE_BYTES, MOST_PAGES
from provider.errors import ChainUnavailable
from tests.support.made_up_chain import FINALITY, is_known, scan_of
from tests.support.rpc_nodes import is_available


@pytest.mark.gen_test(timeout=60)
async def test_every_asset_is_found_and_several_pages_are_in_flight(tmp_path: Path) -> None:
    node = LogNode(head=30_000, delay_seconds=0.03)
    chance = random.Random(1)
    nfts = [node.publish(chance.randrange(30_001), number) for number in range(300)]
    async with listening(node), scan_of(node, tmp_path / "index", batch_blocks=300) as (scan, store):
        assert await scan.run()
        assert scan.behind == 0
        assert {await is_known(store, data_nft) for data_nft in nfts} == {True}
    assert 2 < node.most_in_flight <= MOST_PAGES
    covered = {block for first, last in node.asked for block in range(first, last + 1)}
    assert covered == set(range(30_001))


@pytest.mark.gen_test(timeout=60)
async def test_blocks_that_are_replaced_while_pages_are_in_flight_leave_nothing_behind(tmp_path: Path) -> None:
    node = LogNode(head=20_000, delay_seconds=0.005)
    kept = [node.publish(block, block) for block in range(0, 8_000, 500)]
    gone = [node.publish(block, block) for block in range(8_000, 20_000, 100)]
    async with listening(node), scan_of(node, tmp_path / "index", batch_blocks=100) as (scan, store):
        running = asyncio.ensure_future(scan.run())
        while not node.asked or node.asked[-1][0] < 15_000:  # noqa: ASYNC110 - what the node was asked
            await asyncio.sleep(0.001)
        node.reorganise(8_000)
        late = node.publish(12_345, 999_999)
        assert await running
        # At the end of the chain every page was linked to the one before.
        assert await scan.run()
        assert {await is_known(store, data_nft) for data_nft in [*kept, late]} == {True}
        assert {await is_known(store, data_nft) for data_nft in gone} == {False}


@pytest.mark.gen_test(timeout=60)
async def test_a_reply_that_is_too_large_is_a_shorter_range_and_no_illness(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    node = LogNode(head=5_000)
    nfts = [node.publish(2_000 + number, number, document=b"x" * 400_000) for number in range(20)]
    async with listening(node), scan_of(node, tmp_path / "index") as (scan, store):
        assert await scan.run()
        assert is_available(scan.network.rpc)
        assert scan.network.rpc.endpoints.healths()[0].standing == "ok"
        assert {await is_known(store, data_nft) for data_nft in nfts} == {True}
    assert not [record.message for record in caplog.records if "aside" in record.message]
    assert not [record.message for record in caplog.records if "by contract" in record.message]


@pytest.mark.gen_test(timeout=60)
async def test_a_block_that_is_read_by_contract_comes_after_all_before_it(tmp_path: Path) -> None:
    """An NFT that is created shortly before must be known by then."""
    node = LogNode(head=3_000, delay_seconds=0.002)
    before = node.publish(1_499, 1)
    crowded = [node.publish(1_500, number, document=b"x" * (MOST_PAGE_BYTES // 8)) for number in range(2, 8)]
    after = node.publish(1_501, 9)
    async with listening(node), scan_of(node, tmp_path / "index", batch_blocks=50) as (scan, store):
        assert await scan.run()
        assert {await is_known(store, data_nft) for data_nft in [before, *crowded, after]} == {True}
        assert is_available(scan.network.rpc)


@pytest.mark.gen_test(timeout=60)
async def test_a_node_that_gives_ten_blocks_is_asked_for_ten_and_several_times_at_once(tmp_path: Path) -> None:
    node = LogNode(head=2_000, delay_seconds=0.02)
    node.most_blocks = 10
    nfts = [node.publish(block, block) for block in range(0, 2_000, 37)]
    async with listening(node), scan_of(node, tmp_path / "index", batch_blocks=10_000) as (scan, store):
        assert await scan.run()
        assert {await is_known(store, data_nft) for data_nft in nfts} == {True}
    refused = [last - first + 1 for first, last in node.asked if last - first >= 10]
    assert len(refused) < 40
    assert node.most_in_flight > 2


@pytest.mark.gen_test(timeout=60)
async def test_a_failure_ahead_keeps_what_was_read_before_and_leaves_nothing_in_flight(tmp_path: Path) -> None:
    node = LogNode(head=10_000, delay_seconds=0.005)
    nfts = [node.publish(block, block) for block in range(0, 10_000, 500)]
    async with listening(node), scan_of(node, tmp_path / "index", batch_blocks=100) as (scan, store):
        running = asyncio.ensure_future(scan.run())
        while len(node.asked) < 30:  # noqa: ASYNC110 - what the node was asked
            await asyncio.sleep(0.001)
        node.is_down = True
        with pytest.raises(ChainUnavailable):
            await running
        reached = scan.last_block
        assert reached is not None
        assert 0 < reached < 10_000
        while node.in_flight:  # noqa: ASYNC110 - what the node has under way
            await asyncio.sleep(0.001)
        node.is_down = False
        node.asked.clear()
        assert await scan.run()
        assert min(first for first, _ in node.asked) == reached - FINALITY + 1
        assert {await is_known(store, data_nft) for data_nft in nfts} == {True}


@pytest.mark.gen_test(timeout=60)
async def test_who_waits_no_longer_leaves_nothing_in_flight(tmp_path: Path) -> None:
    node = LogNode(head=1_000_000, delay_seconds=0.005)
    async with listening(node), scan_of(node, tmp_path / "index", batch_blocks=100) as (scan, _):
        assert not await scan.run(budget_seconds=0.1)
        while node.in_flight:  # noqa: ASYNC110 - what the node has under way
            await asyncio.sleep(0.001)
        asked = len(node.asked)
        running = asyncio.ensure_future(scan.run())
        while len(node.asked) < asked + 20:  # noqa: ASYNC110 - what the node was asked
            await asyncio.sleep(0.001)
        running.cancel()
        await asyncio.wait({running})
        while node.in_flight:  # noqa: ASYNC110 - what the node has under way
            await asyncio.sleep(0.001)
        reached = scan.last_block
        assert reached is not None
        assert reached > 0


@pytest.mark.gen_test(timeout=60)
async def test_an_index_that_is_far_behind_tells_how_long_it_will_take(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    node = LogNode(head=500_000, delay_seconds=0.01)
    async with listening(node), scan_of(node, tmp_path / "index", batch_blocks=1000) as (scan, _):
        assert not await scan.run(budget_seconds=0.3)
        left = scan.left_seconds
        assert left is not None
        assert left > 0
        while not await scan.run():
            pass
        assert scan.left_seconds == 0
    (told,) = [record for record in caplog.records if record.message.startswith("reading the chain, about ")]
    assert told.fields["blocks_left"] > 10_000  # type: ignore[attr-defined]
    assert told.fields["blocks_per_second"] > 0  # type: ignore[attr-defined]
