"""Thousands of mixed transfers, concurrent, with ends of every kind: nothing is lost, mixed up or left behind.

`--soak` runs 10 000 of them instead of the few hundred of an ordinary run.
"""

import asyncio
import gc
import hashlib
import os
import random
import struct
from collections import Counter
from dataclasses import dataclass, replace
from socket import SO_LINGER, SO_RCVBUF, SOL_SOCKET

import psutil
import pytest

from provider.streaming.epoll_watcher import loop_watcher
from provider.streaming.pipes import MAX_PIPES
from tests.support.raw_origin import Exchange
from tests.support.relay_server import CHUNKED, TO_THE_END, WITH_LENGTH, Proxy, chunks, proxied

pytestmark = pytest.mark.skipif(not hasattr(os, "splice"), reason="the system does not splice")

ORDINARY, FULL = 600, 10_000
AT_ONCE = 24
MAX_SIZE = 4 << 20
DATA = hashlib.shake_256(b"soak").digest(MAX_SIZE + 1)
MAX_GROWTH_BYTES = 24 << 20
END = b"0\r\n\r\n"


@dataclass(frozen=True)
class Transfer:
    """What one request does: how the origin answers and how the consumer behaves."""

    framing: str
    size: int
    chunk: int
    origin_end: str
    consumer_end: str
    version: str

    @property
    def target(self) -> str:
        return f"/{self.framing}/{self.size}/{self.chunk}/{self.origin_end}"

    @property
    def is_whole(self) -> bool:
        """A body up to the close has no end that could be missed."""
        return self.origin_end == "whole" or (self.framing, self.origin_end) == ("close", "cut")


def transfers(count: int) -> list[Transfer]:
    """The same ones at every run."""
    dice = random.Random(20261122)
    drawn = [
        Transfer(
            framing=dice.choice(("length", "length", "chunked", "close")),
            size=dice.choice((0, 1, dice.randrange(1 << 17), dice.randrange(1 << 20), dice.randrange(MAX_SIZE))),
            chunk=dice.choice((1000, 60_000, 100_000, 1 << 20)),
            origin_end=dice.choices(("whole", "cut", "reset"), (8, 1, 1))[0],
            consumer_end=dice.choices(("reads", "pauses", "closes", "resets"), (6, 2, 1, 1))[0],
            version=dice.choice(("1.1", "1.1", "1.0")),
        )
        for _ in range(count)
    ]
    return [replace(one, origin_end="whole") if one.framing == "length" and not one.size else one for one in drawn]


async def answer(exchange: Exchange) -> bool:
    """The origin's side of a transfer, told by the path."""
    framing, size, chunk, end = exchange.path.strip("/").split("/")
    body = DATA[: int(size)]
    if framing == "length":
        out = WITH_LENGTH % len(body) + body
    elif framing == "chunked":
        out = CHUNKED + chunks(body, int(chunk)) + END
    else:
        out = TO_THE_END + body
    if end == "whole" or (framing, end) == ("close", "cut"):
        await exchange.send(out)
        return framing != "close"
    # Never the whole of it, and never the head alone, which would be a reply of its own.
    await exchange.send(out[: max(out.index(b"\r\n\r\n") + 4, len(out) - 1 - len(out) // 3)])
    if end == "reset":
        exchange.reset()
    return False


async def read_body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    """The body as its framing tells. Raises when it is short."""
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
    if b"content-length" in fields:
        return await reader.readexactly(int(fields[b"content-length"]))
    if b"transfer-encoding" not in fields:
        return await reader.read(-1)
    body = bytearray()
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return bytes(body)


async def transfer(proxy: Proxy, wanted: Transfer) -> str:
    """One request on a connection of its own; returns what the consumer saw."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port, limit=1 << 18)
    sock = writer.get_extra_info("socket")
    try:
        if wanted.consumer_end != "reads":
            sock.setsockopt(SOL_SOCKET, SO_RCVBUF, 65536)
        if wanted.consumer_end == "resets":
            sock.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        writer.write(f"GET {wanted.target} HTTP/{wanted.version}\r\nHost: x\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            # The origin's reset overtook its head.
            return "short"
        if wanted.consumer_end == "pauses":
            writer.transport.pause_reading()
            await asyncio.sleep(0.05)
            writer.transport.resume_reading()
        elif wanted.consumer_end != "reads":
            await reader.readexactly(wanted.size // 2)
            return "left"
        body = await read_body(reader, head)
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return "short"
    finally:
        writer.transport.abort()
    assert body == DATA[: wanted.size], f"not the bytes of {wanted}"
    return "whole"


async def run(proxy: Proxy, todo: list[Transfer]) -> Counter[str]:
    """All of them, some at once; each must end as its kind must."""
    seen: Counter[str] = Counter()
    waiting = iter(todo)

    async def worker() -> None:
        for wanted in waiting:
            async with asyncio.timeout(60):
                how = await transfer(proxy, wanted)
            seen[how] += 1
            if wanted.consumer_end in ("reads", "pauses"):
                assert how == ("whole" if wanted.is_whole else "short"), f"{how}: {wanted}"

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(worker())
    assert proxy.opener is not None
    async with asyncio.timeout(30):
        while len(proxy.relayed) < len(proxy.progress) or proxy.origin.open > proxy.opener.idle_connections:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return seen


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.gen_test(timeout=900)
async def test_mixed_transfers_leave_nothing_behind(request: pytest.FixtureRequest) -> None:
    count = FULL if request.config.getoption("--soak") else ORDINARY
    todo = transfers(count)
    warm_up = count // 4
    process = psutil.Process()
    async with proxied(answer) as proxy:
        await run(proxy, todo[:warm_up])
        assert proxy.opener is not None
        proxy.opener.close()
        gc.collect()
        before, descriptors_before = process.memory_info().rss, descriptors() - 2 * proxy.pipes.opened
        seen = await run(proxy, todo[warm_up:])
        proxy.opener.close()
        gc.collect()
        assert proxy.pipes.taken == 0
        assert proxy.pipes.opened <= MAX_PIPES
        assert len(loop_watcher()) == 0
        async with asyncio.timeout(30):
            # The loop closes sockets some turns after they were told to.
            while descriptors() - 2 * proxy.pipes.opened > descriptors_before:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert process.memory_info().rss - before < MAX_GROWTH_BYTES
        assert min(seen[how] for how in ("whole", "short", "left")) > 0
        assert {relayed.path for relayed in proxy.relayed} == {"splice", "copy"}
