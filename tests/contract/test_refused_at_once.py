"""A client that does not wait as it was told: what is refused before its head is parsed, and what is not."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tornado.netutil import bind_sockets
from tornado.web import Application

from provider.admission.buckets import Buckets
from provider.admission.config import AdmissionConfig
from provider.admission.entry import Admission, Rule
from provider.handlers.base import Endpoint, Frame
from provider.handlers.routes import Route, RouteTable
from provider.http1.listener import PublicServer
from provider.observability.logs import AccessLog
from provider.observability.metrics import Metrics

DOWNLOAD, NONCE = "/api/services/download?a=1", "/api/services/nonce?a=1"


class Download(Endpoint[None]):
    endpoint = "download"

    async def handle(self) -> None:
        self.reply_json({})


class Nonce(Download):
    endpoint = "nonce"


def rule(burst: int) -> Rule:
    return Rule(Buckets(rate=0.01, burst=burst, max_clients=10))


@contextmanager
def running(*, downloads: int, others: int) -> Iterator[tuple[int, list[str]]]:
    """The port of a server that admits this many clients, and the refusals before parsing."""
    config = AdmissionConfig(limit_private_clients=True, overload_lag_seconds=0, max_inspections=0)
    admission = Admission(config, {"download": rule(downloads)}, others=rule(others))
    frame = Frame(metrics=Metrics(), max_body_bytes=1000, access_log=AccessLog("ERROR", "json"))
    routes = [
        Route("GET", "/api/services/download", Download, None),
        Route("GET", "/api/services/nonce", Nonce, None),
    ]
    refused: list[str] = []
    server = PublicServer(
        RouteTable(Application(), frame, routes, admission),
        clients=admission.clients,
        turns_away=admission.turns_away,
        observe_refusal=lambda error: refused.append(error.code),
    )
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    try:
        yield sockets[0].getsockname()[1], refused
    finally:
        server.stop()


async def statuses(port: int, *targets: str) -> list[int]:
    """Of requests for these, one after the other on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = []
    for target in targets:
        writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r\n")[0]))
        found.append(int(head[9:12]))
    writer.close()
    return found


@pytest.mark.gen_test(timeout=20)
async def test_downloads_that_do_not_wait_are_refused_before_they_are_parsed() -> None:
    with running(downloads=1, others=9) as (port, refused):
        assert await statuses(port, DOWNLOAD, DOWNLOAD, DOWNLOAD, NONCE) == [200, 429, 429, 200]
        assert refused == ["too_many_requests"]


@pytest.mark.gen_test(timeout=20)
async def test_who_has_to_wait_with_something_else_may_still_download() -> None:
    with running(downloads=9, others=1) as (port, refused):
        assert await statuses(port, NONCE, NONCE, DOWNLOAD, DOWNLOAD) == [200, 429, 200, 200]
        assert refused == []
