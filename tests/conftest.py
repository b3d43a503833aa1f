"""Fixtures of all tests: pytest-tornado on a uvloop loop, and no sockets in unit tests."""

import asyncio
import faulthandler
import gc
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
import uvloop
from hypothesis import HealthCheck, settings
from tornado.ioloop import IOLoop

from tests.support.measured import IN_PROCESS, measured_as

pytest_plugins = ["tests.support.chain", "tests.support.redis_clients", "tests.support.witness"]
TESTS = Path(__file__).parent
# How fast a machine makes examples is no property of what is tested.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
# Longer than the helpers that wait for a state do, so that they say what did not come.
ASYNC_SECONDS = 90
# One part of a test: its fixtures, itself, the ends of its fixtures.
HANGS_SECONDS, SOAK_SECONDS = 240, 900
# More than there are workers, so that one of them installs while the others work.
WOVEN_EVERY = 6
# New objects until the next collection. Python's 700 are few for tests that make thousands of examples.
COLLECTED_AFTER = 10_000
# From the last test to the end of the process.
END_SECONDS = 120


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--soak`: the long form of the soak tests."""
    parser.addoption("--soak", action="store_true", help="run soak tests in full (minutes)")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files, mark each test with the name of its folder, and lengthen short limits of async tests.

    Machines are busy at times. Runs before pytest looks at `-m`.
    """
    _weave(items)
    for item in items:
        item.add_marker(item.path.relative_to(TESTS).parts[0])
        marker = item.get_closest_marker("gen_test")
        if marker is not None and marker.kwargs.get("timeout", 0) < ASYNC_SECONDS:
            item.add_marker(pytest.mark.gen_test(**{**marker.kwargs, "timeout": ASYNC_SECONDS}), append=False)


def pytest_collection_finish() -> None:
    """Let no collection of garbage walk the ten thousand tests, which live until the end."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECTED_AFTER)


def _weave(items: list[pytest.Item]) -> None:
    """Put the files of `clients` one by one among the first others: all of them wait for the same installations."""
    by_file: dict[Path, list[pytest.Item]] = {}
    for item in items:
        by_file.setdefault(item.path, []).append(item)
    clients = [path for path in by_file if path.parent.name == "clients"]
    others = [path for path in by_file if path.parent.name != "clients"]
    for number, path in enumerate(clients):
        others.insert(WOVEN_EVERY * number, path)
    items[:] = [item for path in others for item in by_file[path]]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Let coverage measure what the folder of a test calls for; those that call the product read no authorities."""
    folder = item.path.relative_to(TESTS).parts[0]
    unsigned = _without_authorities() if folder in IN_PROCESS else nullcontext()
    with measured_as(folder, getattr(item, "obj", None)), unsigned:
        return (yield)


@contextmanager
def _without_authorities() -> Iterator[None]:
    """To read all public authorities takes a twentieth of a second for each of hundreds of TLS contexts. No
    certificate of these tests is signed by one.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", os.devnull)
        yield


@contextmanager
def _limited(item: pytest.Item) -> Iterator[None]:
    """A test that hangs fails where it stands, after a dump of all threads, and the others go on."""

    def give_up(*_: object) -> None:
        faulthandler.dump_traceback(file=sys.__stderr__)
        pytest.fail("the test hangs")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, SOAK_SECONDS if item.config.getoption("--soak") else HANGS_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Limit the fixtures of a test."""
    with _limited(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Limit a test."""
    with _limited(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Limit the ends of fixtures."""
    with _limited(item):
        return (yield)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """A process that does not come to its end (a thread that nobody stopped) tells where it stands, and ends."""
    faulthandler.dump_traceback_later(END_SECONDS, exit=True, file=sys.__stderr__)


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
        _, resisting = loop.run_until_complete(asyncio.wait(pending, timeout=ASYNC_SECONDS))
        assert not resisting
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
