"""The metadata store client against a real HTTP server on port 0 that answers what each test tells it."""

import asyncio
import gzip
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from provider import USER_AGENT
from provider.assets import metadata_store
from provider.assets.config import MetadataConfig
from provider.assets.ddo import Asset, parse_ddo
from provider.assets.did import did_for
from provider.assets.document_marks import DocumentMarks
from provider.assets.metadata_store import MetadataStore
from provider.cache import FactCache
from provider.errors import AssetMalformed, AssetNotFound, MetadataStoreUnavailable, ProviderError
from provider.testing.ports import free_ports

NFT = "0xa331155197F70e5e1EA0CC2A1f9ddB1D49A9C1De"
DID = did_for(NFT, 1)
NFT_FACTS = {"address": NFT, "state": 0}
DDO = {
    "id": DID,
    "version": "4.1.0",
    "chainId": 1,
    "nftAddress": NFT,
    "metadata": {"type": "dataset"},
    "services": [],
    "nft": NFT_FACTS,
}
OCEAN_NODE_DDO = {key: DDO[key] for key in DDO if key != "nft"} | {"indexedMetadata": {"nft": NFT_FACTS}}


class Server:
    """Answers every request with `reply` and remembers the request heads."""

    def __init__(self) -> None:
        self.reply = answer(json.dumps(DDO))
        self.heads: list[str] = []
        self.base_url = ""
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = asyncio.Event()
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
                self.asked.set()
                await self.gate.wait()
                writer.write(self.reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    @property
    def targets(self) -> list[str]:
        return [head.split(" ")[1] for head in self.heads]


def answer(body: str | bytes, status: str = "200 OK", *headers: str) -> bytes:
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(data)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + data


@asynccontextmanager
async def running(
    *, path: str = "", timeout_seconds: float = 60.0, max_bytes: int = 100_000, ttl_seconds: float = 60.0
) -> AsyncIterator[tuple[Server, MetadataStore]]:
    server = Server()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    server.base_url = f"http://127.0.0.1:{port}"
    cache: FactCache[str, Asset] = FactCache(name="ddo", max_entries=10, ttl_seconds=ttl_seconds)
    store = MetadataStore(
        server.base_url + path,
        MetadataConfig(timeout_seconds=timeout_seconds, max_document_bytes=max_bytes),
        cache=cache,
    )
    try:
        yield server, store
    finally:
        server.gate.set()
        await store.close()
        listener.close()


async def refusal(store: MetadataStore, did: str = DID) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await store.fetch(did)
    return caught.value


@pytest.mark.gen_test
async def test_asset_of_aquarius_is_fetched() -> None:
    async with running() as (server, store):
        asset = await store.fetch(DID)
    assert (asset.did, asset.data_nft, asset.nft_state) == (DID, NFT, 0)
    assert server.targets == [f"/api/aquarius/assets/ddo/{DID}"]
    assert f"User-Agent: {USER_AGENT}\r\n" in server.heads[0]
    assert "Accept-Encoding: identity\r\n" in server.heads[0]


@pytest.mark.parametrize("peculiar", ["\ud83d", float("nan"), float("-inf"), {"\ude00": "\ud83d\ude00"}], ids=ascii)
@pytest.mark.gen_test
async def test_asset_whose_text_holds_what_only_python_writes_is_fetched(peculiar: object) -> None:
    """It was "the metadata store cannot be reached", for ever."""
    async with running() as (server, store):
        server.reply = answer(json.dumps({**DDO, "metadata": {"type": "dataset", "description": peculiar}}))
        asset = await store.fetch(DID)
    assert (asset.did, asset.metadata_type) == (DID, "dataset")


@pytest.mark.parametrize("body", ["{", '{"a":nan}', b"\xff\xfe", "[" * 50_000], ids=lambda body: str(body[:6]))
@pytest.mark.gen_test
async def test_json_that_nobody_can_read_is_the_publishers_fault(body: str | bytes) -> None:
    async with running() as (server, store):
        server.reply = answer(body, "200 OK", "Content-Type: application/json")
        assert type(await refusal(store)) is AssetMalformed


@pytest.mark.gen_test
async def test_asset_of_ocean_node_is_fetched() -> None:
    async with running() as (server, store):
        server.reply = answer(json.dumps(OCEAN_NODE_DDO))
        asset = await store.fetch(DID)
    assert (asset.nft_address, asset.nft_state) == (NFT, 0)


@pytest.mark.parametrize("path", ["", "/", "/cache", "/cache//"])
@pytest.mark.gen_test
async def test_base_url_may_have_a_path_and_end_in_slashes(path: str) -> None:
    async with running(path=path) as (server, store):
        await store.fetch(DID)
    assert server.targets == [f"{path.rstrip('/')}/api/aquarius/assets/ddo/{DID}"]


@pytest.mark.gen_test
async def test_did_of_version_5_is_asked_for_as_it_is() -> None:
    did = did_for(NFT, 1, prefix="did:ope:")
    async with running() as (server, store):
        await store.fetch(did)
    assert server.targets == [f"/api/aquarius/assets/ddo/{did}"]


@pytest.mark.parametrize(
    "did",
    [
        "",
        "did:op:test",
        DID + "/../../admin",
        DID + "?x=1",
        DID + "#x",
        DID + "%2F..",
        DID + "\r\nX: y",
        DID + "\n",
        " " + DID,
        DID.upper(),
        "did:op:" + "../" * 21 + "a",
        "http://169.254.169.254/" + DID,
        "did:op:" + "٣" * 64,
        "did:op:" + "\ud800" * 64,
        "did:op:" + "a" * 1_000_000,
    ],
    ids=lambda text: ascii(text[-14:]),
)
@pytest.mark.gen_test
async def test_text_that_is_no_did_is_not_found_without_a_request(did: str) -> None:
    async with running() as (server, store):
        assert type(await refusal(store, did)) is AssetNotFound
    assert server.heads == []


@pytest.mark.parametrize("status", ["404 Not Found", "400 Bad Request", "403 Forbidden", "410 Gone", "422 x"])
@pytest.mark.gen_test
async def test_definite_4xx_means_no_such_asset(status: str) -> None:
    async with running() as (server, store):
        server.reply = answer('{"error":"secret"}', status)
        error = await refusal(store)
    assert (type(error), str(error)) == (AssetNotFound, "Cannot resolve DID")


@pytest.mark.parametrize(
    "status",
    ["500 x", "502 x", "503 x", "504 x", "408 x", "425 x", "429 x", "204 x", "206 x", "304 x"],
)
@pytest.mark.gen_test
async def test_other_statuses_mean_that_the_store_is_unavailable(status: str) -> None:
    async with running() as (server, store):
        server.reply = answer("", status)
        error = await refusal(store)
    assert type(error) is MetadataStoreUnavailable
    assert status[:3] in (error.detail or "")
    assert server.base_url not in f"{error} {error.detail}"


@pytest.mark.parametrize(
    "body", ["", "<html>", "{", '{"a":nan}', b"\xff\xfe", "[" * 50_000], ids=lambda body: str(body[:6])
)
@pytest.mark.gen_test
async def test_body_that_is_no_json_means_that_the_store_is_unavailable(body: str | bytes) -> None:
    async with running() as (server, store):
        server.reply = answer(body)
        assert type(await refusal(store)) is MetadataStoreUnavailable


@pytest.mark.parametrize("body", ["{}", "[]", "null", '"text"', "7", json.dumps(DDO | {"chainId": None})])
@pytest.mark.gen_test
async def test_json_that_is_no_ddo_is_malformed(body: str) -> None:
    async with running() as (server, store):
        server.reply = answer(body)
        assert type(await refusal(store)) is AssetMalformed


@pytest.mark.gen_test
async def test_a_document_of_more_values_than_any_has_is_not_parsed() -> None:
    """A parser holds all threads for about a second per million of them."""
    async with running(max_bytes=1 << 20) as (server, store):
        server.reply = answer(json.dumps({**DDO, "x": [[]] * 100_000}))
        assert type(await refusal(store)) is AssetMalformed


@pytest.mark.gen_test
@pytest.mark.parametrize(("count", "is_on_loop"), [(10, True), (10_000, False)])
async def test_a_long_document_is_parsed_beside_the_event_loop(
    count: int, is_on_loop: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its publisher decides how long it takes: a list of addresses took 0.2 s."""
    threads = []

    def noted(*arguments: object, **named: bool) -> Asset:
        threads.append(threading.current_thread())
        return parse_ddo(*arguments, **named)

    monkeypatch.setattr(metadata_store, "parse_ddo", noted)
    lists = [{"type": "accessList", "chainId": 1, "accessList": f"0x{number:040x}"} for number in range(count)]
    async with running(max_bytes=1 << 20) as (server, store):
        server.reply = answer(json.dumps({**DDO, "credentials": {"allow": lists}}))
        assert (await store.fetch(DID)).did == DID
    assert [thread is threading.current_thread() for thread in threads] == [is_on_loop]


@pytest.mark.gen_test
async def test_document_over_the_limit_is_malformed_and_not_read_to_its_end() -> None:
    async with running(max_bytes=1000) as (server, store):
        server.reply = answer(json.dumps(DDO).ljust(1000))
        await store.fetch(DID)
        other = did_for(NFT, 2)
        # Announced as endless: only who stops reading gets an answer here.
        server.reply = b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n" + b" " * 2000
        assert type(await refusal(store, other)) is AssetMalformed
        server.reply = answer(json.dumps(DDO).ljust(1001))
        assert type(await refusal(store, other)) is AssetMalformed


@pytest.mark.gen_test
async def test_compressed_bomb_is_stopped_at_the_limit() -> None:
    async with running() as (server, store):
        server.reply = answer(gzip.compress(b" " * 50_000_000), "200 OK", "Content-Encoding: gzip")
        assert type(await refusal(store)) is AssetMalformed


@pytest.mark.gen_test
async def test_compressed_document_is_read_all_the_same() -> None:
    async with running() as (server, store):
        server.reply = answer(gzip.compress(json.dumps(DDO).encode()), "200 OK", "Content-Encoding: gzip")
        assert (await store.fetch(DID)).did == DID


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
    ],
    ids=["silent", "head", "body", "chunk"],
)
@pytest.mark.gen_test
async def test_store_that_does_not_finish_in_time_is_unavailable(reply: bytes) -> None:
    async with running(timeout_seconds=0.2) as (server, store):
        server.reply = reply
        error = await refusal(store)
    assert type(error) is MetadataStoreUnavailable
    assert "no answer within 0.2 s" in (error.detail or "")


@pytest.mark.parametrize(
    "reply",
    [
        b"not HTTP at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd",
        b"HTTP/1.1 302 x\r\nLocation: http://[broken\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 x\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 x\r\nLocation: ftp://x/\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["no http", "bad gzip", "broken redirect", "redirect loop", "redirect to ftp"],
)
@pytest.mark.gen_test
async def test_broken_answers_mean_that_the_store_is_unavailable(reply: bytes) -> None:
    async with running() as (server, store):
        server.reply = reply
        error = await refusal(store)
    assert type(error) is MetadataStoreUnavailable
    assert server.base_url not in f"{error} {error.detail}"


@pytest.mark.gen_test
async def test_connection_cut_in_the_body_means_that_the_store_is_unavailable() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(cut, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    cache: FactCache[str, Asset] = FactCache(name="ddo", max_entries=10, ttl_seconds=60)
    store = MetadataStore(f"http://127.0.0.1:{port}", MetadataConfig(timeout_seconds=60), cache=cache)
    assert type(await refusal(store)) is MetadataStoreUnavailable
    await store.close()
    listener.close()


@pytest.mark.gen_test
async def test_unreachable_store_is_unavailable_and_its_password_not_shown() -> None:
    (port,) = free_ports(1)
    cache: FactCache[str, Asset] = FactCache(name="ddo", max_entries=10, ttl_seconds=60)
    store = MetadataStore(f"http://user:SECRET@127.0.0.1:{port}", MetadataConfig(timeout_seconds=60), cache=cache)
    error = await refusal(store)
    with pytest.raises(MetadataStoreUnavailable):
        await store.check()
    await store.close()
    assert type(error) is MetadataStoreUnavailable
    assert error.__cause__ is None
    assert "SECRET" not in f"{error} {error.detail}"


@pytest.mark.gen_test
async def test_password_of_the_base_url_is_sent_as_basic_credential() -> None:
    async with running() as (server, _):
        cache: FactCache[str, Asset] = FactCache(name="ddo", max_entries=10, ttl_seconds=60)
        url = server.base_url.replace("http://", "http://user:pass@")
        store = MetadataStore(url, MetadataConfig(timeout_seconds=60), cache=cache)
        await store.fetch(DID)
        await store.close()
    assert "Authorization: Basic dXNlcjpwYXNz\r\n" in server.heads[0]


@pytest.mark.gen_test
async def test_found_asset_is_asked_for_once() -> None:
    async with running() as (server, store):
        server.gate.clear()
        calls = [asyncio.ensure_future(store.fetch(DID)) for _ in range(20)]
        await asyncio.wait_for(server.asked.wait(), 60)
        server.gate.set()
        assets = await asyncio.gather(*calls)
        assert await store.fetch(DID) is assets[0]
    assert len(server.heads) == 1


@pytest.mark.parametrize("status", ["404 x", "500 x"])
@pytest.mark.gen_test
async def test_failure_is_not_remembered(status: str) -> None:
    async with running() as (server, store):
        good, server.reply = server.reply, answer("", status)
        await refusal(store)
        server.reply = good
        assert (await store.fetch(DID)).did == DID


@pytest.mark.gen_test
async def test_connection_is_kept_for_the_next_asset() -> None:
    async with running(ttl_seconds=0) as (server, store):
        for _ in range(5):
            await store.fetch(DID)
    assert (len(server.heads), server.connections) == (5, 1)


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found"])
@pytest.mark.gen_test
async def test_check_passes_when_the_store_answers_at_all(status: str) -> None:
    async with running(max_bytes=1) as (server, store):
        server.reply = answer("a page", status)
        await store.check()
    assert server.targets == ["/"]


@pytest.mark.gen_test
async def test_check_fails_when_the_store_fails() -> None:
    async with running() as (server, store):
        server.reply = answer("", "503 x")
        with pytest.raises(MetadataStoreUnavailable):
            await store.check()


@pytest.mark.gen_test
async def test_a_document_that_was_opened_is_asked_for_again_by_every_worker(tmp_path: Path) -> None:
    async with running() as (server, one):
        caches = [FactCache(name="ddo", max_entries=10, ttl_seconds=60.0) for _ in range(2)]
        workers = [
            MetadataStore(
                server.base_url, MetadataConfig(timeout_seconds=60), cache=cache, marks=DocumentMarks(str(tmp_path))
            )
            for cache in caches
        ]
        for worker in (one, *workers):
            assert (await worker.fetch(DID)).metadata_type == "dataset"
        server.reply = answer(json.dumps({**DDO, "metadata": {"type": "algorithm"}}))
        other = did_for(NFT, 2)
        workers[0].document_opened(NFT, 1)
        for worker in workers:
            assert worker.peek(DID) is None
            assert (await worker.fetch(DID)).metadata_type == "algorithm"
            assert worker.peek(other) is None
        # A worker of another server was not told.
        assert (await one.fetch(DID)).metadata_type == "dataset"
        for worker in workers:
            await worker.close()


@pytest.mark.gen_test
async def test_after_a_document_was_opened_the_stores_answer_is_kept_only_for_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The indexer may need a while to store it."""
    monkeypatch.setattr(metadata_store, "_MOMENT_SECONDS", 0.0)
    async with running() as (server, store):
        store.document_opened(NFT, 1)
        assert (await store.fetch(DID)).metadata_type == "dataset"
        server.reply = answer(json.dumps({**DDO, "metadata": {"type": "algorithm"}}))
        assert (await store.fetch(DID)).metadata_type == "algorithm"


@pytest.mark.gen_test
async def test_assets_of_the_same_group_are_dropped_together_and_no_others() -> None:
    async with running() as (server, store):
        await store.fetch(DID)
        dids = [f"did:op:{number:061x}{DID[-3:]}" for number in range(3)]
        for did in dids:
            server.reply = answer(json.dumps({**DDO, "id": did}))
            await store.fetch(did)
        far = f"did:op:{0:061x}{(int(DID[-3:], 16) + 1) % 4096:03x}"
        server.reply = answer(json.dumps({**DDO, "id": far}))
        await store.fetch(far)
        store.document_opened(NFT, 1)
        assert [store.peek(did) for did in (DID, *dids)] == [None] * 4
        assert store.peek(far) is not None
