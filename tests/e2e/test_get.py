"""`provider get` as a program, with the real server, a real chain and an origin that cuts, changes and counts."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from provider.commands.get.plan import MIN_PIECE_BYTES
from provider.testing.chain.keys import CONSUMER_KEY, STRANGER_KEY
from provider.testing.child import bare_environ
from provider.testing.http_client import request
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, url_file
from provider.testing.readings import scrape
from provider.testing.stage import DemoChain, DemoServer
from tests.e2e.conftest import LaunchServer, Sell
from tests.support.flaky_file import Cut, FlakyFile, content
from tests.support.measured import MeasuredChildren
from tests.support.origin import CSV, Origin, pattern, wait_until
from tests.support.raw_origin import Exchange, RawOrigin, raw_origin

SIZE = 3 * MIN_PIECE_BYTES + 4321


@dataclass(frozen=True, slots=True)
class Done:
    """A finished run: its exit status, what it wrote, and the summary of `--json`."""

    status: int | None
    error: str
    summary: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Buyer:
    """Runs the command in a folder of its own, against one server, with a node to find the order.

    `folder`: the working folder of the test.
    """

    folder: Path
    rpc: str
    provider: str
    children: MeasuredChildren

    @property
    def file(self) -> Path:
        return self.folder / "data.bin"

    def words(self, did: str, *more: str, key: str = CONSUMER_KEY) -> list[str]:
        """The command, after `provider`."""
        key_file = self.folder.parent / "key"
        key_file.write_text(key)
        named = ["--key-file", str(key_file), "--provider", self.provider, "--rpc", self.rpc, "--json"]
        return ["get", did, *named, *more]

    async def start(self, did: str, *more: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "provider", *self.words(did, *more)),
            cwd=self.folder,
            env=bare_environ(str(self.folder)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def get(self, did: str, *more: str, key: str = CONSUMER_KEY) -> Done:
        done = await asyncio.to_thread(self.children.run, *self.words(did, *more, key=key))
        assert "Traceback" not in done.stderr
        assert "/d/" not in done.stdout + done.stderr, "a link is a secret"
        return Done(done.returncode, done.stderr, json.loads(done.stdout) if done.stdout else {})


@pytest.fixture
def buyer(
    tmp_path: Path,
    server: DemoServer,
    chain: DemoChain,
    children: MeasuredChildren,
    monkeypatch: pytest.MonkeyPatch,
) -> Buyer:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return Buyer(folder, chain.url, server.url, children)


@pytest.fixture
def bought(sell: Sell, origin: Origin) -> tuple[Published, str]:
    """The consumer's newest order. The command looks for an asset only among the newest that its buyer has ordered."""
    return sell(url_file(f"{origin.url}/data.csv"), url_file(f"{origin.url}/bytes/300000"))


def play(script: Callable[[Exchange], Any], sell: Sell, scene: Callable[[str, RawOrigin], Any]) -> None:
    """Sell one file of an origin with this script, and play a scene with its DID."""

    async def run() -> None:
        async with raw_origin(script) as origin:
            asset, _ = await asyncio.to_thread(sell, url_file(f"{origin.url}/data.bin"))
            await scene(asset.did, origin)

    asyncio.run(run())


def test_all_files_of_an_order_come_by_the_did(buyer: Buyer, bought: tuple[Published, str]) -> None:
    asset, order_tx = bought

    async def scene() -> None:
        done = await buyer.get(asset.did)
        assert done.status == 0, done.error
        assert (buyer.folder / "data.csv").read_bytes() == CSV
        assert (buyer.folder / "300000").read_bytes() == pattern(300_000)
        assert (done.summary["transferTxId"], done.summary["serviceId"]) == (order_tx, asset.service(0)["id"])

    asyncio.run(scene())


def test_the_command_on_the_providers_page_downloads(
    buyer: Buyer, server: DemoServer, chain: DemoChain, bought: tuple[Published, str], tmp_path: Path
) -> None:
    page = request("GET", server.url, headers={"Accept": "text/html"}).body.decode()
    command = re.search(r"<code>provider (get .+)</code>", page)
    assert command is not None
    key_file = tmp_path / "key"
    key_file.write_text(CONSUMER_KEY)
    values = {"DID": bought[0].did, "FILE": str(key_file), "URL-OF-THIS-PAGE": server.url, "URL-OF-A-NODE": chain.url}
    words = [values.get(word, word) for word in command[1].split()]
    environ = bare_environ(str(buyer.folder))
    subprocess.run([sys.executable, "-m", "provider", *words], cwd=buyer.folder, env=environ, check=True)
    assert (buyer.folder / "data.csv").read_bytes() == CSV


def test_one_file_of_an_order(buyer: Buyer, bought: tuple[Published, str]) -> None:
    async def scene() -> None:
        done = await buyer.get(bought[0].did, "--file", "1", "-o", "data.bin")
        assert done.status == 0, done.error
        assert {path.name for path in buyer.folder.iterdir()} == {"data.bin"}
        assert buyer.file.read_bytes() == pattern(300_000)

    asyncio.run(scene())


def test_userdata_reaches_the_origin(buyer: Buyer, sell: Sell, origin: Origin) -> None:
    asset, _ = sell(url_file(f"{origin.url}/echo"))

    async def scene() -> None:
        done = await buyer.get(asset.did, "--userdata", '{"city": "Roma"}')
        assert done.status == 0, done.error
        assert origin.requests("/echo")[-1].query == {"city": ["Roma"]}

    asyncio.run(scene())


@pytest.mark.parametrize("index", ["2", "-1"])
def test_a_file_that_is_none_of_the_order_is_refused(buyer: Buyer, bought: tuple[Published, str], index: str) -> None:
    async def scene() -> None:
        done = await buyer.get(bought[0].did, f"--file={index}")
        assert done.status == 3
        assert list(buyer.folder.iterdir()) == []

    asyncio.run(scene())


def test_a_stranger_gets_nothing(buyer: Buyer, bought: tuple[Published, str]) -> None:
    asset, order_tx = bought

    async def scene() -> None:
        done = await buyer.get(asset.did, "--service", asset.service(0)["id"], key=STRANGER_KEY)
        assert (done.status, "buy access first" in done.error) == (3, True)
        done = await buyer.get(asset.did, "--tx", order_tx, key=STRANGER_KEY)
        assert (done.status, "consumer/payer" in done.error) == (3, True)
        assert list(buyer.folder.iterdir()) == []

    asyncio.run(scene())


def test_a_large_file_costs_the_origin_each_byte_once(buyer: Buyer, sell: Sell) -> None:
    file = FlakyFile(SIZE)

    async def scene(did: str, _: RawOrigin) -> None:
        done = await buyer.get(did)
        assert done.status == 0, done.error
        assert buyer.file.read_bytes() == content(0, SIZE)
        assert done.summary["files"][0]["checked"] == ["length", "validator"]
        # One byte for the facts of the manifest, then the pieces.
        ranges = sorted(str(wanted) for wanted, _ in file.asked)
        assert len(ranges) == 5
        assert ranges[0] == "bytes=0-0"

    play(file, sell, scene)


def test_an_origin_that_cuts_every_connection_is_survived(buyer: Buyer, sell: Sell) -> None:
    file = FlakyFile(SIZE, Cut(SIZE), *(Cut(300_000 * n, "reset" if n % 2 else "close") for n in range(1, 9)))

    async def scene(did: str, _: RawOrigin) -> None:
        done = await buyer.get(did)
        assert done.status == 0, done.error
        assert buyer.file.read_bytes() == content(0, SIZE)

    play(file, sell, scene)


class ChangingFile:
    """A file of which every answer after the first `count` is of a second version, with another tag and other bytes."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._first = FlakyFile(SIZE)
        self._second = _Shifted(SIZE)

    async def __call__(self, exchange: Exchange) -> bool:
        self._left -= 1
        return await (self._first if self._left >= 0 else self._second)(exchange)


class _Shifted(FlakyFile):
    def __init__(self, size: int) -> None:
        super().__init__(size, fields=b'ETag: "v2"\r\n')

    async def __call__(self, exchange: Exchange) -> bool:
        wanted, condition = exchange.field("Range"), exchange.field("If-Range")
        first, last = 0, self.size - 1
        if wanted is not None and condition in (None, '"v2"'):
            start, _, end = wanted.removeprefix("bytes=").partition("-")
            first, last = int(start), int(end) if end else last
        await exchange.send(self._head(first, last, partial=(first, last) != (0, self.size - 1)))
        await exchange.send(shifted()[first : last + 1])
        return True


def shifted() -> bytes:
    """The bytes of the second version."""
    return content(7, SIZE)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_file_that_changes_between_two_ranges_is_never_a_mix(buyer: Buyer, sell: Sell, count: int) -> None:
    async def scene(did: str, _: RawOrigin) -> None:
        done = await buyer.get(did, "--connections", "1")
        assert done.status == 0, done.error
        assert buyer.file.read_bytes() == shifted()
        assert done.summary["files"][0]["etag"] == '"v2"'

    play(ChangingFile(count), sell, scene)


async def quarter(process: asyncio.subprocess.Process) -> None:
    """Return once a quarter of the file is there."""
    assert process.stderr is not None
    seen = b""
    while b"25 %" not in seen:
        line = await process.stderr.readline()
        assert line, seen
        seen += line


def test_kill_9_costs_only_what_was_not_there(buyer: Buyer, sell: Sell) -> None:
    file = FlakyFile(SIZE, Cut(SIZE), Cut(SIZE), *[Cut(1 << 20, "stall")] * 3)

    async def scene(did: str, _: RawOrigin) -> None:
        process = await buyer.start(did)
        await quarter(process)
        # None of those that stall is left for the second run: a byte for the facts of the manifest, then the pieces.
        await asyncio.to_thread(wait_until, lambda: len(file.asked) == 5)
        process.kill()
        await process.communicate()
        assert not buyer.file.exists()
        done = await buyer.get(did)
        assert done.status == 0, done.error
        assert buyer.file.read_bytes() == content(0, SIZE)
        assert done.summary["files"][0]["resumedBytes"] > 0

    play(file, sell, scene)


def test_links_that_are_revoked_meanwhile_are_asked_for_again(
    buyer: Buyer, sell: Sell, consumer: Consumer, server: DemoServer
) -> None:
    """The key may have more links at any time; who only has a link may not."""
    file = FlakyFile(SIZE, Cut(SIZE), Cut(7 << 20, "stall"))

    async def scene(did: str, origin: RawOrigin) -> None:
        before = await asyncio.to_thread(scrape, server.admin_url)
        process = await buyer.start(did, "--connections", "1")
        await quarter(process)
        await asyncio.to_thread(revoke, consumer)
        for exchange in origin.exchanges:
            exchange.writer.transport.abort()
        _, err = await process.communicate()
        assert process.returncode == 0, err
        assert buyer.file.read_bytes() == content(0, SIZE)
        moved = (await asyncio.to_thread(scrape, server.admin_url)).since(before)
        assert moved.total("provider_requests_total", endpoint="links", status="200") == 2
        assert moved.total("provider_requests_total", endpoint="link", status="410") == 2  # a range, and its renewal

    play(file, sell, scene)


def revoke(consumer: Consumer) -> None:
    nonce = consumer.next_nonce()
    fields = {
        "consumerAddress": consumer.address,
        "nonce": nonce,
        "signature": consumer.sign(f"{consumer.address}{nonce}", "revokeLinks"),
    }
    body = json.dumps(fields).encode()
    url = f"{consumer.provider_url}/api/services/links"
    assert request("DELETE", url, body=body, headers={"Content-Type": "application/json"}).status == 200


def test_a_server_without_links_says_so(
    buyer: Buyer, bought: tuple[Published, str], launch: LaunchServer, chain: DemoChain
) -> None:
    without = launch(PROVIDER_LINK_MAX_SECONDS="0")

    async def scene() -> None:
        done = await replace(buyer, provider=without.url).get(bought[0].did)
        assert (done.status, "gives no links" in done.error) == (1, True)

    asyncio.run(scene())


def test_a_server_that_allows_one_stream_serves_one(
    buyer: Buyer, sell: Sell, launch: LaunchServer, chain: DemoChain
) -> None:
    narrow = launch(PROVIDER_MAX_STREAMS_PER_CONSUMER="1", REQUEST_TIMEOUT="2")
    file = FlakyFile(SIZE)

    async def scene(did: str, _: RawOrigin) -> None:
        done = await replace(buyer, provider=narrow.url).get(did, "--connections", "2")
        assert done.status == 0, done.error
        assert buyer.file.read_bytes() == content(0, SIZE)

    play(file, sell, scene)
