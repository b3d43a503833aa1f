"""Fixtures of all tests: pytest-tornado on a uvloop loop, and no sockets in unit tests."""

import asyncio
import socket
from collections.abc import Iterator

import pytest
import uvloop
from tornado.ioloop import IOLoop

pytest_plugins = ["tests.support.chain", "tests.support.witness"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--soak`: the long form of the soak tests."""
    parser.addoption("--soak", action="store_true", help="run soak tests in full (minutes)")


@pytest.fixture
def io_loop() -> Iterator[IOLoop]:
    """Replaces pytest-tornado's loop: the server runs on uvloop, so the tests do."""
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    io_loop = IOLoop(asyncio_loop=loop, make_current=False)
    yield io_loop
    pending = [task for task in asyncio.all_tasks(loop) if not task.done()]
    for task in pending:
        task.cancel()
    if pending:
        loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_default_executor())
    io_loop.close(all_fds=True)
    asyncio.set_event_loop(None)


@pytest.fixture(autouse=True)
def _no_network_in_unit_tests(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit test that opens a connection has found the wrong place; socket tests live in tests/contract."""
    if "/unit/" not in request.node.path.as_posix():
        return

    def refuse(*_: object) -> None:
        raise AssertionError("unit tests open no connections")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "bind", refuse)
