"""Blocks that strangers fill with logs, and the chain index; on a real EVM with the real Ocean contracts."""

import asyncio
import logging
from pathlib import Path

import pytest

from provider.admin.health import NotReady
from provider.app import readiness as readiness_setup
from provider.app.readiness import index_is_near
from provider.assets import chain_scan
from provider.chain import endpoint as endpoint_module
from provider.chain.events import METADATA_CREATED
from provider.testing.chain.keys import PUBLISHER_KEY, STRANGER_KEY
from provider.testing.market.publisher import Publisher, url_file
from provider.testing.stage import DemoChain
from tests.support.chain_index import eventually, gateway_to, index_on, network_on
from tests.support.rpc_nodes import is_available

FILE = [url_file("http://127.0.0.1:9/data.csv")]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:web3")


def flood(chain: DemoChain, *, logs: int, bytes_each: int) -> int:
    """A stranger's contract emits empty logs with the topic of MetadataCreated, in one block; its number."""
    push4 = b"\x63"
    one = b"\x7f" + bytes.fromhex(METADATA_CREATED[2:]) + push4 + bytes_each.to_bytes(4, "big") + b"\x60\x00\xa1"
    receipt = chain.wallet(STRANGER_KEY).send({"data": one * logs + b"\x00"})
    return int(receipt["blockNumber"])


def transfer(chain: DemoChain, data_nft: str) -> None:
    """The publisher gives the data NFT to a stranger: transferFrom(address,address,uint256)."""
    publisher = chain.wallet(PUBLISHER_KEY)
    parties = [publisher.address, chain.wallet(STRANGER_KEY).address]
    words = [*(party[2:].lower().rjust(64, "0") for party in parties), "1".rjust(64, "0")]
    publisher.send({"to": data_nft, "data": bytes.fromhex("23b872dd" + "".join(words))})


@pytest.mark.gen_test(timeout=120)
async def test_a_block_with_more_logs_than_are_read_does_not_stop_the_index(
    chain: DemoChain,
    offline_publisher: Publisher,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(endpoint_module, "MAX_REPLY_BYTES", 1 << 20)
    before = await asyncio.to_thread(offline_publisher.publish, FILE)
    network = network_on(chain)
    async with index_on(network, tmp_path / "index", poll=True, wait_seconds=20.0) as index:
        assert (await index.fetch(before.did)).nft_state == 0
        await asyncio.to_thread(flood, chain, logs=12, bytes_each=1 << 16)
        after = await asyncio.to_thread(offline_publisher.publish, FILE)
        assert (await index.fetch(after.did)).did == after.did
        await asyncio.to_thread(offline_publisher.set_state, before.data_nft, 3)

        async def revoked() -> bool:
            return (await index.fetch(before.did)).nft_state == 3

        await eventually(revoked)
        # Too large is not ill.
        assert is_available(network.rpc)
        assert network.rpc.endpoints.healths()[0].standing == "ok"
    assert any("reading them by contract" in record.message for record in caplog.records)


@pytest.mark.gen_test(timeout=120)
async def test_thousands_of_small_logs_are_not_parsed_to_be_left_out(
    chain: DemoChain, offline_publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint_module, "MAX_REPLY_LOGS", 50)
    parsed: list[int] = []
    parse = chain_scan.parse_logs

    def counting(raw: object) -> object:
        logs = parse(raw)
        parsed.append(len(logs))
        return logs

    monkeypatch.setattr(chain_scan, "parse_logs", counting)
    await asyncio.to_thread(flood, chain, logs=60, bytes_each=0)
    async with index_on(network_on(chain), tmp_path / "index", poll=True, wait_seconds=20.0) as index:
        asset = await asyncio.to_thread(offline_publisher.publish, FILE)
        assert (await index.fetch(asset.did)).did == asset.did
    assert max(parsed) <= 50


@pytest.mark.gen_test(timeout=120)
async def test_a_block_with_more_logs_than_the_node_gives_is_read_by_contract(
    chain: DemoChain, offline_publisher: Publisher, tmp_path: Path
) -> None:
    async with gateway_to(chain.url) as gateway:
        gateway.max_logs = 20
        network = network_on(chain, url=gateway.url)
        async with index_on(network, tmp_path / "index", poll=True, wait_seconds=20.0) as index:
            first = await asyncio.to_thread(offline_publisher.publish, FILE)
            block = await asyncio.to_thread(flood, chain, logs=25, bytes_each=0)
            second = await asyncio.to_thread(offline_publisher.publish, FILE)
            for asset in (first, second):
                assert (await index.fetch(asset.did)).did == asset.did
            asked = [params[0] for method, params in gateway.calls if method == "eth_getLogs"]
            by_contract = [query for query in asked if isinstance(query.get("address"), list)]
            of_block = [query["address"] for query in by_contract if int(query["fromBlock"], 16) == block]
            assert any(first.data_nft in addresses for addresses in of_block)


@pytest.mark.gen_test(timeout=120)
async def test_an_nft_that_emits_too_much_stops_nothing_but_itself(
    chain: DemoChain,
    offline_publisher: Publisher,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    hoarder = await asyncio.to_thread(offline_publisher.publish, FILE)
    async with index_on(network_on(chain), tmp_path / "index", poll=True, wait_seconds=20.0) as index:
        assert (await index.fetch(hoarder.did)).did == hoarder.did
        monkeypatch.setattr(endpoint_module, "MAX_REPLY_BYTES", 60_000)
        await asyncio.to_thread(offline_publisher.set_metadata, hoarder.data_nft, hoarder.document + b" " * 40_000)
        other = await asyncio.to_thread(offline_publisher.publish, FILE)
        assert (await index.fetch(other.did)).did == other.did
        assert (await index.fetch(hoarder.did)).did == hoarder.did
    assert any("are left out" in record.message for record in caplog.records)


@pytest.mark.gen_test(timeout=120)
async def test_an_index_that_reads_nothing_new_is_not_ready(
    chain: DemoChain, offline_publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few blocks it is behind."""
    monkeypatch.setattr(readiness_setup, "MAX_STALLED_SECONDS", 0.5)
    async with gateway_to(chain.url) as gateway:
        network = network_on(chain, url=gateway.url)
        async with index_on(network, tmp_path / "index", poll=True) as index:
            check = index_is_near(index, 1000)

            async def is_ready() -> bool:
                try:
                    await check()
                except NotReady:
                    return False
                return True

            async def is_stuck() -> bool:
                try:
                    await check()
                except NotReady as problem:
                    return "nothing new" in str(problem)
                return False

            await eventually(is_ready)
            gateway.max_range = 0
            chain.rpc("evm_mine")
            await eventually(is_stuck)
            gateway.max_range = None
            await eventually(is_ready)


@pytest.mark.gen_test(timeout=120)
async def test_whoever_follows_hears_of_state_document_and_owner(
    chain: DemoChain, offline_publisher: Publisher, tmp_path: Path
) -> None:
    asset = await asyncio.to_thread(offline_publisher.publish, FILE)
    nft = (chain.contracts.chain_id, asset.data_nft)
    async with index_on(network_on(chain), tmp_path / "index", poll=True) as index:
        heard: list[tuple[int, str]] = []
        index.follow(lambda changed: heard.extend(changed or ()))
        await index.fetch(asset.did)

        async def hears() -> bool:
            return nft in heard

        steps = [
            lambda: offline_publisher.set_state(asset.data_nft, 4),
            lambda: offline_publisher.set_metadata(asset.data_nft, asset.document),
            lambda: transfer(chain, asset.data_nft),
        ]
        await eventually(hears)
        for step in steps:
            heard.clear()
            await asyncio.to_thread(step)
            await eventually(hears)
