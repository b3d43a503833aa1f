"""What every NonceStore promises, run over each kind of store."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tornado.ioloop import IOLoop

from provider.auth.nonce_store import NonceStore
from provider.errors import NonceRefused, StoreError
from tests.contract.nonce_worker import open_store
from tests.support.measured import MeasuredChildren
from tests.support.nonce_refusal import nonce_refusal
from tests.support.nonce_stores import ADDRESS, CLOCK, FAR, OTHER, Place, Program, RunningWriter, outcome
from tests.support.redis_server import AOF, RedisServer

MakeStore = Callable[[], NonceStore]


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"), *AOF).start()
    yield server
    server.stop()


@pytest.fixture
def nonce_writer(tmp_path: Path, children: MeasuredChildren) -> Iterator[RunningWriter]:
    writer = RunningWriter(tmp_path / "nonces.db", children)
    yield writer
    writer.end()


@pytest.fixture(params=["sqlite", "writer", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "writer":
        request.getfixturevalue("nonce_writer").start()
        return Place("writer", str(tmp_path / "nonces.db"))
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        server.ask("FLUSHALL")
        return Place("redis", server.url)
    return Place("sqlite", str(tmp_path / "nonces.db"))


@pytest.fixture
def make_store(place: Place, io_loop: IOLoop) -> Iterator[MakeStore]:
    """Makes stores over the same state, as several workers would; closes them all."""
    made: list[NonceStore] = []

    def make() -> NonceStore:
        store = open_store(place.kind, place.place)
        made.append(store)
        return store

    yield make
    for store in made:
        io_loop.run_sync(store.close)


@pytest.fixture
def store(make_store: MakeStore) -> NonceStore:
    return make_store()


@pytest.mark.gen_test
async def test_nonces_must_rise(store: NonceStore) -> None:
    for nonce in ("1", "2", "2.5", "1644315615.24195", "1690000000000000000"):
        await store.use(ADDRESS, nonce)
        assert await store.last(ADDRESS) == nonce


@pytest.mark.gen_test
async def test_large_nonces_rise_by_themselves_and_lock_nobody_out(store: NonceStore) -> None:
    await store.use(ADDRESS, "9" * 41)
    assert await store.last(ADDRESS) == "9" * 41
    await store.use(ADDRESS, "5")
    assert await store.last(ADDRESS) == "5"
    assert await outcome(store.use(ADDRESS, "9" * 41)) is NonceRefused
    await store.use(ADDRESS, "9" * 42)
    await store.use(ADDRESS, "6")
    assert await outcome(store.use(ADDRESS, "6")) is NonceRefused
    assert await store.last(ADDRESS) == "6"


@pytest.mark.parametrize(
    ("stored", "nonce"),
    [
        ("5", "5"),
        ("5", "4"),
        ("5", "5.0"),
        ("5", "05"),
        ("5", "5e0"),
        ("5", "-6"),
        ("9007199254740993", "9007199254740992"),
    ],
)
@pytest.mark.gen_test
async def test_equal_and_lower_nonces_are_refused_with_the_documented_text(
    store: NonceStore, stored: str, nonce: str
) -> None:
    await store.use(ADDRESS, stored)
    with pytest.raises(NonceRefused) as caught:
        await store.use(ADDRESS, nonce)
    assert str(caught.value) == nonce_refusal(stored, nonce)
    assert await store.last(ADDRESS) == stored


@pytest.mark.parametrize(
    "nonce", ["", "nan", "inf", "0x10", "1_0", " 1", "9" * 101, "1e400"], ids=lambda text: text[:6]
)
@pytest.mark.gen_test
async def test_what_is_no_nonce_is_refused_and_not_stored(store: NonceStore, nonce: str) -> None:
    with pytest.raises(NonceRefused):
        await store.use(ADDRESS, nonce)
    assert await store.last(ADDRESS) is None


@pytest.mark.gen_test
async def test_case_of_the_address_does_not_matter(store: NonceStore) -> None:
    await store.use(ADDRESS.lower(), "7")
    for address in (ADDRESS, ADDRESS.lower(), "0x" + ADDRESS[2:].upper()):
        assert await store.last(address) == "7"
        assert await outcome(store.use(address, "7")) is NonceRefused


@pytest.mark.gen_test
async def test_addresses_do_not_disturb_each_other(store: NonceStore) -> None:
    await store.use(ADDRESS, "7")
    assert await store.last(OTHER) is None
    await store.use(OTHER, "1")
    assert await store.last(ADDRESS) == "7"


@pytest.mark.parametrize("address", ["", "nobody", ADDRESS[2:], ADDRESS + "0", "\ud800"], ids=ascii)
@pytest.mark.gen_test
async def test_what_is_no_address_has_no_nonces(store: NonceStore, address: str) -> None:
    with pytest.raises(ValueError, match="not an address"):
        await store.use(address, "1")
    assert await store.last(address) is None


@pytest.mark.gen_test
async def test_of_equal_nonces_at_once_one_is_accepted(make_store: MakeStore) -> None:
    stores = [make_store(), make_store()]
    calls = [outcome(stores[number % 2].use(ADDRESS, "42")) for number in range(200)]
    assert Counter(await asyncio.gather(*calls)) == {None: 1, NonceRefused: 199}


@pytest.mark.gen_test
async def test_of_many_nonces_at_once_the_greatest_is_left(store: NonceStore) -> None:
    nonces = [str(number * 7919 % 500) for number in range(500)]
    accepted = [
        int(nonce)
        for nonce, result in zip(
            nonces, await asyncio.gather(*(outcome(store.use(ADDRESS, nonce)) for nonce in nonces)), strict=True
        )
        if result is None
    ]
    assert accepted == sorted(set(accepted))
    assert accepted[-1] == 499
    assert await store.last(ADDRESS) == "499"


@pytest.mark.gen_test
async def test_in_a_window_each_nonce_passes_once_in_any_order(make_store: MakeStore) -> None:
    stores = [make_store(), make_store()]
    nonces = [CLOCK - 599_999, CLOCK, CLOCK - 600_000, CLOCK - 600_001, CLOCK - 1]
    for repeated, expected in ((False, [None, None, None, NonceRefused, None]), (True, [NonceRefused] * 5)):
        results = [
            await outcome(stores[(number + repeated) % 2].use(ADDRESS, str(nonce)))
            for number, nonce in enumerate(nonces)
        ]
        assert results == expected
    assert await stores[0].last(ADDRESS) == str(CLOCK)


@pytest.mark.gen_test
async def test_of_equal_nonces_in_a_window_at_once_one_is_accepted(make_store: MakeStore) -> None:
    stores = [make_store(), make_store()]
    await stores[0].use(ADDRESS, str(CLOCK))
    calls = [outcome(stores[number % 2].use(ADDRESS, str(CLOCK - number // 20))) for number in range(200)]
    assert Counter(await asyncio.gather(*calls)) == {None: 9, NonceRefused: 191}


@pytest.mark.gen_test
async def test_window_survives_closing_and_is_for_its_address_only(make_store: MakeStore) -> None:
    store = make_store()
    for nonce in (CLOCK, CLOCK - 5):
        await store.use(ADDRESS, str(nonce))
        await store.use(OTHER, str(nonce + 10))
    await store.close()
    later = make_store()
    assert await outcome(later.use(ADDRESS, str(CLOCK - 5))) is NonceRefused
    assert await outcome(later.use(ADDRESS, str(CLOCK - 6))) is None


@pytest.mark.gen_test
async def test_another_store_over_the_same_state_sees_everything(make_store: MakeStore) -> None:
    one, other = make_store(), make_store()
    await one.use(ADDRESS, "1")
    assert await other.last(ADDRESS) == "1"
    await other.use(ADDRESS, "2")
    assert await outcome(one.use(ADDRESS, "2")) is NonceRefused
    await one.revoke("token", FAR)
    assert await other.revoked_until("token") is not None


@pytest.mark.gen_test
async def test_state_is_there_after_closing(make_store: MakeStore) -> None:
    store = make_store()
    await store.use(ADDRESS, "5")
    await store.revoke("token", FAR)
    await store.close()
    later = make_store()
    assert await outcome(later.use(ADDRESS, "5")) is NonceRefused
    assert await later.revoked_until("token") is not None


@pytest.mark.gen_test
async def test_revoked_tokens_stay_so_until_restored(store: NonceStore) -> None:
    assert await store.revoked_until("token") is None
    await store.revoke("token", FAR)
    await store.revoke("token", FAR)
    assert await store.revoked_until("token") is not None
    assert await store.revoked_until("token ") is None
    await store.restore("token")
    await store.restore("token")
    assert await store.revoked_until("token") is None


@pytest.mark.parametrize(
    "token_id", ["", "\ud800", "\x00", "x" * 100_000, "'; DROP TABLE x"], ids=lambda text: ascii(text[:9])
)
@pytest.mark.gen_test
async def test_any_text_can_be_a_token_id(store: NonceStore, token_id: str) -> None:
    await store.revoke(token_id, 10**30)
    assert await store.revoked_until(token_id) is not None
    assert await store.revoked_until("other") is None


@pytest.mark.gen_test
async def test_check_changes_nothing(store: NonceStore) -> None:
    await store.check()
    await store.use(ADDRESS, "1")
    await store.check()
    assert await store.last(ADDRESS) == "1"


@pytest.mark.gen_test
async def test_closing_finishes_what_was_asked_before(make_store: MakeStore) -> None:
    store = make_store()
    calls = [asyncio.ensure_future(store.use(f"0x{number:040x}", "1")) for number in range(100)]
    await asyncio.sleep(0)
    await store.close()
    assert await asyncio.gather(*calls) == [None] * 100
    assert await make_store().last(f"0x{99:040x}") == "1"


@pytest.mark.gen_test
async def test_closed_store_answers_with_a_store_error(make_store: MakeStore) -> None:
    for store in (make_store(), make_store()):
        await store.close()
        await store.close()
        for call in (store.use(ADDRESS, "1"), store.last(ADDRESS), store.revoked_until("x"), store.check()):
            assert await outcome(call) is StoreError


@pytest.mark.gen_test
async def test_cancelled_call_leaves_the_others_alone(store: NonceStore) -> None:
    calls = [asyncio.ensure_future(store.use(f"0x{number:040x}", "1")) for number in range(50)]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert results[1::2] == [None] * 25
    await store.use(ADDRESS, "1")


async def all_printed(workers: list[Program]) -> Counter[int]:
    """Let workers that are ready go, and return the numbers that they print until their end."""
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.tell("go\n")
    texts = await asyncio.gather(*(asyncio.to_thread(worker.rest) for worker in workers))
    assert [worker.returncode for worker in workers] == [0] * len(workers)
    return Counter(int(line) for text in texts for line in text.split())


@pytest.mark.gen_test(timeout=60)
async def test_processes_together_accept_each_nonce_exactly_once(
    place: Place, make_store: MakeStore, children: MeasuredChildren
) -> None:
    last = 150
    with ExitStack() as stack:
        workers = [stack.enter_context(place.worker(children, "contend", last)) for _ in range(4)]
        assert await all_printed(workers) == Counter(range(1, last + 1))
    assert await make_store().last(ADDRESS) == str(last)


@pytest.mark.gen_test(timeout=60)
async def test_processes_together_accept_each_nonce_of_a_window_exactly_once(
    place: Place, children: MeasuredChildren
) -> None:
    with ExitStack() as stack:
        workers = [stack.enter_context(place.worker(children, "window", CLOCK)) for _ in range(3)]
        assert await all_printed(workers) == Counter(range(CLOCK, CLOCK + 100))


@pytest.mark.gen_test(timeout=60)
async def test_no_accepted_nonce_is_accepted_again_after_kill_9(
    place: Place, make_store: MakeStore, children: MeasuredChildren
) -> None:
    for run in range(1, 4):
        reported: dict[int, int] = {}
        with place.worker(children, "write", run) as worker:
            for count, line in enumerate(worker.stdout):
                if count == 400 * run:
                    worker.kill()
                if line.endswith("\n"):
                    waiter, nonce = map(int, line.split())
                    reported[waiter] = nonce
        assert worker.returncode == -9
        assert len(reported) == 32
        store = make_store()
        for waiter, nonce in reported.items():
            address = f"0x{waiter:040x}"
            assert await outcome(store.use(address, str(nonce))) is NonceRefused
            stored = int(await store.last(address) or 0)
            # What was accepted but not yet reported when the process died may be there, no more than that.
            assert nonce <= stored <= nonce + 1
            await store.use(address, str(stored + 1))
