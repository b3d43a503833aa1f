"""A relay whose origin is lost: who ends it meanwhile, and that nothing stays open."""

import asyncio

import pytest

from provider.errors import ChainUnavailable, UpstreamRefused, UpstreamTruncated
from provider.streaming.relay import Relayed, StreamEngine
from provider.streaming.resume import Reopen
from provider.upstream.resume import Rest
from provider.upstream.source import Headers
from tests.unit.streaming.test_relay_outcomes import FakeSink, FakeSource

WHOLE = b"0123456789"


class Part(FakeSource):
    """The file from byte `first` on, as pieces."""

    def __init__(self, first: int, *pieces: object) -> None:
        super().__init__(*pieces)
        self.status = 206 if first else 200
        self.length_bytes = len(WHOLE) - first
        stated = {"Content-Range": f"bytes {first}-{len(WHOLE) - 1}/{len(WHOLE)}"} if first else {}
        self.headers = Headers({"ETag": '"v1"', **stated}.items())


def broken() -> Part:
    return Part(0, WHOLE[:4], UpstreamTruncated())


async def run(source: FakeSource, sink: FakeSink, reopen: Reopen, *, max_attempts: int = 5) -> Relayed:
    return await StreamEngine(30, max_attempts).relay(source, sink, [], status=200, reopen=reopen)


@pytest.mark.gen_test
async def test_the_rest_follows_and_both_sources_are_done_with() -> None:
    first, rest, sink, asked = broken(), Part(4, WHOLE[4:]), FakeSink(), []
    first.cached_bytes, rest.cached_bytes = 3, 2

    async def reopen(wanted: Rest) -> FakeSource:
        asked.append(wanted)
        return rest

    assert await run(first, sink, reopen) == Relayed(10, "complete", "copy", resumes=1, cached_bytes=5)
    assert (sink.got, sink.ended) == (WHOLE, "finished")
    assert (first.ended, rest.ended) == ("closed", "released")
    assert asked == [Rest(4, 9, 10, "ETag", '"v1"')]


@pytest.mark.gen_test
@pytest.mark.parametrize("max_attempts", [0, 2])
async def test_other_answers_are_closed_and_cut(max_attempts: int) -> None:
    other, sink, asked = Part(5, WHOLE[5:]), FakeSink(), []

    async def reopen(wanted: Rest) -> FakeSource:
        asked.append(wanted)
        return other

    relayed = await run(broken(), sink, reopen, max_attempts=max_attempts)
    assert relayed == Relayed(4, "upstream_truncated", "copy")
    assert (sink.ended, len(asked)) == ("aborted", min(1, max_attempts))
    assert other.ended == ("closed" if max_attempts else "")


@pytest.mark.gen_test
@pytest.mark.parametrize("error", [UpstreamRefused(), ChainUnavailable()])
async def test_a_refusal_is_final(error: Exception) -> None:
    asked = []

    async def reopen(wanted: Rest) -> FakeSource:
        asked.append(wanted)
        raise error

    assert (await run(broken(), FakeSink(), reopen)).outcome == "upstream_truncated"
    assert len(asked) == 1


@pytest.mark.gen_test
async def test_a_cancelled_relay_ends_the_new_request() -> None:
    asking, sink, ended = asyncio.Event(), FakeSink(), []

    async def reopen(_: Rest) -> FakeSource:
        asking.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)
        raise AssertionError

    running = asyncio.create_task(run(broken(), sink, reopen))
    await asking.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (ended, sink.ended) == ([True], "aborted")


@pytest.mark.gen_test
async def test_a_relay_cancelled_as_the_answer_comes_closes_it() -> None:
    rest = Part(4, WHOLE[4:])

    async def reopen(_: Rest) -> FakeSource:
        asyncio.get_running_loop().call_soon(running.cancel)
        return rest

    running = asyncio.create_task(run(broken(), FakeSink(), reopen))
    with pytest.raises(asyncio.CancelledError):
        await running
    assert rest.ended == "closed"


@pytest.mark.gen_test
@pytest.mark.parametrize("at_once", [True, False])
async def test_a_consumer_that_leaves_ends_it_whenever_that_is(at_once: bool) -> None:
    rest, sink = Part(4, "silent"), FakeSink()

    async def reopen(_: Rest) -> FakeSource:
        if at_once:
            sink.callback()
            await asyncio.sleep(0)
            raise AssertionError
        asyncio.get_running_loop().call_soon(sink.callback)
        return rest

    assert await run(broken(), sink, reopen) == Relayed(4, "consumer_gone", "copy", resumes=0 if at_once else 1)
    assert rest.ended == ("" if at_once else "closed")


@pytest.mark.gen_test
async def test_bytes_that_came_with_the_new_head_are_sent_and_counted() -> None:
    rest, sink = Part(4, WHOLE[4:6], UpstreamTruncated()), FakeSink()
    rest.ready_bytes = 2
    last = Part(6, WHOLE[6:])
    answers = [rest, last]

    async def reopen(wanted: Rest) -> FakeSource:
        assert wanted.first == 10 - answers[0].length_bytes
        return answers.pop(0)

    assert await run(broken(), sink, reopen) == Relayed(10, "complete", "copy", resumes=2)
    assert sink.got == WHOLE
