"""HTTP servers that play good, failing, lying, slow and peculiar JSON-RPC nodes, and a client that knows them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import fields

import orjson
from aiohttp import web
from aiohttp.test_utils import TestServer

from provider.chain.config import RpcConfig
from provider.chain.rpc import Rpc
from provider.observability.metrics.backends import Chains

CHAIN_ID = 8996
_CONFIGURED = {field.name for field in fields(RpcConfig)}


class Node:
    """A JSON-RPC server whose behaviour `mode` selects."""

    def __init__(self, mode: str = "good", chain_id: int = CHAIN_ID) -> None:
        self.mode = mode
        self.chain_id = chain_id
        self.height = 100
        self.requests: list[object] = []
        self.headers: list[dict[str, str]] = []
        self.released = asyncio.Event()
        self.server = TestServer(self._application())

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=2**26)
        application.router.add_post("/{path:.*}", self._answer)
        return application

    @property
    def url(self) -> str:
        return str(self.server.make_url("/v1/secret-key"))

    @property
    def methods(self) -> list[list[str]]:
        """Methods of each HTTP request."""
        return [
            [call["method"] for call in (request if isinstance(request, list) else [request])]
            for request in self.requests
        ]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        sent = orjson.loads(await request.read())
        self.requests.append(sent)
        self.headers.append(dict(request.headers))
        handler: Callable[..., object] = getattr(self, f"_{self.mode}")
        answer = handler(request, sent)
        if asyncio.iscoroutine(answer):
            answer = await answer
        return answer if isinstance(answer, web.StreamResponse) else self._json(answer)

    def _json(self, value: object, status: int = 200) -> web.Response:
        return web.Response(body=orjson.dumps(value), content_type="application/json", status=status)

    def _result(self, call: dict) -> dict:
        reply = {"jsonrpc": "2.0", "id": call["id"]}
        if call["method"] == "eth_chainId":
            return {**reply, "result": hex(self.chain_id)}
        if call["method"] == "eth_blockNumber":
            return {**reply, "result": hex(self.height)}
        if call["method"] == "eth_getBalance":
            return {**reply, "result": "0x5"}
        return {**reply, "error": {"code": -32601, "message": "method not found"}}

    def _good(self, request: web.Request, sent: object) -> object:
        return [self._result(call) for call in reversed(sent)] if isinstance(sent, list) else self._result(sent)

    def _failing(self, request: web.Request, sent: object) -> object:
        return web.Response(status=503, text="upstream at http://10.0.0.1/ is down")

    def _throttled(self, request: web.Request, sent: object) -> object:
        return web.Response(status=429)

    def _patient(self, request: web.Request, sent: object) -> object:
        return web.Response(status=429, headers={"Retry-After": "120"})

    def _limited(self, request: web.Request, sent: object) -> object:
        return {"jsonrpc": "2.0", "id": None, "error": {"code": 429, "message": "compute units exhausted"}}

    def _partly_limited(self, request: web.Request, sent: object) -> object:
        replies = self._good(request, sent)
        last = replies[0] if isinstance(replies, list) else replies
        last.pop("result", None)
        last["error"] = {"code": -32000, "message": "request rate limit reached"}
        return replies

    async def _slow(self, request: web.Request, sent: object) -> object:
        await self.released.wait()
        return self._good(request, sent)

    def _no_batches(self, request: web.Request, sent: object) -> object:
        if isinstance(sent, list):
            return {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "batch is not supported"}}
        return self._result(sent)

    def _for_another(self, request: web.Request, sent: object) -> object:
        calls = sent if isinstance(sent, list) else [sent]
        replies = [{**self._result(call), "id": 99} for call in calls]
        return replies if isinstance(sent, list) else replies[0]

    def _garbage(self, request: web.Request, sent: object) -> object:
        return web.Response(text="<html>welcome</html>")

    def _huge(self, request: web.Request, sent: object) -> object:
        return web.Response(body=b" " * 70_000 + orjson.dumps(self._good(request, sent)))

    def _redirecting(self, request: web.Request, sent: object) -> object:
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    def _error_with_status(self, request: web.Request, sent: object) -> object:
        return self._json({"jsonrpc": "2.0", "id": 1, "error": {"code": 3, "message": "execution reverted"}}, 400)

    def _not_found(self, request: web.Request, sent: object) -> object:
        return web.Response(status=404, text="no such page")

    def _forbidding(self, request: web.Request, sent: object) -> object:
        return self._json({"jsonrpc": "2.0", "id": 1, "error": {"code": -32600, "message": "key"}}, 403)

    def _hanging_up(self, request: web.Request, sent: object) -> object:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    def _hanging_up_once(self, request: web.Request, sent: object) -> object:
        self.mode = "good"
        return self._hanging_up(request, sent)


@asynccontextmanager
async def playing(*nodes: Node, **options: object) -> AsyncIterator[Rpc]:
    """Run the nodes as servers, with a client that knows them in this order."""
    for node in nodes:
        await node.server.start_server()
    rpc = Rpc(
        [node.url for node in nodes],
        RpcConfig(**({"timeout_seconds": 5.0} | {name: options.pop(name) for name in _CONFIGURED & options.keys()})),
        **({"chain_id": CHAIN_ID} | options),
    )
    try:
        yield rpc
    finally:
        await rpc.close()
        for node in nodes:
            node.released.set()
            await node.server.close()


def exchanges(metrics: Chains) -> dict[tuple[object, object], float]:
    """How many exchanges were counted, by method and outcome."""
    cells = metrics.exchange_seconds.values.items()
    return {(method, outcome): sum(cell[1:]) for (_, method, outcome), cell in cells}


def is_available(rpc: Rpc) -> bool:
    """False while every endpoint is ejected."""
    return any(health.standing != "ejected" for health in rpc.endpoints.healths())


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "condition not met in time"
        await asyncio.sleep(0.01)
