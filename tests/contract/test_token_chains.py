"""Tokens of accounts that are contracts: who owns an address on one chain gets none that works on all."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tornado.netutil import bind_sockets
from tornado.web import Application

from provider.auth.identify import Identifier
from provider.auth.sqlite_store import SqliteNonceStore
from provider.auth.tokens import Tokens
from provider.handlers.base import Frame
from provider.handlers.identity.tokens import CreateAuthTokenEndpoint, GenerateAuthTokenEndpoint, TokenDeps
from provider.handlers.routes import Route, RouteTable
from provider.http1.listener import PublicServer
from provider.observability.logs import AccessLog
from provider.observability.metrics import Metrics

ADDRESS = "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"
HOME, STRANGERS = 1, 137


class OwnedByTwo:
    """The address holds code on both chains, and the stranger's takes any signature."""

    def __init__(self, agreeing: frozenset[int]) -> None:
        self._agreeing = agreeing

    def count_question(self, address: str, client: bytes | None) -> None:
        pass

    async def chains_of(self, address: str, chain_id: int | None, client: bytes | None) -> Sequence[int]:
        return (HOME, STRANGERS) if chain_id is None else (chain_id,)

    async def accept(self, chain_ids: Sequence[int], *_: object) -> bool:
        return self._agreeing.issuperset(chain_ids)


@asynccontextmanager
async def serving(path: Path, *agreeing: int) -> AsyncIterator[int]:
    nonces = SqliteNonceStore(path / "nonces")
    tokens = Tokens(bytes(32), nonces, max_lifetime_seconds=600)
    identifier = Identifier(nonces, tokens, contracts=OwnedByTwo(frozenset(agreeing)))
    deps = TokenDeps(identifier, tokens, node="node")
    routes = [
        Route("GET", "/create", CreateAuthTokenEndpoint, deps),
        Route("GET", "/node", GenerateAuthTokenEndpoint, deps),
    ]
    frame = Frame(metrics=Metrics(), max_body_bytes=1000, access_log=AccessLog("ERROR", "json"))
    server = PublicServer(RouteTable(Application(), frame, routes))
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    try:
        yield sockets[0].getsockname()[1]
    finally:
        server.stop()
        await nonces.close()


async def status(port: int, target: str) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    reply = await reader.read()
    writer.close()
    return int(reply[9:12])


def query(nonce: int, more: str = "") -> str:
    signature = "0x" + "ab" * 65
    return f"address={ADDRESS}&expiration={int(time.time()) + 300}&nonce={nonce}&signature={signature}{more}"


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize("path", ["/create", "/node"])
async def test_a_stranger_gains_nothing_by_naming_the_chain_where_the_address_is_his(path: str, tmp_path: Path) -> None:
    async with serving(tmp_path, STRANGERS) as port:
        for nonce, chain_id in enumerate((STRANGERS, HOME, 0), start=1):
            assert await status(port, f"{path}?{query(nonce, f'&chainId={chain_id}')}") == 400
        assert await status(port, f"{path}?{query(9)}") == 400


@pytest.mark.gen_test(timeout=20)
async def test_a_token_is_had_where_the_contracts_of_all_chains_agree(tmp_path: Path) -> None:
    async with serving(tmp_path, HOME, STRANGERS) as port:
        for nonce, more in enumerate(("", f"&chainId={HOME}", f"&chainId={STRANGERS}"), start=1):
            assert await status(port, f"/create?{query(nonce, more)}") == 200
