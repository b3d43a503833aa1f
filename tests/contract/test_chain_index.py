"""The chain index on a real EVM with the real Ocean contracts."""

import asyncio
import hashlib
import json
import os
import sqlite3
from pathlib import Path

import pytest

from provider.assets.chain_index import ChainIndex
from provider.assets.chain_scan import ChainScan
from provider.assets.ddo import Asset
from provider.assets.index_store import IndexStore
from provider.errors import (
    AssetMalformed,
    AssetNotFound,
    ChainError,
    ChainUnavailable,
    MetadataStoreUnavailable,
    StoreError,
)
from provider.observability.metrics.backends import Index
from provider.testing.chain.contracts import deploy_contracts
from provider.testing.chain.keys import DEPLOYER_KEY, PUBLISHER_KEY, STRANGER_KEY
from provider.testing.market import forge
from provider.testing.market.publisher import Published, Publisher, did_for, url_file
from provider.testing.stage import DemoChain
from tests.support.chain_index import eventually, gateway_to, index_on, network_on

FILE = [url_file("http://127.0.0.1:9/data.csv")]
UNKNOWN = "did:op:" + "0" * 64

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:web3")


def changed(asset: Published, **fields: object) -> bytes:
    """Another document of the same asset."""
    return json.dumps({**asset.ddo, **fields}).encode()


async def state_of(index: ChainIndex, did: str) -> int | None:
    return (await index.fetch(did)).nft_state


async def publish(publisher: Publisher, **options: object) -> Published:
    return await asyncio.to_thread(lambda: publisher.publish(FILE, **options))


@pytest.mark.gen_test(timeout=30)
@pytest.mark.parametrize("flags", [0, 1, 2, 3], ids=["clear", "compressed", "encrypted", "both"])
async def test_published_asset_is_found(chain, offline_publisher, tmp_path: Path, flags: int) -> None:
    async with index_on(network_on(chain), tmp_path / "index") as index:
        asset = await publish(offline_publisher, flags=flags)
        found = await index.fetch(asset.did)
        assert isinstance(found, Asset)
        assert (found.did, found.chain_id, found.data_nft) == (asset.did, asset.chain_id, asset.data_nft)
        assert (found.nft_address, found.nft_state) == (asset.data_nft, 0)
        assert found.service(asset.service()["id"]).datatoken == asset.datatokens[0]


@pytest.mark.gen_test(timeout=30)
async def test_did_of_version_5_finds_the_same_nft(chain, offline_publisher, tmp_path: Path) -> None:
    asset = await publish(offline_publisher)
    async with index_on(network_on(chain), tmp_path / "index") as index:
        found = await index.fetch(asset.did.replace("did:op:", "did:ope:"))
        assert found.data_nft == asset.data_nft


@pytest.mark.gen_test(timeout=30)
async def test_encrypted_document_is_not_in_the_clear_on_disk(chain, offline_publisher, tmp_path: Path) -> None:
    asset = await publish(offline_publisher, name="a-very-secret-name")
    async with index_on(network_on(chain), tmp_path / "index") as index:
        await index.fetch(asset.did)
        files = [tmp_path / name for name in os.listdir(tmp_path)]
        assert len(files) >= 2
        for file in files:
            assert b"a-very-secret-name" not in file.read_bytes()


@pytest.mark.gen_test(timeout=30)
async def test_update_replaces_an_opened_asset(chain, offline_publisher, tmp_path: Path) -> None:
    asset = await publish(offline_publisher)
    async with index_on(network_on(chain), tmp_path / "index", poll=True) as index:
        assert (await index.fetch(asset.did)).metadata_type == "dataset"
        document = changed(asset, metadata={"type": "algorithm"})
        await asyncio.to_thread(offline_publisher.set_metadata, asset.data_nft, document)

        async def updated() -> bool:
            return (await index.fetch(asset.did)).metadata_type == "algorithm"

        await eventually(updated)


@pytest.mark.gen_test(timeout=30)
async def test_state_change_is_seen(chain, offline_publisher, tmp_path: Path) -> None:
    asset = await publish(offline_publisher)
    async with index_on(network_on(chain), tmp_path / "index", poll=True) as index:
        assert await state_of(index, asset.did) == 0
        await asyncio.to_thread(offline_publisher.set_state, asset.data_nft, 3)

        async def revoked() -> bool:
            return await state_of(index, asset.did) == 3

        await eventually(revoked)


@pytest.mark.gen_test(timeout=30)
async def test_document_cannot_speak_for_its_nft(chain, offline_publisher, tmp_path: Path) -> None:
    asset = await publish(offline_publisher)
    lie = {"address": "0x" + "11" * 20, "state": 0}
    document = changed(asset, nft=lie, indexedMetadata={"nft": lie})
    await asyncio.to_thread(lambda: offline_publisher.set_metadata(asset.data_nft, document, state=4))
    async with index_on(network_on(chain), tmp_path / "index") as index:
        found = await index.fetch(asset.did)
        assert (found.nft_address, found.nft_state) == (asset.data_nft, 4)


@pytest.mark.gen_test(timeout=30)
async def test_events_of_a_foreign_contract_are_ignored(chain: DemoChain, offline_publisher, tmp_path: Path) -> None:
    """The forger even names the genuine NFT's document; only the emitter tells."""
    asset = await publish(offline_publisher)
    document = changed(asset, metadata={"type": "algorithm"})
    stranger = chain.wallet(STRANGER_KEY)
    forged = forge.metadata_event(
        stranger.address, document, document_hash=hashlib.sha256(document).digest(), flags=b"\x00", kind="Updated"
    )
    _, emitter = await asyncio.to_thread(forge.emit, stranger, [forged])
    async with index_on(network_on(chain), tmp_path / "index") as index:
        assert (await index.fetch(asset.did)).metadata_type == "dataset"
        with pytest.raises(AssetNotFound):
            await index.fetch(did_for(emitter, asset.chain_id))


@pytest.mark.gen_test(timeout=60)
async def test_nft_of_another_factory_is_ignored(chain: DemoChain, offline_publisher, tmp_path: Path) -> None:
    contracts = await asyncio.to_thread(deploy_contracts, chain.wallet(DEPLOYER_KEY))
    foreign = Publisher(chain.wallet(PUBLISHER_KEY), contracts, "http://127.0.0.1:9", encrypt=offline_publisher.encrypt)
    asset = await publish(foreign)
    async with index_on(network_on(chain), tmp_path / "index") as index:
        with pytest.raises(AssetNotFound):
            await index.fetch(asset.did)


@pytest.mark.gen_test(timeout=30)
async def test_nft_without_document_is_not_found(chain, offline_publisher, tmp_path: Path) -> None:
    data_nft, _ = await asyncio.to_thread(offline_publisher.create_nft)
    async with index_on(network_on(chain), tmp_path / "index") as index:
        with pytest.raises(AssetNotFound):
            await index.fetch(did_for(data_nft, chain.contracts.chain_id))


UNUSABLE = {
    "wrong hash": ({"document_hash": bytes(32), "flags": 2}, AssetNotFound),
    "another key": ({"data": b"\x04" + bytes(200), "flags": 2}, AssetNotFound),
    "not XZ": ({"data": b"not XZ", "flags": 1}, AssetNotFound),
    "too long": ({"data": b" " * 100_098, "flags": 0}, AssetNotFound),
    "not JSON": ({"data": b"{", "flags": 0}, AssetMalformed),
    "not an object": ({"data": b"[]", "flags": 0}, AssetMalformed),
}


@pytest.mark.gen_test(timeout=30)
@pytest.mark.parametrize("name", UNUSABLE)
async def test_unusable_document_is_refused(chain, offline_publisher, tmp_path: Path, name: str) -> None:
    how, error = UNUSABLE[name]
    asset = await publish(offline_publisher)
    data = how.get("data") or bytes.fromhex(offline_publisher.encrypt(asset.document)[2:])
    await asyncio.to_thread(
        lambda: offline_publisher.set_raw_metadata(
            asset.data_nft,
            data,
            flags=bytes([how["flags"]]),
            state=0,
            document_hash=how.get("document_hash") or hashlib.sha256(data).digest(),
        )
    )
    async with index_on(network_on(chain), tmp_path / "index") as index:
        with pytest.raises(error) as caught:
            await index.fetch(asset.did)
        assert caught.value.detail


@pytest.mark.gen_test(timeout=30)
async def test_restart_goes_on_where_it_stopped(chain, offline_publisher, tmp_path: Path) -> None:
    first = await publish(offline_publisher)
    async with index_on(network_on(chain), tmp_path / "index") as index:
        await index.fetch(first.did)
    height = chain.w3.eth.block_number
    second = await publish(offline_publisher)
    async with gateway_to(chain.url) as gateway:
        async with index_on(network_on(chain, url=gateway.url), tmp_path / "index") as index:
            assert (await index.fetch(first.did)).did == first.did
            assert gateway.calls == []
            assert (await index.fetch(second.did)).did == second.did
        assert min(first for first, _ in gateway.ranges()) == height - 8 + 1


@pytest.mark.gen_test(timeout=30)
async def test_other_factory_or_earlier_start_reads_anew(chain, offline_publisher, tmp_path: Path) -> None:
    asset = await publish(offline_publisher)
    height = chain.w3.eth.block_number
    async with index_on(network_on(chain), tmp_path / "index", index_start_block=height + 1) as index:
        with pytest.raises(AssetNotFound):
            await index.fetch(asset.did)
    async with index_on(network_on(chain), tmp_path / "index") as index:
        assert (await index.fetch(asset.did)).did == asset.did


@pytest.mark.gen_test(timeout=60)
@pytest.mark.parametrize("finality_blocks", [16, 1], ids=["within finality", "deeper than finality"])
async def test_reorganised_events_are_forgotten(chain, offline_publisher, tmp_path: Path, finality_blocks) -> None:
    asset = await publish(offline_publisher)
    chain.rpc("evm_mine")
    snapshot = chain.rpc("evm_snapshot")
    network = network_on(chain, finality_blocks=finality_blocks)
    async with index_on(network, tmp_path / "index", poll=True) as index:
        assert await state_of(index, asset.did) == 0

        async def revoked() -> bool:
            return await state_of(index, asset.did) == 3

        for block in range(4):
            await asyncio.to_thread(offline_publisher.set_state, asset.data_nft, 3 if block == 0 else 5 - block % 2 * 2)
        await eventually(revoked)
        assert chain.rpc("evm_revert", snapshot) is True
        with chain.clock_shifted(1):  # so that the blocks differ from those that were here before
            for _ in range(5):
                chain.rpc("evm_mine")
        other = await publish(offline_publisher)

        async def active() -> bool:
            return await state_of(index, asset.did) == 0

        await eventually(active)
        assert (await index.fetch(other.did)).did == other.did


@pytest.mark.gen_test(timeout=60)
async def test_chain_that_was_cut_back_loses_its_last_events(chain, offline_publisher, tmp_path: Path) -> None:
    snapshot = chain.rpc("evm_snapshot")
    asset = await publish(offline_publisher)
    async with index_on(network_on(chain), tmp_path / "index", poll=True) as index:
        await index.fetch(asset.did)
        assert chain.rpc("evm_revert", snapshot) is True

        async def gone() -> bool:
            try:
                await index.fetch(asset.did)
            except AssetNotFound:
                return True
            return False

        await eventually(gone)


@pytest.mark.gen_test(timeout=30)
async def test_node_that_lags_once_loses_nothing(chain, offline_publisher, tmp_path: Path) -> None:
    asset = await publish(offline_publisher)
    async with gateway_to(chain.url) as gateway:
        network = network_on(chain, url=gateway.url)
        async with index_on(network, tmp_path / "index") as index:
            await index.fetch(asset.did)
            gateway.hidden_blocks = 3
            with pytest.raises(AssetNotFound):
                await index.fetch(UNKNOWN)
            assert (await index.fetch(asset.did)).did == asset.did
        network = network_on(chain, url=gateway.url)
        async with index_on(network, tmp_path / "index") as index:
            assert (await index.fetch(asset.did)).did == asset.did


@pytest.mark.gen_test(timeout=30)
async def test_range_the_node_refuses_is_halved(chain, offline_publisher, tmp_path: Path) -> None:
    asset = await publish(offline_publisher)
    async with gateway_to(chain.url) as gateway:
        gateway.max_range = 3
        network = network_on(chain, url=gateway.url)
        async with index_on(network, tmp_path / "index", wait_seconds=20.0) as index:
            assert (await index.fetch(asset.did)).did == asset.did
        answered = [(first, last) for first, last in gateway.ranges() if last - first < 3]
        assert {block for first, last in answered for block in range(first, last + 1)} >= set(
            range(chain.contracts.start_block, chain.w3.eth.block_number + 1)
        )


@pytest.mark.gen_test(timeout=30)
async def test_node_that_refuses_every_range_is_an_error(chain, offline_publisher, tmp_path: Path) -> None:
    async with gateway_to(chain.url) as gateway:
        gateway.max_range = 0
        network = network_on(chain, url=gateway.url)
        async with index_on(network, tmp_path / "index") as index:
            with pytest.raises(ChainError):
                await index.fetch(UNKNOWN)


@pytest.mark.gen_test(timeout=30)
async def test_unreachable_chain_is_not_taken_for_no_such_asset(chain, offline_publisher, tmp_path: Path) -> None:
    asset = await publish(offline_publisher)
    async with gateway_to(chain.url) as gateway:
        async with index_on(network_on(chain, url=gateway.url), tmp_path / "index") as index:
            await index.fetch(asset.did)
        gateway.down = True
        async with index_on(network_on(chain, url=gateway.url), tmp_path / "index") as index:
            assert (await index.fetch(asset.did)).did == asset.did
            with pytest.raises(ChainUnavailable):
                await index.fetch(UNKNOWN)


@pytest.mark.gen_test(timeout=30)
async def test_background_work_outlives_an_outage(chain, offline_publisher, tmp_path: Path, caplog) -> None:
    async with gateway_to(chain.url) as gateway:
        gateway.down = True
        metrics = Index()
        network = network_on(chain, url=gateway.url)
        async with index_on(network, tmp_path / "index", poll=True, metrics=metrics) as index:

            async def warned() -> bool:
                return any(record.name.endswith("chain_index") for record in caplog.records)

            await eventually(warned)
            assert index.behind() == {chain.contracts.chain_id: None}
            gateway.down = False
            height = chain.w3.eth.block_number

            async def caught_up() -> bool:
                return metrics.block.values == {(chain.contracts.chain_id,): height}

            await eventually(caught_up)
            assert index.behind() == {chain.contracts.chain_id: 0}


@pytest.mark.gen_test(timeout=30)
async def test_index_that_is_far_behind_does_not_claim_not_found(chain, offline_publisher, tmp_path: Path) -> None:
    async with gateway_to(chain.url) as gateway:
        gateway.max_range = 1
        network = network_on(chain, url=gateway.url)
        async with index_on(network, tmp_path / "index", wait_seconds=0.05) as index:
            with pytest.raises(MetadataStoreUnavailable):
                await index.fetch(UNKNOWN)


@pytest.mark.gen_test(timeout=30)
async def test_waiters_share_one_look_at_the_chain(chain, tmp_path: Path) -> None:
    async with gateway_to(chain.url) as gateway:
        network = network_on(chain, url=gateway.url)
        async with index_on(network, tmp_path / "index") as index:
            dids = [f"did:op:{number:064x}" for number in range(50)]
            outcomes = await asyncio.gather(*(index.fetch(did) for did in dids), return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} == {AssetNotFound}
            # One for the first, and one for all who came when that had begun; two queries each.
            assert len(gateway.ranges()) <= 4


@pytest.mark.gen_test(timeout=30)
async def test_text_that_is_no_did_asks_nobody(chain, tmp_path: Path) -> None:
    async with gateway_to(chain.url) as gateway:
        network = network_on(chain, url=gateway.url)
        async with index_on(network, tmp_path / "index") as index:
            with pytest.raises(AssetNotFound):
                await index.fetch("did:op:../../etc")
        assert gateway.calls == []


@pytest.mark.gen_test(timeout=60)
async def test_process_that_does_not_poll_hears_of_updates(chain, offline_publisher, tmp_path: Path) -> None:
    asset = await publish(offline_publisher)
    async with gateway_to(chain.url) as gateway:
        listening = network_on(chain, url=gateway.url)
        async with (
            index_on(network_on(chain), tmp_path / "index", poll=True) as polling,
            index_on(listening, tmp_path / "index", poll=False) as other,
        ):
            await polling.fetch(asset.did)
            assert await state_of(other, asset.did) == 0
            calls = list(gateway.calls)
            await asyncio.to_thread(offline_publisher.set_state, asset.data_nft, 5)

            async def unlisted() -> bool:
                return await state_of(other, asset.did) == 5

            await eventually(unlisted)
            assert gateway.calls == calls


@pytest.mark.gen_test(timeout=60)
async def test_an_index_that_steps_back_asks_no_node_and_hears_what_its_successor_reads(
    chain, offline_publisher, tmp_path: Path
) -> None:
    asset = await publish(offline_publisher)
    async with gateway_to(chain.url) as gateway, gateway_to(chain.url) as other_gateway:
        old, new = network_on(chain, url=gateway.url), network_on(chain, url=other_gateway.url)
        async with (
            index_on(old, tmp_path / "index", poll=True) as leaving,
            index_on(new, tmp_path / "index", poll=True),
        ):
            assert await state_of(leaving, asset.did) == 0
            leaving.hand_over()

            async def polled(times: int) -> None:
                until = len(other_gateway.ranges()) + 2 * times

                async def so_often() -> bool:
                    return len(other_gateway.ranges()) >= until

                await eventually(so_often)

            # A page under way is read to its end.
            await polled(3)
            calls = list(gateway.calls)
            await polled(10)
            await asyncio.to_thread(offline_publisher.set_state, asset.data_nft, 5)

            async def unlisted() -> bool:
                return await state_of(leaving, asset.did) == 5

            await eventually(unlisted)
            assert gateway.calls == calls
            # Who asks for what nobody knows yet still has it looked for.
            with pytest.raises(AssetNotFound):
                await leaving.fetch(UNKNOWN)
            assert len(gateway.calls) > len(calls)


@pytest.mark.gen_test(timeout=60)
async def test_a_scan_that_steps_back_reads_only_for_those_who_wait(chain, offline_publisher, tmp_path: Path) -> None:
    await publish(offline_publisher)
    async with gateway_to(chain.url) as gateway:
        network = network_on(chain, url=gateway.url)
        store = IndexStore(tmp_path / "index")
        scan = ChainScan(
            network,
            store,
            start_block=network.start_block,
            batch_blocks=1000,
            max_document_bytes=1000,
            metrics=Index(),
        )
        scan.hand_over()
        assert not await scan.run()
        assert gateway.ranges() == []
        assert await scan.run(budget_seconds=60)
        assert gateway.ranges() != []
        await store.close()
        await network.rpc.close()


@pytest.mark.gen_test(timeout=60)
async def test_two_processes_that_read_at_once_agree(chain, offline_publisher, tmp_path: Path) -> None:
    path = tmp_path / "index"
    assets = [await publish(offline_publisher) for _ in range(3)]
    async with (
        index_on(network_on(chain), path, poll=True, index_batch_blocks=2) as one,
        index_on(network_on(chain), path, poll=True, index_batch_blocks=3) as two,
    ):

        async def both_there() -> bool:
            return set(one.behind().values()) == {0} == set(two.behind().values())

        await eventually(both_there, within_seconds=30.0)
        for asset in assets:
            assert (await one.fetch(asset.did)).did == (await two.fetch(asset.did)).did == asset.did
    connection = sqlite3.connect(path)
    documents = connection.execute(
        "SELECT COUNT(*) FROM index_events WHERE data_nft IN (?, ?, ?)", [asset.data_nft for asset in assets]
    ).fetchone()
    connection.close()
    assert documents == (3,)


@pytest.mark.gen_test(timeout=30)
async def test_file_of_another_program_is_refused(chain, tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "index")
    connection.execute("PRAGMA user_version = 77")
    connection.close()
    async with index_on(network_on(chain), tmp_path / "index") as index:
        with pytest.raises(StoreError) as caught:
            await index.start(poll=True)
        assert "schema version 77" in str(caught.value.detail)
