"""SIGTERM: whoever was connected and has asked is answered, also one that no worker has looked at yet."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from provider.testing.stage import DemoServer
from tests.e2e.conftest import LaunchServer
from tests.support.logs import tracebacks
from tests.support.origin import wait_until
from tests.support.processes import all_workers
from tests.support.raw_http import connected, read_reply

ASK = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def serving_pids(own: DemoServer, workers: int) -> list[int]:
    """The processes that accept connections."""
    if workers == 1:
        return [own.child.pid]
    wait_until(lambda: own.child.stderr_tail(1 << 20).count('"listening"') == workers)
    return [child.pid for child in all_workers(own.child.pid, workers)]


def is_told_to_end(pid: int) -> bool:
    """Has a process that is stopped a SIGTERM before it?"""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    pending = next(line for line in lines if line.startswith("ShdPnd:"))
    return bool(int(pending.split()[1], 16) & 1 << (signal.SIGTERM - 1))


@contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    """Processes that do nothing meanwhile."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: all(psutil.Process(pid).status() == psutil.STATUS_STOPPED for pid in pids))
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_request_that_waits_to_be_accepted_is_answered(launch: LaunchServer, workers: int) -> None:
    own = launch(PROVIDER_WORKERS=str(workers))
    pids = serving_pids(own, workers)
    with ExitStack() as stack:
        with stopped(pids):
            asking = [stack.enter_context(connected(own.url)) for _ in range(200)]
            for sock in asking:
                sock.sendall(ASK)
            os.kill(own.child.pid, signal.SIGTERM)
            wait_until(lambda: all(is_told_to_end(pid) for pid in pids))
        assert {read_reply(sock).status for sock in asking} == {200}
    assert own.child._process.wait(60) == 0
    assert tracebacks(own.child.stderr_tail(1 << 20)) == []
