"""Thousands of mixed transfers of local files, with ends of every kind: every byte right, nothing left behind.

`--soak` runs 10 000 of them instead of the few hundred of an ordinary run.
"""

import asyncio
import gc
import hashlib
import os
import random
import ssl
import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from socket import SO_LINGER, SO_RCVBUF, SOL_SOCKET

import psutil
import pytest

from provider.streaming.epoll_watcher import loop_watcher
from provider.upstream.disk import Disk
from tests.support.file_server import serving
from tests.support.raw_origin import tls_contexts
from tests.support.relay_server import Proxy

ORDINARY, FULL = 600, 10_000
AT_ONCE = 12
SIZE = 3_000_017
DATA = hashlib.shake_256(b"sendfile soak").digest(SIZE)
MAX_GROWTH_BYTES = 24 << 20


@dataclass(frozen=True)
class Transfer:
    """What one consumer asks for and does. `evicts`: the file leaves memory before."""

    first: int
    count: int
    end: str
    version: str
    evicts: bool


def transfers(count: int) -> list[Transfer]:
    """The same ones at every run."""
    dice = random.Random(20261130)
    found = []
    for _ in range(count):
        size = dice.choice((1, dice.randrange(1, 1 << 16), dice.randrange(1, 1 << 20), dice.randrange(1, SIZE), SIZE))
        found.append(
            Transfer(
                first=dice.randrange(SIZE - size + 1),
                count=size,
                end=dice.choices(("reads", "pauses", "closes", "resets"), (6, 2, 1, 1))[0],
                version=dice.choice(("1.1", "1.1", "1.0")),
                evicts=dice.random() < 0.05,
            )
        )
    return found


def evict(path: Path) -> None:
    with path.open("rb") as opened:
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


async def transfer(port: int, wanted: Transfer, trusting: ssl.SSLContext | None) -> str:
    """One request on a connection of its own; returns how it ended."""
    host = None if trusting is None else "localhost"
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 18, ssl=trusting, server_hostname=host)
    sock = writer.get_extra_info("socket")
    try:
        if wanted.end != "reads":
            sock.setsockopt(SOL_SOCKET, SO_RCVBUF, 65536)
        if wanted.end == "resets":
            sock.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        last = wanted.first + wanted.count - 1
        # uvloop's TLS client drops what it holds when the connection closes while it does not read.
        version = wanted.version if trusting is None else "1.1"
        asked = f"GET /x HTTP/{version}\r\nHost: x\r\nRange: bytes={wanted.first}-{last}\r\n\r\n"
        writer.write(asked.encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 206"), head
        if wanted.end == "pauses":
            writer.transport.pause_reading()
            await asyncio.sleep(0.02)
            writer.transport.resume_reading()
        elif wanted.end != "reads":
            await reader.readexactly(wanted.count // 2)
            return "left"
        body = await reader.readexactly(wanted.count)
    finally:
        writer.transport.abort()
    assert body == DATA[wanted.first : last + 1], f"not the bytes of {wanted}"
    return "whole"


async def run(proxy: Proxy, path: Path, todo: list[Transfer], trusting: ssl.SSLContext | None) -> Counter[str]:
    seen: Counter[str] = Counter()
    waiting = iter(todo)

    async def worker() -> None:
        for wanted in waiting:
            if wanted.evicts:
                evict(path)
            async with asyncio.timeout(60):
                seen[await transfer(proxy.port, wanted, trusting)] += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(worker())
    async with asyncio.timeout(30):
        while len(proxy.relayed) < len(proxy.progress):  # noqa: ASYNC110  relays end by themselves
            await asyncio.sleep(0.01)
    return seen


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.gen_test(timeout=900)
@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "TLS"])
async def test_mixed_transfers_leave_nothing_behind(
    request: pytest.FixtureRequest, tmp_path: Path, is_tls: bool
) -> None:
    count = (FULL if request.config.getoption("--soak") else ORDINARY) // 2
    todo, warm_up = transfers(count), count // 4
    process, path = psutil.Process(), tmp_path / "data.bin"
    path.write_bytes(DATA)
    context, trusting = tls_contexts(tmp_path, "localhost") if is_tls else (None, None)
    with path.open("rb") as opened:
        os.fsync(opened.fileno())
        tells = Disk().tells(opened.fileno())
    async with serving(path, context=context) as proxy:
        await run(proxy, path, todo[:warm_up], trusting)
        gc.collect()
        # It opens a descriptor when it is first asked for.
        assert len(loop_watcher()) == 0
        before, descriptors_before = process.memory_info().rss, descriptors()
        seen = await run(proxy, path, todo[warm_up:], trusting)
        gc.collect()
        assert len(loop_watcher()) == 0
        async with asyncio.timeout(30):
            # The loop closes sockets some turns after they were told to.
            while descriptors() > descriptors_before:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert process.memory_info().rss - before < MAX_GROWTH_BYTES
        assert min(seen[how] for how in ("whole", "left")) > 0
        assert {relayed.outcome for relayed in proxy.relayed} <= {"complete", "consumer_gone"}
        assert ("sendfile" in {relayed.path for relayed in proxy.relayed}) == (tells and not is_tls)
