"""Files of a named source through the server: bought from a listed publisher, refused from everybody else."""

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from provider.errors import SourceRefused
from provider.testing.chain.contracts import contract_at
from provider.testing.chain.keys import CONSUMER_KEY, PUBLISHER_KEY, STRANGER_KEY
from provider.testing.child import Children
from provider.testing.http_client import Reply, request, with_query
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published
from provider.testing.stage import DemoChain, DemoServer, launch_server
from tests.e2e.conftest import Sell
from tests.e2e.test_fileinfo import ask as ask_fileinfo
from tests.e2e.test_fileinfo import by_asset
from tests.support.downloads import ask
from tests.support.links import links
from tests.support.logs import tracebacks
from tests.support.metadata_store import MetadataStore, StoringPublisher
from tests.support.origin import wait_until

DATA = hashlib.shake_256(b"planted").digest(5_000_011)
SMALL = b"a,b\n1,2\n"
REFUSAL = {"error": f"Provider Ganache: {SourceRefused.text}"}
NO_FILE = {"error": "Provider Ganache: Asset URL not found, not available or invalid."}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("planted-source")
    (root / "2026").mkdir()
    (root / "2026" / "planted.parquet").write_bytes(DATA)
    (root / "small.csv").write_bytes(SMALL)
    (root / "link.csv").symlink_to("small.csv")
    os.mkfifo(root / "fifo.csv")
    return root


@pytest.fixture(scope="module")
def own(
    children: Children, chain: DemoChain, metadata_store: MetadataStore, server_folder: Path, folder: Path
) -> DemoServer:
    """A server with one source, of which the demo's publisher may sell."""
    publishers = [chain.wallet(PUBLISHER_KEY).address]
    settings = {
        "AQUARIUS_URL": metadata_store.url,
        "PROVIDER_SOURCES": json.dumps({"climate": {"path": str(folder), "publishers": publishers}}),
    }
    started = launch_server(children, chain, server_folder, settings, name="sources")
    started.wait_ready()
    return started


@pytest.fixture(scope="module")
def buyer(chain: DemoChain, own: DemoServer) -> Consumer:
    return Consumer(chain.wallet(CONSUMER_KEY), own.url)


def source_file(path: str, source: str = "climate") -> dict[str, object]:
    return {"type": "source", "source": source, "path": path}


FILES = [
    source_file("2026/planted.parquet"),
    source_file("small.csv"),
    source_file("missing.csv"),
    source_file("link.csv"),
    source_file("fifo.csv"),
    source_file("2026"),
    source_file("small.csv", source="missing"),
]


@pytest.fixture(scope="module")
def bought(sell: Sell) -> tuple[Published, str]:
    return sell(*FILES)


@pytest.fixture(scope="module")
def of_stranger(
    chain: DemoChain, server: DemoServer, metadata_store: MetadataStore, consumer: Consumer
) -> tuple[Published, str]:
    """An asset of somebody who is not listed, with the same files, and an order for it."""
    publisher = StoringPublisher(chain.wallet(STRANGER_KEY), chain.contracts, server.url)
    publisher.store = metadata_store
    asset = publisher.publish(FILES)
    publisher.mint(asset.datatokens[0], consumer.address)
    return asset, consumer.order(asset)


def download(buyer: Consumer, bought: tuple[Published, str], file_index: int = 0, **headers: str) -> Reply:
    url = with_query(
        f"{buyer.provider_url}/api/services/download", buyer.download_parameters(*bought, file_index=file_index)
    )
    return request("GET", url, headers={name.replace("_", "-"): value for name, value in headers.items()})


def initialize(server: DemoServer, buyer: Consumer, asset: Published, file_index: int = 0) -> Reply:
    asked = {"documentId": asset.did, "serviceId": asset.service()["id"], "consumerAddress": buyer.address}
    return request("GET", with_query(f"{server.url}/api/services/initialize", {**asked, "fileIndex": str(file_index)}))


def test_a_file_is_sent_from_the_page_cache(own: DemoServer, buyer: Consumer, bought: tuple[Published, str]) -> None:
    reply = download(buyer, bought)
    assert (reply.status, reply.body == DATA) == (200, True)
    assert reply.headers["content-type"] == "application/vnd.apache.parquet"
    assert reply.headers["content-disposition"] == "attachment;filename=planted.parquet"
    assert reply.headers["accept-ranges"] == "bytes"
    assert reply.headers["cache-control"] == "private, no-store"
    wait_until(lambda: '"path":"sendfile"' in own.child.stderr_tail(1 << 24))
    metrics = request("GET", f"{own.admin_url}/metrics").body.decode()
    (line,) = [one for one in metrics.splitlines() if 'path="sendfile"' in one and "streamed_bytes_total" in one]
    assert 'file_type="source"' in line
    assert float(line.rpartition(" ")[2]) == len(DATA)


def test_an_asset_that_was_given_to_a_publisher_sells_nothing(
    own: DemoServer, buyer: Consumer, chain: DemoChain, metadata_store: MetadataStore
) -> None:
    """Anybody may give an NFT away, with what its document names and the datatokens that were minted before."""
    listed, stranger = chain.wallet(PUBLISHER_KEY).address, chain.wallet(STRANGER_KEY)
    publisher = StoringPublisher(stranger, chain.contracts, own.url)
    publisher.store = metadata_store
    asset = publisher.publish(FILES)
    publisher.mint(asset.datatokens[0], buyer.address)
    given = (asset, buyer.order(asset))
    nft = contract_at(chain.w3, "ERC721Template", asset.data_nft)
    stranger.send(nft.functions.transferFrom(stranger.address, listed, 1))
    metadata_store.put(asset, owner=listed)
    reply = download(buyer, given, 1)
    assert reply.body != SMALL
    assert reply.json() == REFUSAL


def test_parts_join_to_the_file(buyer: Consumer, bought: tuple[Published, str]) -> None:
    size = 700_000
    asked = [f"bytes={first}-{first + size - 1}" for first in range(0, len(DATA), size)]
    replies = [download(buyer, bought, Range=text) for text in asked]
    assert {reply.status for reply in replies} == {206}
    assert b"".join(reply.body for reply in replies) == DATA
    assert len({reply.headers["etag"] for reply in replies}) == 1


def test_a_link_opens_it_in_parts_at_once(buyer: Consumer, bought: tuple[Published, str]) -> None:
    (linked,) = links(buyer, *bought, fileIndex=0)
    assert (linked["length"], linked["ranges"]) == (len(DATA), True)
    size = 700_000
    asked = [f"bytes={first}-{first + size - 1}" for first in range(0, len(DATA), size)]
    with ThreadPoolExecutor(len(asked)) as pool:
        replies = list(pool.map(lambda text: request("GET", linked["url"], headers={"Range": text}), asked))
    assert b"".join(reply.body for reply in replies) == DATA
    assert {reply.headers["etag"] for reply in replies} == {linked["etag"]}


def test_a_link_of_a_stranger_s_asset_opens_nothing(buyer: Consumer, of_stranger: tuple[Published, str]) -> None:
    for index in (0, 2, 6):
        (linked,) = links(buyer, *of_stranger, fileIndex=index)
        assert set(linked) == {"index", "name", "url"}
        for method in ("GET", "HEAD"):
            assert request(method, linked["url"]).status == 403


def test_conditions_hold(buyer: Consumer, bought: tuple[Published, str]) -> None:
    first = download(buyer, bought, 1)
    etag, modified = first.headers["etag"], first.headers["last-modified"]
    assert first.body == SMALL
    assert download(buyer, bought, 1, If_None_Match=etag).status == 304
    assert download(buyer, bought, 1, If_Modified_Since=modified).status == 304
    assert download(buyer, bought, 1, If_Match='"other"').status == 412
    part = download(buyer, bought, 1, Range="bytes=2-3", If_Range=etag)
    assert (part.status, part.body) == (206, SMALL[2:4])
    assert download(buyer, bought, 1, Range="bytes=2-3", If_Range='"other"').body == SMALL
    beyond = download(buyer, bought, 1, Range=f"bytes={len(SMALL)}-")
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{len(SMALL)}")


@pytest.mark.parametrize("index", [2, 3, 4, 5], ids=["missing", "link", "FIFO", "folder"])
def test_what_is_no_regular_file_is_one_answer(buyer: Consumer, bought: tuple[Published, str], index: int) -> None:
    reply = ask(buyer, *bought, file_index=index)
    assert (reply.status, reply.json()) == (400, NO_FILE)


def test_fileinfo_describes_files_of_an_asset(own: DemoServer, bought: tuple[Published, str]) -> None:
    items = ask_fileinfo(own, by_asset(bought[0], checksum=True)).json()
    assert items[0] == {
        "index": 0,
        "type": "source",
        "valid": True,
        "contentLength": str(len(DATA)),
        "contentType": "application/vnd.apache.parquet",
        "filename": "planted.parquet",
        "checksum": hashlib.sha256(DATA).hexdigest(),
        "checksumType": "sha256",
    }
    assert items[2:] == [{"index": index, "type": "source", "valid": False} for index in range(2, len(FILES))]


def test_fileinfo_tells_nothing_about_a_file_outside_an_asset(own: DemoServer) -> None:
    """The type is not known there, whatever else is asked."""
    texts = set()
    for file in (FILES[1], FILES[2], FILES[6], {"type": "sauce"}):
        reply = ask_fileinfo(own, file)
        texts.add((reply.status, json.dumps(reply.json()["errors"])))
    ((status, errors),) = texts
    assert status == 400
    assert "type" in errors


def test_initialize_checks_the_file(own: DemoServer, buyer: Consumer, bought: tuple[Published, str]) -> None:
    assert initialize(own, buyer, bought[0]).status == 200
    assert initialize(own, buyer, bought[0], 2).status == 400


def test_the_asset_of_a_stranger_is_refused_everywhere(
    own: DemoServer, buyer: Consumer, of_stranger: tuple[Published, str]
) -> None:
    """It makes no difference whether the source and the file exist."""
    for index in range(len(FILES)):
        reply = ask(buyer, *of_stranger, file_index=index)
        assert (reply.status, reply.json()) == (403, REFUSAL)
        told = initialize(own, buyer, of_stranger[0], index)
        assert (told.status, told.json()) == (403, REFUSAL)
    items = ask_fileinfo(own, by_asset(of_stranger[0])).json()
    assert items == [{"index": index, "type": "source", "valid": False} for index in range(len(FILES))]


def test_nobody_sells_what_is_no_source(buyer: Consumer, bought: tuple[Published, str]) -> None:
    reply = ask(buyer, *bought, file_index=6)
    assert (reply.status, reply.json()) == (403, REFUSAL)


def test_a_server_without_sources_serves_none(consumer: Consumer, bought: tuple[Published, str]) -> None:
    reply = ask(consumer, *bought)
    assert (reply.status, reply.json()) == (403, REFUSAL)


def test_what_lies_where_is_in_no_log(own: DemoServer, buyer: Consumer, bought: tuple[Published, str]) -> None:
    for index in range(len(FILES)):
        ask(buyer, *bought, file_index=index)
    log = own.child.stderr_tail(1 << 26)
    assert "planted" not in log
    assert "small.csv" not in log
    assert tracebacks(log) == []
