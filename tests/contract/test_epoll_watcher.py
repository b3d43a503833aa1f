"""Watching many descriptors from one loop: every event arrives, and the loop itself is left alone."""

import asyncio
import select
import socket

from provider.override import override
from provider.streaming.epoll_watcher import EpollWatcher

PAIRS, EVENTS = 20, 30


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts how often a descriptor is added to the loop."""

    added = 0

    @override
    def add_reader(self, *args: object) -> None:
        self.added += 1
        super().add_reader(*args)  # type: ignore[arg-type]


def test_the_loop_is_told_of_a_watcher_once() -> None:
    """When a loop adds an epoll, the kernel looks at every descriptor in it."""
    loop = CountingLoop()
    try:
        loop.run_until_complete(_events(loop))
    finally:
        loop.close()


async def _events(loop: CountingLoop) -> None:
    pairs = [socket.socketpair() for _ in range(PAIRS)]
    watcher, before = EpollWatcher(loop), loop.added
    arrived: asyncio.Queue[int] = asyncio.Queue()
    try:
        for number, (ours, _) in enumerate(pairs):
            ours.setblocking(False)

            def receive(_: int, ours: socket.socket = ours, number: int = number) -> None:
                ours.recv(1)
                arrived.put_nowait(number)

            watcher.watch(ours.fileno(), select.EPOLLIN, receive)
        for event in range(EVENTS):
            # One at a time: before each of them, the watcher has nothing to do.
            number = event % PAIRS
            pairs[number][1].send(b"x")
            assert await asyncio.wait_for(arrived.get(), 60) == number
            await asyncio.sleep(0.003)
        for _, theirs in pairs:
            theirs.send(b"x")
        together = {await asyncio.wait_for(arrived.get(), 60) for _ in range(PAIRS)}
    finally:
        for ours, theirs in pairs:
            ours.close()
            theirs.close()
    assert together == set(range(PAIRS))
    assert loop.added - before == 0
