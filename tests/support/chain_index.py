"""Parts of the chain index tests: an index on the demo chain, and a JSON-RPC node that counts and refuses."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from provider.assets.chain_index import ChainIndex
from provider.assets.config import MetadataConfig
from provider.assets.index_records import SealedDocument
from provider.cache import FactCache
from provider.chain.config import RpcConfig
from provider.chain.networks import Network, Networks
from provider.chain.rpc import Rpc
from provider.crypto.accounts import Account
from provider.files.document import open_document
from provider.testing.stage import DemoChain

MAX_DOCUMENT_BYTES = 100_000
_CONFIGURED = {field.name for field in fields(MetadataConfig)}


class Gateway:
    """A node in front of the real one: records every call, and may refuse long ranges, fail, or show a lower head."""

    def __init__(self, upstream_url: str) -> None:
        self._upstream_url = upstream_url
        self.calls: list[tuple[str, list[Any]]] = []
        self.max_range: int | None = None
        self.max_logs: int | None = None
        self.down = False
        self.hidden_blocks = 0
        self.url = ""

    def ranges(self) -> list[tuple[int, int]]:
        """(first, last) of every eth_getLogs so far."""
        asked = [params[0] for method, params in self.calls if method == "eth_getLogs"]
        return [(int(query["fromBlock"], 16), int(query["toBlock"], 16)) for query in asked]

    async def answer(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        if self.down:
            return web.Response(status=503)
        items = body if isinstance(body, list) else [body]
        self.calls += [(item["method"], list(item["params"])) for item in items]
        async with aiohttp.ClientSession() as session, session.post(self._upstream_url, json=items) as response:
            replies = {reply["id"]: reply for reply in await response.json()}
        for item in items:
            reply = replies[item["id"]]
            if item["method"] == "eth_blockNumber" and self.hidden_blocks:
                reply["result"] = hex(int(reply["result"], 16) - self.hidden_blocks)
            if item["method"] == "eth_getLogs" and self._is_too_long(item["params"][0], reply.get("result", [])):
                reply.pop("result")
                reply["error"] = {"code": -32005, "message": "query returned more than 10000 results"}
        ordered = [replies[item["id"]] for item in items]
        return web.json_response(ordered if isinstance(body, list) else ordered[0])

    def _is_too_long(self, query: dict[str, str], logs: list[Any]) -> bool:
        length = int(query["toBlock"], 16) - int(query["fromBlock"], 16) + 1
        if self.max_logs is not None and len(logs) > self.max_logs:
            return True
        return self.max_range is not None and length > self.max_range


@asynccontextmanager
async def gateway_to(url: str) -> AsyncIterator[Gateway]:
    """A running Gateway."""
    gateway = Gateway(url)
    application = web.Application()
    application.router.add_post("/", gateway.answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    gateway.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield gateway
    finally:
        await runner.cleanup()


def network_on(chain: DemoChain, *, url: str | None = None, finality_blocks: int = 8) -> Network:
    """The demo chain as our code sees it."""
    return Network(
        chain_id=chain.contracts.chain_id,
        name="development",
        rpc=Rpc([url or chain.url], RpcConfig(timeout_seconds=60), chain_id=chain.contracts.chain_id),
        factory=chain.contracts.factory,
        fee_token=chain.contracts.ocean,
        account=Account.from_hex(chain.provider_key),
        start_block=chain.contracts.start_block,
        finality_blocks=finality_blocks,
    )


async def _opened(account: Account, document: SealedDocument, _: str) -> bytes:
    """Documents on chain, none that are stored elsewhere."""
    data, flags, its_hash = document.data or b"", document.flags, document.document_hash
    return await asyncio.to_thread(open_document, account, data, flags, its_hash, max_bytes=MAX_DOCUMENT_BYTES)


@asynccontextmanager
async def index_on(
    network: Network, path: Path, *, poll: bool | None = None, **options: Any
) -> AsyncIterator[ChainIndex]:
    """An index; `poll` None leaves it without background work."""
    configured = {name: options.pop(name) for name in _CONFIGURED & options.keys()}
    index = ChainIndex(
        Networks({network.chain_id: network}),
        MetadataConfig(**({"index_poll_seconds": 0.05, "max_document_bytes": MAX_DOCUMENT_BYTES} | configured)),
        path=path,
        open_document=_opened,
        cache=FactCache(name="ddo", max_entries=100, ttl_seconds=3600.0),
        **options,
    )
    try:
        if poll is not None:
            await index.start(poll=poll)
        yield index
    finally:
        await index.close()
        await network.rpc.close()


async def eventually(holds: Callable[[], Awaitable[bool]], *, within_seconds: float = 60.0) -> None:
    """Wait until `holds` is true; fail after the time limit."""
    deadline = time.monotonic() + within_seconds
    while not await holds():
        assert time.monotonic() < deadline, "did not come true in time"
        await asyncio.sleep(0.02)
