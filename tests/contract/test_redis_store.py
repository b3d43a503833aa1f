"""What Redis brings with it: the script decides as SQLite does, and nothing is accepted twice on bad days."""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import starmap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tornado.ioloop import IOLoop

from provider.auth.nonce_order import sortable
from provider.auth.nonce_rows import NonceRows, held_from
from provider.auth.nonce_rule import NonceUse
from provider.auth.redis_store import RedisNonceStore
from provider.auth.signed_text import OpenText
from provider.auth.sqlite_file import open_store
from provider.crypto.keccak import to_checksum_address
from provider.errors import NonceRefused, ProviderError, StoreError
from provider.redis import pipeline
from provider.redis.client import RedisClient, Script
from provider.redis.connection import NodeConnection
from provider.redis.pipeline import Question
from provider.redis.url import RedisTarget, parse_target
from tests.support.certificates import Authority
from tests.support.redis_clients import TIMEOUT_SECONDS, RedisClientOf
from tests.support.redis_server import AOF, Cluster, RedisServer, Watched, until

Start = Callable[..., RedisServer]
StoreAt = Callable[..., RedisNonceStore]

ADDRESS = "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"
CLOCK = 1_700_000_000_000


async def outcome(call: object) -> object:
    try:
        return await call  # type: ignore[misc]
    except ProviderError as error:
        return type(error)


async def accepted_in_time(store: RedisNonceStore, nonce: str, address: str = ADDRESS) -> None:
    """Ask until the store answers; the nonce must be a fresh one."""
    deadline = time.monotonic() + 60
    while (refusal := await outcome(store.use(address, nonce))) is StoreError:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
        nonce = str(int(nonce) + 1)
    assert refusal is None


async def last_in_time(store: RedisNonceStore, address: str = ADDRESS) -> str:
    deadline = time.monotonic() + 60
    while (last := await outcome(store.last(address))) is StoreError:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    assert isinstance(last, str)
    return last


@pytest.fixture
def store_at(redis_client: RedisClientOf, io_loop: IOLoop) -> Iterator[StoreAt]:
    """Opens stores that are closed after the test: `store_at(url, **options of the client)`."""
    opened: list[RedisNonceStore] = []

    def begin(url: str | RedisTarget, **options: Any) -> RedisNonceStore:
        opened.append(RedisNonceStore(redis_client(url, **options), prefix="test"))
        return opened[-1]

    yield begin
    for store in opened:
        io_loop.run_sync(store.close)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts servers that end with the test."""
    started: list[RedisServer] = []

    def begin(*options: str, tls: bool = False) -> RedisServer:
        server = RedisServer(tmp_path, *options, tls=tls)
        started.append(server)
        return server.start()

    yield begin
    for server in started:
        server.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    running = RedisServer(tmp_path_factory.mktemp("redis"), *AOF).start()
    yield running
    running.stop()


# The script against the rows of SQLite.

numbers = itertools.count(1)
near_clock = st.integers(-700_000, 700_000).map(lambda off: str(CLOCK + off * 1000 // 997))
NONCES = st.one_of(
    near_clock,
    near_clock,
    st.integers(-5, 5).map(str),
    st.decimals(min_value=-100, max_value=100, allow_nan=False, places=3).map(str),
    st.sampled_from(["5.0", "05", "5e0", "1e99", "-1e-50", "0.000", str(CLOCK * 1000), str(CLOCK) + ".5", str(10**14)]),
)
counters = st.integers(1, 3000).map(str)
TEXTS = st.one_of(
    st.none(),
    st.none(),
    st.builds(OpenText, st.integers(0, 400).map("{:022}".format), counters.map(sortable) | st.just(""), st.booleans()),
)
USES = st.tuples(NONCES | counters, TEXTS, st.sampled_from([False] * 9 + [True]))
RUNS = st.tuples(near_clock | st.just("1"), st.integers(100, 400))


@given(st.lists(USES, max_size=14), st.none() | st.none() | RUNS)
@settings(max_examples=75, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_the_script_decides_as_sqlite_does(
    server: RedisServer, tmp_path: Path, uses: list[tuple[str, OpenText | None, bool]], run: tuple[str, int] | None
) -> None:
    address = to_checksum_address(f"0x{next(numbers):040x}")
    rows = open_store(tmp_path / "n.db", busy_timeout_seconds=5)
    rows.execute("PRAGMA synchronous = OFF")
    sqlite = NonceRows(rows)
    first, length = run or ("1", 0)
    # So many that what is remembered reaches its bounds.
    many = [
        (str(int(first) + 3 * step), OpenText(f"{step:022}", sortable(str(step * 7 % 900)), True), False)
        for step in range(length)
    ]
    after = [(str(int(first) + 3 * step + 1), None, False) for step in range(0, length, 7)]
    uses = [*uses, *many, *after, *uses]
    expected = []
    for nonce, text, unknown_past in uses:
        refusal = sqlite.use_all([NonceUse(address, nonce, text, unknown_past)])[0]
        expected.append(str(refusal) if refusal else None)
    memory = rows.execute("SELECT nonce, memory FROM spent_nonces WHERE address = ?", (address,)).fetchone()
    rows.close()
    assert asyncio.run(_decide(server.url, address, uses)) == expected
    if memory is not None:
        key = f"test:{{{address}}}:nonce"
        names = ("text", "floor", "recent", "messages", "large_text", "marks")
        text, *values = (_bulk(server.ask("HGET", key, name)) for name in names)
        held = held_from(*memory)
        assert (text, *values) == (held.nonce, held.floor, held.recent, held.messages, held.large, held.marks)


def _bulk(reply: bytes) -> str:
    """The text of a bulk reply, empty for none."""
    return "" if reply.startswith(b"$-1") else reply.split(b"\r\n", 1)[1].removesuffix(b"\r\n").decode()


async def _decide(url: str, address: str, uses: list[tuple[str, OpenText | None, bool]]) -> list[str | None]:
    """What is decided one after the other. All go into the same exchange, which saves hundreds of round trips."""
    store = RedisNonceStore(RedisClient(parse_target(url), timeout_seconds=TIMEOUT_SECONDS), prefix="test")

    async def decided(nonce: str, text: OpenText | None, unknown_past: bool) -> str | None:
        try:
            await store.use(address, nonce, text=text, unknown_past=unknown_past)
        except NonceRefused as error:
            return str(error)
        return None

    try:
        return await asyncio.gather(*starmap(decided, uses))
    finally:
        await store.close()


@pytest.mark.gen_test
async def test_window_forgets_what_can_never_be_asked_again(server: RedisServer, store_at: StoreAt) -> None:
    store = store_at(server.url)
    address = f"0x{next(numbers):040x}"
    for second in range(0, 3000, 10):
        await store.use(address, str(CLOCK + second * 1000))
    key = f"test:{{{to_checksum_address(address)}}}:nonce"
    assert len(_bulk(server.ask("HGET", key, "recent")).split()) == 60


@pytest.mark.gen_test
async def test_what_is_stored_and_is_no_nonce_admits_nothing(server: RedisServer, store_at: StoreAt) -> None:
    store = store_at(server.url)
    address = f"0x{next(numbers):040x}"
    key = f"test:{{{to_checksum_address(address)}}}:nonce"
    server.ask("HSET", key, "order", "nan", "text", "nan")
    assert await outcome(store.use(address, "5")) is NonceRefused
    server.ask("DEL", key)
    server.ask("SET", key, "5")
    with pytest.raises(StoreError) as caught:
        await store.use(address, "6")
    assert "another type (WRONGTYPE)" in (caught.value.detail or "")


@pytest.mark.gen_test
async def test_nonces_have_no_expiry_and_revocations_live_as_long_as_their_token(
    server: RedisServer, redis_client: RedisClientOf
) -> None:
    server.ask("FLUSHALL")
    store = RedisNonceStore(redis_client(server.url), prefix="test", clock=lambda: 1_000_000.0)
    await store.use(ADDRESS, str(CLOCK))
    assert server.ask("TTL", f"test:{{{ADDRESS}}}:nonce") == b":-1\r\n"
    await store.revoke("old", 1_000_000 - 3601)
    await store.revoke("token", 1_000_100)
    assert [await store.revoked_until(name) is not None for name in ("old", "token")] == [False, True]
    found = server.ask("KEYS", "test:*:revoked").split(b"\r\n")
    assert int(server.ask("TTL", found[2].decode())[1:]) in range(3690, 3701)


@pytest.mark.gen_test
async def test_uses_of_one_moment_share_an_exchange(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, store_at: StoreAt
) -> None:
    sizes: list[int] = []
    real = NodeConnection.exchange

    async def counted(self: NodeConnection, commands: list[object]) -> object:
        sizes.append(len(commands))
        return await real(self, commands)  # type: ignore[arg-type]

    store = store_at(server.url)
    await store.check()
    await store.use(f"0x{next(numbers):040x}", "1")
    monkeypatch.setattr(NodeConnection, "exchange", counted)
    await asyncio.gather(*(store.use(f"0x{next(numbers):040x}", "1") for _ in range(300)))
    assert sum(sizes) == 300
    assert len(sizes) <= 3


@pytest.mark.gen_test
async def test_server_that_has_lost_the_script_gets_it_again(server: RedisServer, store_at: StoreAt) -> None:
    store = store_at(server.url)
    address = f"0x{next(numbers):040x}"
    await store.use(address, "1")
    server.ask("SCRIPT", "FLUSH")
    calls = [outcome(store.use(address, nonce)) for nonce in ("3", "2", "4", "4")]
    assert await asyncio.gather(*calls) == [None, NonceRefused, None, NonceRefused]


# Bad days.


@pytest.mark.gen_test(timeout=30)
async def test_away_is_refused_at_once_and_back_is_noticed(
    start: Start, caplog: pytest.LogCaptureFixture, store_at: StoreAt
) -> None:
    caplog.set_level("INFO", "provider.shared")
    server = start(*AOF)
    store = store_at(server.url)
    await store.check()
    await store.use(ADDRESS, "1")
    server.kill()
    with pytest.raises(StoreError) as caught:
        await store.use(ADDRESS, "2")
    assert caught.value.http_status == 503
    assert caught.value.retry_after_seconds
    assert str(server.port) not in (caught.value.detail or "")
    calls = (
        store.use(ADDRESS, "3"),
        store.last(ADDRESS),
        store.revoked_until("x"),
        store.revoke("x", 4_000_000_000),
        store.check(),
    )
    assert await asyncio.gather(*map(outcome, calls)) == [StoreError] * 5
    server.start()
    await accepted_in_time(store, "10")
    assert await outcome(store.use(ADDRESS, "1")) is NonceRefused
    told = [record.getMessage() for record in caplog.records if record.name == "provider.shared"]
    assert told == ["Redis unreachable: no connection (Connection refused)", "Redis reachable again"]


@pytest.mark.gen_test(timeout=30)
async def test_idle_connection_that_the_server_closed_costs_no_request(server: RedisServer, store_at: StoreAt) -> None:
    store = store_at(server.url)
    await store.check()
    address = f"0x{next(numbers):040x}"
    for nonce in ("1", "2", "3"):
        await store.use(address, nonce)
        server.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await asyncio.sleep(0)


@pytest.mark.gen_test(timeout=30)
async def test_silent_server_is_given_up_in_time_and_its_replies_are_never_mixed_up(
    server: RedisServer, store_at: StoreAt
) -> None:
    store = store_at(server.url, timeout_seconds=0.3)
    address = f"0x{next(numbers):040x}"
    await accepted_in_time(store, "1", address)
    given = int(await last_in_time(store, address))
    with server.suspended(), pytest.raises(StoreError) as caught:
        await store.use(address, str(given + 1))
    assert "no answer within 0.3 s" in (caught.value.detail or "")
    assert await last_in_time(store, address) in (str(given), str(given + 1))
    await accepted_in_time(store, str(given + 2), address)


@pytest.mark.gen_test
async def test_queue_is_bounded(server: RedisServer, monkeypatch: pytest.MonkeyPatch, store_at: StoreAt) -> None:
    monkeypatch.setattr(pipeline, "MAX_WAITING", 50)
    store = store_at(server.url)
    results = await asyncio.gather(*(outcome(store.use(f"0x{next(numbers):040x}", "1")) for _ in range(80)))
    assert results.count(None) == 50
    assert results.count(StoreError) == 30


@pytest.mark.gen_test(timeout=60)
async def test_no_accepted_nonce_is_accepted_again_after_redis_was_killed(start: Start, store_at: StoreAt) -> None:
    server = start(*AOF)
    store = store_at(server.url)
    accepted: list[str] = []
    enough = asyncio.Event()

    async def use_on() -> None:
        for number in itertools.count(int(accepted[-1]) + 2 if accepted else 1):
            if await outcome(store.use(ADDRESS, str(number))) is StoreError:
                return
            accepted.append(str(number))
            if len(accepted) % 200 == 0:
                enough.set()

    for _ in range(3):
        enough.clear()
        writing = asyncio.ensure_future(use_on())
        await enough.wait()
        await asyncio.to_thread(server.kill)
        await writing
        await asyncio.to_thread(server.start)
        last = await last_in_time(store)
        assert int(accepted[-1]) <= int(last) <= int(accepted[-1]) + 1
        for nonce in accepted[-20:]:
            assert await outcome(store.use(ADDRESS, nonce)) is NonceRefused


@pytest.mark.parametrize("options", [("--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru")])
@pytest.mark.gen_test(timeout=20)
async def test_redis_that_forgets_when_full_may_hold_no_nonces(
    start: Start, options: tuple[str, ...], store_at: StoreAt
) -> None:
    server = start(*options)
    store = store_at(server.url)
    with pytest.raises(StoreError) as caught:
        await store.check()
    assert "allkeys-lru evicts nonces" in store.unfit
    assert store.unfit in (caught.value.detail or "")


@pytest.mark.gen_test(timeout=20)
async def test_full_memory_refuses_instead_of_forgetting(start: Start, store_at: StoreAt) -> None:
    server = start("--maxmemory", "1", "--maxmemory-policy", "noeviction")
    store = store_at(server.url)
    with pytest.raises(StoreError) as caught:
        await store.use(ADDRESS, "1")
    assert "memory is full (OOM)" in (caught.value.detail or "")


# Deployments.


@pytest.mark.gen_test(timeout=30)
async def test_tls_and_users(tmp_path: Path, start: Start, store_at: StoreAt) -> None:
    authority = Authority(tmp_path)
    files = authority.issue("redis")
    ca_file = str(authority.ca_path)
    server = start(
        *("--tls-cert-file", files.certificate, "--tls-key-file", files.key),
        *("--tls-ca-cert-file", ca_file, "--tls-auth-clients", "no"),
        *("--user", "provider", "on", ">pass word", "~test:*"),
        *("+evalsha", "+eval", "+get", "+set", "+del", "+exists", "+info", "+hmget", "+hset", "+hdel"),
        *("--user", "default", "off"),
        tls=True,
    )
    base = parse_target(f"rediss://provider:pass%20word@localhost:{server.port}")
    good = replace(base, ca_file=ca_file)
    store = store_at(good)
    await store.check()
    await store.use(ADDRESS, "1")
    assert await outcome(store.use(ADDRESS, "1")) is NonceRefused
    for changed, words in (
        ({"password": "wrong"}, "wrong user or password"),
        ({"password": None, "username": None}, "requires a password"),
        ({"ca_file": None}, "TLS certificate is not trusted"),
    ):
        store = store_at(replace(good, **changed))
        with pytest.raises(StoreError) as caught:
            await store.use(ADDRESS, "2")
        assert words in (caught.value.detail or "")


@pytest.mark.gen_test(timeout=90)
async def test_failover_by_sentinels_accepts_nothing_twice(tmp_path: Path, store_at: StoreAt) -> None:
    watched = await asyncio.to_thread(Watched, tmp_path)
    try:
        stores = [store_at(watched.url), store_at(watched.url, wait_replicas=1)]
        assert await _asked_while_the_way_is_looked_up(stores[0]) == [None, None, None]
        await stores[0].check()
        await stores[1].use(ADDRESS, "5")
        await stores[0].use(ADDRESS, "6")
        await asyncio.to_thread(watched.kill_master)
        assert await outcome(stores[0].use(ADDRESS, "7")) is StoreError
        await asyncio.to_thread(until, lambda: b"role:master" in watched.replica.replication(), "failover")
        await accepted_in_time(stores[0], "10")
        assert await outcome(stores[0].use(ADDRESS, "5")) is NonceRefused
        # No replica is left that could get it.
        impatient = store_at(watched.url, timeout_seconds=2.0, wait_replicas=1)
        with pytest.raises(StoreError) as caught:
            await impatient.use(ADDRESS, "1000")
        assert "replica" in (caught.value.detail or "") or "no " in (caught.value.detail or "")
    finally:
        await asyncio.to_thread(watched.stop)


async def _asked_while_the_way_is_looked_up(store: RedisNonceStore) -> list[object]:
    """Outcomes of questions that come one turn of the loop after the other, before any server is known."""
    asked = []
    for _ in range(3):
        asked.append(asyncio.ensure_future(outcome(store.last(ADDRESS))))
        await asyncio.sleep(0)
    return list(await asyncio.gather(*asked))


@pytest.mark.gen_test(timeout=90)
async def test_cluster_keeps_each_address_where_its_slot_is(tmp_path: Path, store_at: StoreAt) -> None:
    cluster = await asyncio.to_thread(Cluster, tmp_path)
    try:
        store, other = store_at(cluster.url), store_at(cluster.url)
        await store.check()
        addresses = [f"0x{number:040x}" for number in range(60)]
        await asyncio.gather(*(store.use(address, str(CLOCK)) for address in addresses))
        assert all(int(node.ask("DBSIZE")[1:]) > 0 for node in cluster.nodes)
        again = [outcome(other.use(address, str(CLOCK))) for address in addresses]
        assert await asyncio.gather(*again) == [NonceRefused] * 60
        assert await other.last(addresses[7]) == str(CLOCK)
        await _move_slot(cluster, f"test:{{{to_checksum_address(addresses[7])}}}:nonce")
        assert await outcome(store.use(addresses[7], str(CLOCK))) is NonceRefused
        await store.use(addresses[7], str(CLOCK + 1))
        await asyncio.to_thread(cluster.nodes[2].kill)
        results = await asyncio.gather(*(outcome(store.use(address, str(CLOCK + 2))) for address in addresses))
        assert StoreError in results
    finally:
        await asyncio.to_thread(cluster.stop)


async def _move_slot(cluster: Cluster, key: str) -> None:
    """Give the slot of a key to another node, with its keys, as an operator who reshards."""
    slot = int(cluster.nodes[0].ask("CLUSTER", "KEYSLOT", key)[1:])
    owner = next(node for node in cluster.nodes if b"MOVED" not in node.ask("EXISTS", key))
    taker = next(node for node in cluster.nodes if node is not owner)
    names = {node.port: node.ask("CLUSTER", "MYID").split(b"\r\n")[1].decode() for node in (owner, taker)}
    taker.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", names[owner.port])
    owner.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", names[taker.port])
    for name in owner.ask("CLUSTER", "GETKEYSINSLOT", slot, 100).split(b"\r\n")[2::2]:
        owner.ask("MIGRATE", "127.0.0.1", taker.port, name.decode(), 0, 5000)
    for node in (taker, owner):
        node.ask("CLUSTER", "SETSLOT", slot, "NODE", names[taker.port])


@pytest.mark.gen_test
async def test_error_of_one_question_leaves_the_others_alone(server: RedisServer, redis_client: RedisClientOf) -> None:
    client = redis_client(server.url)
    bad = Script("return redis.error_reply('MINE of planted')", "check").call(["test:x"], [])
    calls = [
        client.ask(Question("test:x", ("SET", "test:x", "1"), "check")),
        client.ask(bad),
        client.ask(Question("k", ("GET", "test:x"), "check")),
    ]
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert (done[0], done[2]) == (b"OK", b"1")
    assert isinstance(done[1], StoreError)
    assert "planted" not in (done[1].detail or "")


@pytest.mark.gen_test
async def test_server_that_was_made_a_replica_is_left(start: Start, store_at: StoreAt) -> None:
    server = start()
    store = store_at(server.url)
    await store.use(ADDRESS, "1")
    server.ask("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(StoreError) as caught:
        await store.use(ADDRESS, "2")
    assert "replica (READONLY)" in (caught.value.detail or "")
    server.ask("REPLICAOF", "NO", "ONE")
    await accepted_in_time(store, "3")


# Emptied while running.


@pytest.mark.gen_test(timeout=30)
async def test_an_emptied_store_refuses_what_was_used_and_lets_its_consumers_come_back(
    start: Start, store_at: StoreAt
) -> None:
    server = start(*AOF)
    one, other = store_at(server.url), store_at(server.url)
    clock = int(time.time() * 1000) - 5
    used = ["7", str(clock), str(clock * 1000), "9" * 41]
    addresses = [f"0x{next(numbers):040x}" for _ in used]
    for address, nonce in zip(addresses, used, strict=True):
        await one.use(address, nonce)
    await other.check()
    server.ask("FLUSHALL")
    assert await outcome(one.use(addresses[0], used[0])) is StoreError
    for store in (one, other, store_at(server.url)):
        for address, nonce in zip(addresses, used, strict=True):
            assert await outcome(store.use(address, nonce)) in (NonceRefused, StoreError)
            assert await outcome(store.use(address, nonce)) is NonceRefused
            told = await store.last(address)
            assert int(told or 0) > clock
    for number, address in enumerate(addresses):
        told = await one.last(address)
        await one.use(address, str(int(told or 0) + 1))
        assert await outcome(other.use(address, used[number])) is NonceRefused


@pytest.mark.gen_test(timeout=30)
async def test_a_server_that_starts_over_an_emptied_store_does_not_make_old_nonces_good(
    start: Start, store_at: StoreAt
) -> None:
    server = start(*AOF)
    running = store_at(server.url)
    await running.use(ADDRESS, "7")
    await running.check()
    server.ask("FLUSHALL")
    started = store_at(server.url)
    await started.check()
    assert await outcome(running.use(ADDRESS, "7")) is StoreError
    assert await outcome(running.use(ADDRESS, "7")) is NonceRefused
    await started.check()
    assert await outcome(started.use(ADDRESS, "7")) is NonceRefused
    await running.close()
    await started.close()


@pytest.mark.gen_test(timeout=30)
async def test_a_policy_that_drops_nonces_is_noticed_while_running(
    start: Start, monkeypatch: pytest.MonkeyPatch, store_at: StoreAt
) -> None:
    monkeypatch.setattr("provider.auth.redis_store.SURVEY_SECONDS", 0.0)
    server = start(*AOF)
    store = store_at(server.url)
    await store.check()
    await store.use(ADDRESS, "1")
    server.ask("CONFIG", "SET", "maxmemory", "100mb")
    server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    assert await outcome(store.check()) is StoreError
    assert "maxmemory-policy allkeys-lru" in store.unfit
    assert await outcome(store.use(ADDRESS, "2")) is StoreError
    server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
    await store.check()
    await store.use(ADDRESS, "2")


@pytest.mark.gen_test(timeout=60)
async def test_what_was_evicted_is_not_accepted_again(
    start: Start, monkeypatch: pytest.MonkeyPatch, store_at: StoreAt
) -> None:
    monkeypatch.setattr("provider.auth.redis_store.SURVEY_SECONDS", 0.0)
    server = start(*AOF)
    store = store_at(server.url)
    await store.check()
    await store.use(ADDRESS, "7")
    server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-random")
    server.ask("CONFIG", "SET", "maxmemory", "1")
    # A write makes Redis drop what it can.
    server.ask("SET", "foreign", "x")
    until(lambda: server.ask("EXISTS", f"test:{{{ADDRESS}}}:nonce") == b":0\r\n", "the nonce is dropped")
    server.ask("CONFIG", "SET", "maxmemory", "0")
    server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
    await outcome(store.check())
    await outcome(store.use(ADDRESS, "7"))
    assert await outcome(store.use(ADDRESS, "7")) is NonceRefused


@pytest.mark.gen_test(timeout=60)
async def test_what_was_dropped_is_not_accepted_again_although_the_epoch_is_there(
    start: Start, monkeypatch: pytest.MonkeyPatch, store_at: StoreAt
) -> None:
    monkeypatch.setattr("provider.auth.redis_store.SURVEY_SECONDS", 0.0)
    server = start(*AOF)
    store = store_at(server.url)
    await store.check()
    await store.use(ADDRESS, "7")
    epoch = _bulk(server.ask("GET", "test:epoch"))
    server.ask("FLUSHDB")
    server.ask("SET", "test:epoch", epoch)
    await store.check()
    assert await outcome(store.use(ADDRESS, "7")) is NonceRefused
    assert _bulk(server.ask("GET", "test:epoch")) != epoch


@pytest.mark.gen_test(timeout=30)
async def test_a_risk_is_told_once(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, store_at: StoreAt
) -> None:
    monkeypatch.setattr("provider.auth.redis_store.SURVEY_SECONDS", 0.0)
    store = store_at(start("--appendonly", "no").url)
    for _ in range(3):
        await store.check()
    assert len([record for record in caplog.records if "appendonly is off" in record.getMessage()]) == 1


@pytest.mark.parametrize("reply", [None, 1, b"", b"OK", [b"+"]], ids=str)
@pytest.mark.gen_test
async def test_only_the_script_accepts_a_nonce(
    server: RedisServer, reply: object, monkeypatch: pytest.MonkeyPatch, store_at: StoreAt
) -> None:
    """A proxy before Redis may answer anything."""

    async def ask(_: object, question: Question) -> object:
        return reply

    store = store_at(server.url)
    await store.check()
    monkeypatch.setattr(RedisClient, "ask", ask)
    with pytest.raises(StoreError) as caught:
        await store.use(ADDRESS, "1")
    assert "unexpected reply" in (caught.value.detail or "")


@pytest.mark.parametrize("poison", ["21795000000000", "9" * 41], ids=["shifted ms", "41 digits"])
@pytest.mark.gen_test
async def test_an_address_that_version_3_0_locked_out_comes_back(
    server: RedisServer, poison: str, store_at: StoreAt
) -> None:
    store = store_at(server.url)
    address = to_checksum_address(f"0x{next(numbers):040x}")
    server.ask("HSET", f"test:{{{address}}}:nonce", "order", sortable(poison), "text", poison)
    told = int(await store.last(address) or 0)
    for nonce in (5, told - 100_000):
        assert await outcome(store.use(address, str(nonce))) is NonceRefused
    await store.use(address, str(told + 60_000))
    assert await outcome(store.use(address, poison)) is NonceRefused
    await store.use(address, str(int(poison) + 1))
    assert await store.last(address) == str(told + 60_000)
