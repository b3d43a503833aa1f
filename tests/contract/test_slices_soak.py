"""Mixed transfers from a cache that is too small for them: right bytes, and nothing left behind.

`--soak` runs 10 000 of them instead of the few hundred of an ordinary run.
"""

import asyncio
import random
from pathlib import Path

import pytest

from tests.contract.test_slices_relayed import CONTENT, SIZE, served
from tests.support.relay_server import Proxy, consumer
from tests.support.slice_cache import until
from tests.support.versioned_file import VersionedFile

ORDINARY, FULL = 300, 10_000
AT_ONCE = 16


async def transfer(proxy: Proxy, choose: random.Random) -> None:
    """One range of any size; every third consumer leaves early."""
    first = choose.randrange(SIZE)
    last = min(SIZE - 1, first + choose.choice((1, 1000, 70_000, SIZE)))
    async with consumer(proxy) as (reader, writer):
        writer.write(b"GET /x HTTP/1.1\r\nHost: a\r\nRange: bytes=%d-%d\r\n\r\n" % (first, last))
        await reader.readuntil(b"\r\n\r\n")
        count = last - first + 1
        if choose.random() < 0.33:
            count = choose.randrange(count)
        assert await reader.readexactly(count) == CONTENT[first : first + count]


@pytest.mark.gen_test(timeout=600)
async def test_mixed_transfers_leave_nothing_behind(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    count = FULL if request.config.getoption("--soak") else ORDINARY
    choose, left = random.Random(23), iter(range(count))
    file = VersionedFile(CONTENT)
    async with served(file, tmp_path, max_bytes=1 << 20) as (proxy, cache):

        async def work() -> None:
            for _ in left:
                await transfer(proxy, choose)

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        await until(lambda: not cache.fills())
        await until(lambda: not cache.open_slices())
        assert not cache.unfinished()
        assert sum(path.stat().st_size for path in cache.slices()) <= 1 << 20
        await until(lambda: len(asyncio.all_tasks()) < 10)
