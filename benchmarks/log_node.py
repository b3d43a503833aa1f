"""A JSON-RPC node of an invented chain, with any number of blocks and with logs in chosen ones.

It answers the calls of the metadata index, after a delay.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import web

from provider.chain.events import METADATA_CREATED, NFT_CREATED

CHAIN_ID = 8996
FACTORY = "0x" + "fa" * 20
RANGE_FAULT = {"code": -32005, "message": "query returned more than 10000 results"}


class LogNode:
    """`head`: number of its newest block.

    `delay_seconds`: before each answer. `most_blocks`: longer ranges are refused, None: none are. `is_down`: it answers
    503. `requests`: how many it got. `asked`: range of each query for metadata events. `most_in_flight`: requests that
    were under way together.
    """

    def __init__(self, *, head: int, delay_seconds: float = 0.0) -> None:
        self.head = head
        self.delay_seconds = delay_seconds
        self.most_blocks: int | None = None
        self.is_down = False
        self.requests = 0
        self.asked: list[tuple[int, int]] = []
        self.in_flight = self.most_in_flight = 0
        self.url = ""
        self._logs: dict[int, list[dict[str, Any]]] = {}
        self._branches: list[tuple[int, int]] = []

    def publish(self, block: int, number: int, *, document: bytes = b"{}") -> str:
        """Create a data NFT and publish its document in a block. Returns its address."""
        data_nft = f"0x{number + 1:040x}"
        self._add(block, FACTORY, [NFT_CREATED, *["0x" + "0" * 64] * 3], bytes.fromhex(data_nft[2:].rjust(64, "0")))
        self._add(block, data_nft, [METADATA_CREATED, "0x" + "0" * 64], _metadata(document))
        return data_nft

    def reorganise(self, from_block: int) -> None:
        """Replace this block and all later ones by empty blocks."""
        self._branches.append((from_block, len(self._branches) + 1))
        for block in [block for block in self._logs if block >= from_block]:
            del self._logs[block]

    def hash_of(self, block: int) -> str:
        """Return the hash of a block on the newest branch."""
        branch = max((salt for start, salt in self._branches if start <= block), default=0)
        return "0x" + hashlib.sha256(f"{block} {branch}".encode()).hexdigest()

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one request."""
        self.in_flight += 1
        self.requests += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            calls = orjson.loads(await request.read())
            await asyncio.sleep(self.delay_seconds)
            if self.is_down:
                return web.Response(status=503)
            items = calls if isinstance(calls, list) else [calls]
            replies = [{"jsonrpc": "2.0", "id": item["id"], **self._reply(item)} for item in items]
            return web.Response(
                body=orjson.dumps(replies if isinstance(calls, list) else replies[0]), content_type="application/json"
            )
        finally:
            self.in_flight -= 1

    def _reply(self, call: Mapping[str, Any]) -> dict[str, Any]:
        method, params = call["method"], call["params"]
        if method == "eth_chainId":
            return {"result": hex(CHAIN_ID)}
        if method == "eth_blockNumber":
            return {"result": hex(self.head)}
        if method == "eth_getBlockByNumber":
            number = int(params[0], 16)
            return {"result": {"number": params[0], "hash": self.hash_of(number)} if number <= self.head else None}
        if method == "eth_getLogs":
            return self._logs_of(params[0])
        return {"error": {"code": -32601, "message": "no such method"}}

    def _logs_of(self, query: Mapping[str, Any]) -> dict[str, Any]:
        first, last = int(query["fromBlock"], 16), int(query["toBlock"], 16)
        topics, address = query["topics"][0], query.get("address")
        wanted = {topics} if isinstance(topics, str) else set(topics)
        emitters = (
            None if address is None else {address.lower()} if isinstance(address, str) else {*map(str.lower, address)}
        )
        if METADATA_CREATED in wanted:
            self.asked.append((first, last))
        if self.most_blocks is not None and last - first + 1 > self.most_blocks:
            return {"error": RANGE_FAULT}
        blocks = range(first, last + 1) if last - first < len(self._logs) else sorted(self._logs)
        return {
            "result": [
                log
                for block in blocks
                if first <= block <= last
                for log in self._logs.get(block, ())
                if log["topics"][0] in wanted and (emitters is None or log["address"] in emitters)
            ]
        }

    def _add(self, block: int, address: str, topics: Sequence[str], data: bytes) -> None:
        logs = self._logs.setdefault(block, [])
        transaction = hashlib.sha256(f"{block} {len(logs)}".encode()).hexdigest()
        logs.append(
            {
                "address": address.lower(),
                "topics": list(topics),
                "data": "0x" + data.hex(),
                "blockNumber": hex(block),
                "transactionHash": "0x" + transaction,
                "transactionIndex": "0x0",
                "blockHash": "0x" + "00" * 32,
                "logIndex": hex(len(logs)),
                "removed": False,
            }
        )


@asynccontextmanager
async def listening(node: LogNode) -> AsyncIterator[LogNode]:
    """Run the node on a free port of 127.0.0.1."""
    application = web.Application()
    application.router.add_post("/", node.answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    node.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield node
    finally:
        await runner.cleanup()


def _metadata(document: bytes) -> bytes:
    """Arguments of MetadataCreated: state, decryptorUrl, flags, data, hash, timestamp, block."""
    padded = document + bytes(-len(document) % 32)
    head = [0, 7 * 32, 8 * 32, 9 * 32]
    words = [value.to_bytes(32, "big") for value in head]
    words += [hashlib.sha256(document).digest(), bytes(32), bytes(32)]
    return b"".join([*words, bytes(32), bytes(32), len(document).to_bytes(32, "big"), padded])
