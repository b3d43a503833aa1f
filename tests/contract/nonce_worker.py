"""A process of its own for `test_nonce_store.py`: opens a store and reports on standard output.

nonce_worker.py contend <kind> <place> <last nonce>     all nonces in order, several waiters at once
nonce_worker.py window <kind> <place> <first nonce>    all of 100 nonces in an order of its own
nonce_worker.py write <kind> <place> <run>              for ever, over many addresses
nonce_worker.py full <kind> <place>                     with no room to write, then with room again
nonce_worker.py serve writer <place>                    the nonce writer, until its input ends
"""

import asyncio
import random
import resource
import sys
from pathlib import Path

from provider.auth.nonce_store import NonceStore
from provider.auth.nonce_writer import serve_nonces, writer_socket
from provider.auth.redis_store import RedisNonceStore
from provider.auth.sqlite_store import SqliteNonceStore
from provider.auth.writer_store import WriterNonceStore
from provider.errors import NonceRefused, StoreError
from provider.redis.client import RedisClient
from provider.redis.url import parse_target

ADDRESS = "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"
WAITERS = 32


def open_store(kind: str, place: str) -> NonceStore:
    """The kind of store that the test's fixture made at this place."""
    if kind == "redis":
        return RedisNonceStore(RedisClient(parse_target(place), timeout_seconds=30), prefix="test")
    file = SqliteNonceStore(place, busy_timeout_seconds=30)
    if kind == "writer":
        return WriterNonceStore(file, writer_socket(Path(place).parent, place))
    assert kind == "sqlite"
    return file


async def contend(store: NonceStore, last: int) -> None:
    """Every waiter tries every nonce in order, so each nonce must be accepted exactly once over all processes."""

    async def one() -> None:
        for nonce in range(1, last + 1):
            try:
                await store.use(ADDRESS, str(nonce))
            except NonceRefused:
                continue
            print(nonce, flush=True)

    print("ready", flush=True)
    sys.stdin.readline()
    await asyncio.gather(*(one() for _ in range(4)))
    await store.close()


async def window(store: NonceStore, first: int) -> None:
    """Try every nonce in any order, so each must be accepted exactly once over all processes."""
    nonces = [str(first + number) for number in range(100)]
    random.shuffle(nonces)
    print("ready", flush=True)
    sys.stdin.readline()
    for nonce in nonces:
        try:
            await store.use(ADDRESS, nonce)
        except NonceRefused:
            continue
        print(nonce, flush=True)
    await store.close()


async def write(store: NonceStore, run: int) -> None:
    """Report each nonce once it was accepted, until killed."""

    async def one(waiter: int) -> None:
        nonce = run * 1_000_000
        while True:
            nonce += 1
            await store.use(f"0x{waiter:040x}", str(nonce))
            print(waiter, nonce, flush=True)

    await asyncio.gather(*(one(waiter) for waiter in range(1, WAITERS + 1)))


async def full(store: NonceStore) -> None:
    """Files of this process may not grow for a while."""
    await store.use(ADDRESS, "1")
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    for attempt in (store.use(ADDRESS, "2"), store.check()):
        try:
            await attempt
            print("accepted")
        except StoreError as error:
            print("refused", error.detail)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    print("last", await store.last(ADDRESS))
    await store.use(ADDRESS, "2")
    print("last", await store.last(ADDRESS))
    await store.close()


def main(what: str, kind: str, place: str, number: str = "0") -> None:
    """Run one of the five."""
    if what == "serve":
        serve_nonces(Path(place), Path(place).parent, life_line=0)
        return
    store = open_store(kind, place)
    if what == "contend":
        asyncio.run(contend(store, int(number)))
    elif what == "window":
        asyncio.run(window(store, int(number)))
    elif what == "write":
        asyncio.run(write(store, int(number)))
    else:
        asyncio.run(full(store))


if __name__ == "__main__":
    main(*sys.argv[1:])
