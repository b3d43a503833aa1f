"""The process that writes nonces for all workers: killed, stopped, replaced, lied to."""

import asyncio
import os
import signal
import socket
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest
from tornado.ioloop import IOLoop

from provider.auth.nonce_rule import NonceUse
from provider.auth.nonce_writer import listen, socket_address, writer_socket
from provider.auth.signed_text import OpenText
from provider.auth.sqlite_store import SqliteNonceStore
from provider.auth.writer_messages import (
    MAX_MESSAGE_BYTES,
    MAX_USES,
    decode_answers,
    decode_uses,
    encode_answers,
    encode_uses,
)
from provider.auth.writer_store import WriterNonceStore
from provider.errors import NonceRefused, StoreError
from tests.support.measured import MeasuredChildren
from tests.support.nonce_stores import ADDRESS, OTHER, Place, RunningWriter, outcome


@pytest.fixture
def writer(tmp_path: Path, children: MeasuredChildren) -> Iterator[RunningWriter]:
    running = RunningWriter(tmp_path / "nonces.db", children)
    running.start()
    yield running
    running.end()


@pytest.fixture
def store(writer: RunningWriter, io_loop: IOLoop) -> Iterator[WriterNonceStore]:
    made = open_store(writer)
    yield made
    io_loop.run_sync(made.close)


def open_store(writer: RunningWriter, *, patience_seconds: float = 10.0) -> WriterNonceStore:
    file = SqliteNonceStore(writer.path)
    return WriterNonceStore(file, writer.socket, patience_seconds=patience_seconds)


async def until_reached(store: WriterNonceStore) -> AsyncIterator[int]:
    """Nonces to use until the store has a writer again."""
    nonce = 1_000
    while store._link is None:
        nonce += 1
        yield nonce
        await asyncio.sleep(0.01)


@pytest.mark.gen_test
async def test_the_writer_and_not_the_worker_has_the_lock(writer: RunningWriter, store: WriterNonceStore) -> None:
    assert store.writer_id() is None
    await store.use(ADDRESS, "1")
    assert store.writer_id() == writer.pid
    assert str(writer.path) not in {file.path for file in psutil.Process().open_files()}
    assert str(writer.path) in {file.path for file in psutil.Process(writer.pid).open_files()}
    assert await store.last(ADDRESS) == "1"


@pytest.mark.gen_test
async def test_more_uses_than_one_message_holds_are_all_answered(store: WriterNonceStore) -> None:
    calls = [outcome(store.use(f"0x{number % 900 + 1:040x}", "9" * 99)) for number in range(5 * MAX_USES)]
    answers = Counter(map(str, await asyncio.gather(*calls)))
    assert answers == {"None": 900, str(NonceRefused): 5 * MAX_USES - 900}


@pytest.mark.gen_test(timeout=60)
async def test_nothing_is_lost_or_passes_twice_when_the_writer_is_killed_again_and_again(
    writer: RunningWriter, io_loop: IOLoop
) -> None:
    stores = [open_store(writer) for _ in range(3)]
    accepted: Counter[tuple[str, int]] = Counter()
    unclear = 0
    stop = False

    async def worker(store: WriterNonceStore, address: str) -> None:
        """All three use the same nonces of the same addresses."""
        nonlocal unclear
        nonce = 0
        while not stop:
            nonce += 1
            answer = await outcome(store.use(address, str(nonce)))
            accepted[address, nonce] += answer is None
            unclear += answer is StoreError

    addresses = [f"0x{number + 1:040x}" for number in range(8)]
    tasks = [asyncio.create_task(worker(store, address)) for store in stores for address in addresses]
    for run in range(8):
        goal = accepted.total() + 100
        needed = [] if run % 2 else stores
        while accepted.total() < goal or not all(store._link for store in needed):  # noqa: ASYNC110 - of other tasks
            await asyncio.sleep(0.01)
        # In turn with a writer and without one.
        await asyncio.to_thread(writer.start if run % 2 else writer.kill)
    stop = True
    await asyncio.gather(*tasks)
    assert max(accepted.values()) == 1
    # Each store has at most one message under way at each death.
    assert unclear <= 4 * len(stores) * len(addresses)
    file = SqliteNonceStore(writer.path)
    for (address, nonce), times in accepted.items():
        if times:
            assert await outcome(file.use(address, str(nonce))) is NonceRefused
    await asyncio.gather(file.close(), *(store.close() for store in stores))


@pytest.mark.gen_test
async def test_without_a_writer_the_file_is_used_and_a_new_writer_is_found(
    writer: RunningWriter, store: WriterNonceStore
) -> None:
    await store.use(ADDRESS, "1")
    await asyncio.to_thread(writer.kill)
    assert await outcome(store.use(ADDRESS, "1")) in (NonceRefused, StoreError)
    await store.use(ADDRESS, "2")
    assert await outcome(store.use(ADDRESS, "2")) is NonceRefused
    assert store._link is None
    await asyncio.to_thread(writer.start)
    async for nonce in until_reached(store):
        await store.use(ADDRESS, str(nonce))
    assert await outcome(store.use(ADDRESS, "2")) is NonceRefused
    await store.use(ADDRESS, "1000000")


@pytest.mark.gen_test
async def test_a_writer_that_is_silent_refuses_and_then_the_file_is_used(writer: RunningWriter) -> None:
    store = open_store(writer, patience_seconds=0.2)
    await store.use(ADDRESS, "1")
    os.kill(writer.pid, signal.SIGSTOP)
    try:
        asked, waiting = await asyncio.gather(*(outcome(store.use(ADDRESS, nonce)) for nonce in ("2", "3")))
        # The writer may have used the first one. It does not know of the second, which waited behind it.
        assert asked is StoreError
        assert waiting is None
        await store.use(OTHER, "1")
    finally:
        os.kill(writer.pid, signal.SIGCONT)
    await store.close()


@pytest.mark.gen_test
async def test_a_writer_that_ends_leaves_what_it_was_not_asked_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "nonces.db"
    at = writer_socket(tmp_path, path)
    with listen(at) as listener:
        store = WriterNonceStore(SqliteNonceStore(path), at)
        asked = asyncio.create_task(outcome(store.use(OTHER, "1")))
        waiting = asyncio.create_task(outcome(store.use(ADDRESS, "1")))
        # The store has connected and sent the first one. The second one waits behind it.
        await asyncio.sleep(0)
        worker, _ = listener.accept()
        worker.close()
        assert (await asked, await waiting) == (StoreError, None)
    assert await store.last(ADDRESS) == "1"
    await store.close()


async def asked_and_answered(store: WriterNonceStore, listener: socket.socket) -> socket.socket:
    """Play the writer for one use. Returns its end of the connection."""
    asked = asyncio.create_task(store.use(OTHER, "1"))
    await asyncio.sleep(0)
    worker, _ = listener.accept()
    worker.recv(MAX_MESSAGE_BYTES)
    worker.send(encode_answers([None]))
    await asked
    return worker


@pytest.mark.gen_test
async def test_a_writer_that_ended_a_moment_ago_leaves_a_use_to_the_file(tmp_path: Path) -> None:
    """The event loop has not seen its end yet."""
    path = tmp_path / "nonces.db"
    at = writer_socket(tmp_path, path)
    with listen(at) as listener:
        store = WriterNonceStore(SqliteNonceStore(path), at)
        worker = await asked_and_answered(store, listener)
        worker.close()
        await store.use(ADDRESS, "1")
        assert store.writer_id() is None
    assert await store.last(ADDRESS) == "1"
    await store.close()


@pytest.mark.gen_test
async def test_the_end_of_a_writer_ends_no_call_that_was_given_up(tmp_path: Path) -> None:
    """One was sent to the writer, and one waits behind it."""
    path = tmp_path / "nonces.db"
    at = writer_socket(tmp_path, path)
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
    with listen(at) as listener:
        store = WriterNonceStore(SqliteNonceStore(path), at)
        given_up = [asyncio.create_task(store.use(address, "1")) for address in (ADDRESS, OTHER)]
        await asyncio.sleep(0)
        for call in given_up:
            call.cancel()
        await asyncio.wait(given_up)
        worker, _ = listener.accept()
        worker.close()
        while store.writer_id() is not None:  # noqa: ASYNC110 - the event loop sees the end by itself
            await asyncio.sleep(0)
        assert all(call.cancelled() for call in given_up)
    await store.close()
    assert not faults


@pytest.mark.gen_test
async def test_closing_ends_when_the_writer_does(tmp_path: Path) -> None:
    path = tmp_path / "nonces.db"
    at = writer_socket(tmp_path, path)
    with listen(at) as listener:
        store = WriterNonceStore(SqliteNonceStore(path), at)
        asked = asyncio.create_task(outcome(store.use(ADDRESS, "1")))
        await asyncio.sleep(0)
        closing = asyncio.create_task(store.close())
        await asyncio.sleep(0)
        worker, _ = listener.accept()
        worker.close()
        await closing
        assert await asked is StoreError


@pytest.mark.gen_test
async def test_a_writer_that_is_asked_nothing_may_be_silent(tmp_path: Path) -> None:
    path = tmp_path / "nonces.db"
    at = writer_socket(tmp_path, path)
    with listen(at) as listener:
        store = WriterNonceStore(SqliteNonceStore(path), at, patience_seconds=0.05)
        worker = await asked_and_answered(store, listener)
        link = store._link
        assert link is not None
        while link._watch is not None:  # noqa: ASYNC110 - the limit passes by itself
            await asyncio.sleep(0.001)
        assert store.writer_id() == os.getpid()
        await store.close()
        worker.close()


@pytest.mark.gen_test
async def test_a_file_of_another_program_is_named_to_the_worker(writer: RunningWriter, store: WriterNonceStore) -> None:
    with closing(sqlite3.connect(writer.path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    for _ in range(2):
        with pytest.raises(StoreError) as caught:
            await store.use(ADDRESS, "1")
        assert "schema version 99 is not ours" in (caught.value.detail or "")
    assert store.writer_id() == writer.pid


def test_a_directory_that_is_gone_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        listen(tmp_path / "gone" / "socket")


@pytest.mark.gen_test
async def test_failures_of_the_file_are_told_and_pass(writer: RunningWriter, store: WriterNonceStore) -> None:
    writer.path.mkdir()
    with pytest.raises(StoreError) as caught:
        await store.use(ADDRESS, "1")
    assert "the path is a directory" in (caught.value.detail or "")
    writer.path.rmdir()
    await store.use(ADDRESS, "1")


@pytest.mark.gen_test
async def test_an_unforeseen_failure_refuses_one_group_and_does_not_end_the_writer(
    writer: RunningWriter, store: WriterNonceStore
) -> None:
    for address in (ADDRESS, OTHER):
        await store.use(address, "1")
    with closing(sqlite3.connect(writer.path)) as connection, connection:
        connection.execute("UPDATE spent_nonces SET uses = 'many' WHERE address = ?", (ADDRESS,))
    for _ in range(2):
        assert await outcome(store.use(ADDRESS, "2")) is StoreError
        assert store.writer_id() == writer.pid
    await store.use(OTHER, "2")
    assert await outcome(store.use(OTHER, "2")) is NonceRefused
    assert store.writer_id() == writer.pid


@pytest.mark.parametrize("message", [b"x", b"{}", b"[1]", b'[["0x1","1",null]]', b'[[1,"1",null,false]]', b"[]"])
@pytest.mark.gen_test
async def test_who_sends_anything_else_is_dismissed_and_nobody_else(
    writer: RunningWriter, store: WriterNonceStore, message: bytes
) -> None:
    await store.use(ADDRESS, "1")
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger,
        socket_address(writer.socket) as address,
    ):
        stranger.settimeout(30)
        stranger.connect(address)
        stranger.send(message)
        assert stranger.recv(1000) == b""
        await store.use(ADDRESS, "2")


@pytest.mark.gen_test
async def test_a_worker_that_takes_no_answers_holds_up_nobody(writer: RunningWriter, store: WriterNonceStore) -> None:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as deaf,
        socket_address(writer.socket) as address,
    ):
        deaf.connect(address)
        deaf.settimeout(30)
        message = encode_uses([NonceUse(OTHER, "5")] * MAX_USES)
        with suppress(ConnectionError):
            while True:
                deaf.send(message)
        await store.use(ADDRESS, "1")


@pytest.mark.gen_test
async def test_a_writer_ends_with_its_server_and_its_last_worker(writer: RunningWriter) -> None:
    store = open_store(writer)
    await store.use(ADDRESS, "1")
    writer.let_go()
    await store.use(ADDRESS, "2")
    assert writer.exit_status() is None
    await store.close()
    await asyncio.to_thread(writer.end)
    assert writer.exit_status() == 0
    again = open_store(writer)
    await again.use(ADDRESS, "3")
    await again.close()


@pytest.mark.gen_test
async def test_another_file_has_another_writer(writer: RunningWriter, tmp_path: Path) -> None:
    """Settings may name another file at a reload, and the writer knows only the first one."""
    other = tmp_path / "other.db"
    store = WriterNonceStore(SqliteNonceStore(other), writer_socket(tmp_path, other))
    await store.use(ADDRESS, "1")
    assert other.exists()
    assert not writer.path.exists()
    await store.close()


@pytest.mark.gen_test(timeout=60)
async def test_a_killed_worker_leaves_the_writer_to_the_others(
    writer: RunningWriter, store: WriterNonceStore, children: MeasuredChildren
) -> None:
    place = Place("writer", str(writer.path))
    with place.worker(children, "write", 1) as worker:
        assert worker.stdout.readline()
        await store.use(ADDRESS, "1")
        worker.kill()
        worker.wait()
    assert worker.returncode == -9
    await store.use(ADDRESS, "2")
    assert writer.exit_status() is None


def test_uses_and_answers_survive_the_way() -> None:
    uses = [
        NonceUse(ADDRESS, "1.5e+3", OpenText("digest", "0001", True), True),
        NonceUse(OTHER, "9" * 100),
    ]
    assert decode_uses(encode_uses(uses)) == uses
    (yes, no) = decode_answers(b'[null,"refused"]', 2)
    assert yes is None
    assert isinstance(no, NonceRefused)
    assert str(no) == "refused"


@pytest.mark.parametrize("message", [b"", b"[null]", b"[null,1]", b"{}", b"null", b'{"failed":1}'])
def test_what_answers_no_use_is_no_answer(message: bytes) -> None:
    with pytest.raises(ValueError, match=r"^(not a|unexpected|Input)"):
        decode_answers(message, 2)
