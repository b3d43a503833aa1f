"""Names that strangers choose, with a name server on loopback that answers, refuses or stays silent."""

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dnslib import QTYPE, RCODE, RR, A, DNSRecord
from dnslib.server import BaseResolver, DNSHandler

from provider.errors import NameUnanswered, OriginsBusy, UnsafeAddress
from provider.testing.ports import free_ports
from provider.upstream.addresses import resolve_checked
from provider.upstream.names import Names
from provider.upstream.shares import asking_client
from tests.support.resolver import Names as Served
from tests.support.resolver import over_udp_and_tcp, running_resolver

V4 = socket.AF_INET
HOSTS_FILE_NAMES = [
    line.split()[1] for line in Path("/etc/hosts").read_text().splitlines() if line.startswith("127.0.0.1")
]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with running_resolver("127.0.0.1", 0) as running:
        running.silent = {"slow.test"}
        running.below = {"good.test": ["127.0.0.1"]}
        running.records = {"both.test": [["192.0.2.1", "2001:db8::1"]], "four.test": [["192.0.2.1"]], "none.test": [[]]}
        running.rcodes = {"ill.test": RCODE.SERVFAIL, "closed.test": RCODE.REFUSED}
        yield running


def names(served: Served, **options: object) -> Names:
    return Names(**({"servers": [served.server], "timeout_seconds": 0.4} | options))  # type: ignore[arg-type]


async def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def checked(resolver: Names, host: str) -> list[object]:
    return [address[0] for _, address in await resolve_checked(host, 80, allow_private=True, resolver=resolver)]


@pytest.mark.gen_test(timeout=20)
async def test_names_become_addresses_of_both_families(served: Served) -> None:
    resolver = names(served)
    assert set(await checked(resolver, "both.test")) == {"192.0.2.1", "2001:db8::1"}
    assert await resolver("four.test", 8080) == [(V4, ("192.0.2.1", 8080))]


@pytest.mark.gen_test(timeout=20)
async def test_localhost_the_hosts_file_and_numbers_need_no_name_server(served: Served) -> None:
    resolver = names(served)
    before = len(served.asked)
    assert "127.0.0.1" in await checked(resolver, "localhost")
    assert await checked(resolver, "0x7f.1") == ["127.0.0.1"]
    assert await checked(resolver, "::1") == ["::1"]
    for name in HOSTS_FILE_NAMES:
        assert "127.0.0.1" in await checked(resolver, name)
    assert len(served.asked) == before


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize("host", ["unknown.test", "none.test", "label..empty", "a" * 64 + ".test"])
async def test_a_name_that_does_not_exist_is_refused_as_documented(served: Served, host: str) -> None:
    with pytest.raises(UnsafeAddress) as caught:
        await checked(names(served), host)
    assert caught.value.http_status == 400


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize("host", ["one.slow.test", "ill.test", "closed.test"])
async def test_name_servers_without_an_answer_are_a_504_of_its_own_code(served: Served, host: str) -> None:
    with pytest.raises(NameUnanswered) as caught:
        await checked(names(served), host)
    assert (caught.value.http_status, caught.value.code) == (504, "upstream_name_unanswered")
    assert "test" not in f"{caught.value} {caught.value.detail}"


@pytest.mark.gen_test(timeout=20)
async def test_a_name_server_that_is_away_is_no_false_not_found() -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    with pytest.raises(NameUnanswered):
        await checked(Names(servers=[address], timeout_seconds=0.4), "four.test")


class Truncating(BaseResolver):
    """Says over UDP that its answer is too long, and gives it over TCP (RFC 7766 section 5)."""

    def resolve(self, request: DNSRecord, handler: DNSHandler) -> DNSRecord:
        reply = request.reply()
        if handler.protocol == "udp":
            reply.header.tc = 1
        elif request.q.qtype == QTYPE.A:
            reply.add_answer(RR(request.q.qname, QTYPE.A, rdata=A("192.0.2.7"), ttl=0))
        return reply


@pytest.mark.gen_test(timeout=20)
async def test_an_answer_that_is_too_long_for_udp_is_asked_for_over_tcp() -> None:
    with over_udp_and_tcp(Truncating()) as port:
        files = len(os.listdir("/proc/self/fd"))
        resolver = Names(servers=[f"127.0.0.1:{port}"], timeout_seconds=10.0)
        assert await checked(resolver, "long.test") == ["192.0.2.7"]
        await eventually(lambda: len(os.listdir("/proc/self/fd")) <= files)


@pytest.mark.gen_test(timeout=20)
async def test_a_silent_name_is_not_asked_again_for_half_a_minute(served: Served) -> None:
    now = [100.0]
    resolver = names(served, clock=lambda: now[0])
    for seconds, asks in ((0.0, True), (29.0, False), (2.0, True)):
        now[0] += seconds
        before = len(served.asked)
        with pytest.raises(NameUnanswered):
            await checked(resolver, "Twice.slow.test")
        assert (len(served.asked) > before) is asks


@pytest.mark.gen_test(timeout=60)
async def test_hundreds_of_silent_names_delay_no_other_and_leave_nothing_behind(served: Served) -> None:
    resolver = names(served, timeout_seconds=60.0)
    await checked(resolver, "four.test")
    files, threads = len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
    silent = [asyncio.create_task(checked(resolver, f"n{i}.slow.test")) for i in range(400)]
    await eventually(lambda: resolver.lookups == 400)
    for i in range(20):
        assert await checked(resolver, f"n{i}.good.test") == ["127.0.0.1"]
    assert not any(task.done() for task in silent)
    # The name server takes a thread for each question that it answers, which may be about to end.
    await eventually(lambda: len(os.listdir("/proc/self/task")) <= threads + 1)
    assert not any(task.done() for task in silent)
    for task in silent:
        task.cancel()
    await asyncio.wait(silent)
    assert all(task.cancelled() for task in silent)
    await eventually(lambda: resolver.lookups == 0)
    await eventually(lambda: len(os.listdir("/proc/self/fd")) <= files)


@pytest.mark.gen_test(timeout=20)
async def test_a_look_up_is_made_once_for_a_client_and_ends_with_its_last_waiter(served: Served) -> None:
    resolver = names(served, timeout_seconds=10.0)
    waiting = [asyncio.create_task(checked(resolver, "shared.slow.test")) for _ in range(5)]
    await eventually(lambda: resolver.lookups == 1)
    for task in waiting[1:]:
        task.cancel()
    await asyncio.wait(waiting[1:])
    assert resolver.lookups == 1
    waiting[0].cancel()
    await asyncio.wait(waiting)
    await eventually(lambda: resolver.lookups == 0)


async def as_client(client: bytes | None, resolver: Names, host: str) -> list[object]:
    asking_client.set(client)
    return await checked(resolver, host)


@pytest.mark.gen_test(timeout=20)
async def test_one_client_cannot_use_the_look_ups_of_others(served: Served) -> None:
    resolver = names(served, timeout_seconds=60.0, max_lookups=8, max_lookups_per_client=4)
    silent = [asyncio.create_task(as_client(b"aaaa", resolver, f"c{i}.slow.test")) for i in range(20)]
    await eventually(lambda: resolver.lookups == 4)
    # Also not by waiting for the very name that another one asks for.
    silent.append(asyncio.create_task(as_client(b"aaaa", resolver, "four.test")))
    assert await asyncio.create_task(as_client(b"bbbb", resolver, "four.test")) == ["192.0.2.1"]
    assert not silent[-1].done()
    others = [asyncio.create_task(as_client(bytes([i]) * 4, resolver, f"d{i}.slow.test")) for i in range(4)]
    await eventually(lambda: resolver.lookups == 8)
    with pytest.raises(OriginsBusy):
        await asyncio.create_task(as_client(b"bbbb", resolver, "four.test"))
    for task in [*silent, *others]:
        task.cancel()
    await asyncio.wait([*silent, *others])
    await eventually(lambda: resolver.lookups == 0)
