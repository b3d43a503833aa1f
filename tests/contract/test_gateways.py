"""Gateways in turn: which answers make the next one be asked, and who is asked first afterwards."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest

from provider.errors import UnsafeAddress, UpstreamError, UpstreamRefused, UpstreamUnreachable
from provider.testing.ports import free_ports
from provider.upstream.config import UpstreamConfig
from provider.upstream.gateways import Gateways
from provider.upstream.http_origin import HttpOrigin
from provider.upstream.resume import Rest, for_rest
from provider.upstream.source import HttpRequest
from tests.support.raw_origin import Exchange, RawOrigin, answering, raw_origin

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def with_status(status: int) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\nno" % status


def request_at(url: str) -> HttpRequest:
    return HttpRequest("GET", f"{url}/ipfs/Qm")


class Clock:
    """Monotonic seconds that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def gateways(*urls: str, allow_private: bool = True, clock: Clock | None = None) -> AsyncIterator[Gateways]:
    trusting = UpstreamConfig(allow_non_public_ip=True, first_byte_timeout_seconds=0.3)
    own = HttpOrigin(trusting, patient=False)
    guarded = HttpOrigin(replace(trusting, allow_non_public_ip=allow_private))
    try:
        yield Gateways(urls, own=own, guarded=guarded, clock=clock or Clock())
    finally:
        own.close()
        guarded.close()


@asynccontextmanager
async def origins(*answers: bytes) -> AsyncIterator[list[RawOrigin]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(raw_origin(answering(answer))) for answer in answers]


async def _silent(exchange: Exchange) -> bool:
    await exchange.reader.read()
    return False


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "status",
    [202, 203, 204, 205, 300, 304, 400, 401, 402, 403, 404, 410, 412, 422, 425, 429, 451, 500, 502, 503, 504, 530],
)
async def test_the_next_one_is_asked(status: int) -> None:
    async with origins(with_status(status), OK) as (first, second), gateways(first.url, second.url) as asked:
        source = await asked.open(request_at)
        assert source.status == 200
        source.close()
        assert [len(origin.exchanges) for origin in (first, second)] == [1, 1]


@pytest.mark.gen_test
@pytest.mark.parametrize("status", [200, 206, 416])
async def test_an_answer_about_the_file_is_final(status: int) -> None:
    async with origins(with_status(status), OK) as (first, second), gateways(first.url, second.url) as asked:
        source = await asked.open(request_at)
        assert source.status == status
        source.close()
        assert not second.exchanges


@pytest.mark.gen_test
@pytest.mark.parametrize("status", [304, 412])
async def test_an_answer_to_a_condition_is_final(status: int) -> None:
    async with origins(with_status(status), OK) as (first, second), gateways(first.url, second.url) as asked:
        condition = (("If-None-Match", '"Qm"'),)
        source = await asked.open(lambda url: HttpRequest("GET", f"{url}/ipfs/Qm", condition))
        assert source.status == status
        source.close()
        assert not second.exchanges


@pytest.mark.gen_test
async def test_when_all_fail_the_last_failure_is_raised() -> None:
    failing = origins(with_status(500), with_status(404))
    async with failing as (first, second), gateways(first.url, second.url) as asked:
        with pytest.raises(UpstreamRefused) as caught:
            await asked.open(request_at)
    assert caught.value.detail == "the gateway answered 404"


@pytest.mark.gen_test
async def test_who_does_not_answer_is_asked_last_for_a_while() -> None:
    clock = Clock()
    async with (
        raw_origin(_silent) as silent,
        origins(OK) as (good,),
        gateways(silent.url, good.url, clock=clock) as asked,
    ):
        for _ in range(3):
            (await asked.open(request_at)).close()
        assert (len(silent.exchanges), len(good.exchanges)) == (1, 3)
        clock.now += 31.0
        (await asked.open(request_at)).close()
        assert len(silent.exchanges) == 2


@pytest.mark.gen_test
async def test_a_closed_port_is_passed_over() -> None:
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    async with origins(OK) as (good,), gateways(url, good.url) as asked:
        (await asked.open(request_at)).close()
    async with gateways(url) as alone:
        with pytest.raises(UpstreamUnreachable):
            await alone.open(request_at)


@pytest.mark.gen_test
async def test_the_rest_of_a_file_may_come_from_any_gateway_that_has_that_version() -> None:
    rest = Rest(3, 4, 5, "ETag", '"Qm"')
    part = b"HTTP/1.1 206 X\r\nContent-Range: bytes 3-4/5\r\nContent-Length: 2\r\nETag: %b\r\n\r\nab"
    other, same = part % b'"another"', part % b'"Qm"'
    failing = origins(with_status(503), other, OK, same)
    async with failing as (*others, last), gateways(*(o.url for o in others), last.url) as asked:
        source = await asked.open(lambda url: for_rest(request_at(url), rest), accepts=rest.is_in, resuming=True)
        assert source.headers.get("ETag") == '"Qm"'
        source.close()
        assert [len(origin.exchanges) for origin in (*others, last)] == [1, 1, 1, 1]
        assert last.exchanges[0].field("Range") == "bytes=3-4"
        assert last.exchanges[0].field("If-Range") == '"Qm"'


@pytest.mark.gen_test
@pytest.mark.parametrize(("status", "error"), [(503, UpstreamUnreachable), (404, UpstreamRefused)])
async def test_only_gateways_that_may_recover_are_worth_another_round(status: int, error: type[UpstreamError]) -> None:
    rest = Rest(3, 4, 5, "ETag", '"Qm"')
    async with origins(with_status(status)) as (only,), gateways(only.url) as asked:
        with pytest.raises(UpstreamError) as caught:
            await asked.open(lambda url: for_rest(request_at(url), rest), accepts=rest.is_in, resuming=True)
    assert type(caught.value) is error


@pytest.mark.gen_test
async def test_a_redirect_meets_the_guard_even_back_to_the_gateway() -> None:
    async def redirecting(exchange: Exchange) -> bool:
        if exchange.path == "/ipfs/Qm":
            await exchange.send(b"HTTP/1.1 301 X\r\nContent-Length: 0\r\nLocation: /ipfs/Qm/\r\n\r\n")
            return True
        await exchange.send(OK)
        return False

    async with raw_origin(redirecting) as gateway:
        async with gateways(gateway.url, allow_private=False) as guarded:
            with pytest.raises(UnsafeAddress):
                await guarded.open(request_at)
        assert [exchange.path for exchange in gateway.exchanges] == ["/ipfs/Qm"]
        async with gateways(gateway.url) as free:
            source = await free.open(request_at)
            assert (source.status, source.final_url_path) == (200, "/ipfs/Qm/")
            source.close()


@pytest.mark.gen_test
async def test_without_gateways_nothing_is_asked() -> None:
    async with gateways() as none:
        assert len(none) == 0
        with pytest.raises(UpstreamError):
            await none.open(request_at)
