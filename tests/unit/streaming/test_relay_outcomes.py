"""The relay tells who ended a transfer, and never ends a short body cleanly."""

import asyncio

import pytest

from provider.errors import UpstreamTimedOut, UpstreamTruncated
from provider.streaming.copy_pump import BufferPool
from provider.streaming.progress import Progress
from provider.streaming.relay import StreamEngine
from provider.streaming.sink import ConsumerGone
from provider.upstream.source import Headers


class FakeSource:
    """Pieces come one by one; None waits once, an exception is raised, "silent" waits until it is closed."""

    status, headers, framing, length_bytes, final_url_path, unchanged = 200, Headers(), "close", None, "/", True
    idle_timeout_seconds = 30.0
    cached_bytes = 0

    def __init__(self, *pieces, ready_bytes: int = 0) -> None:
        self.pieces, self.ready_bytes = list(pieces), ready_bytes
        self.ended = ""
        self._closed = asyncio.Event()

    def read_now(self, buffer: memoryview) -> int | None:
        piece = self.pieces[0] if self.pieces else b""
        if piece == "silent":
            return None
        self.pieces = self.pieces[1:]
        if isinstance(piece, Exception):
            raise piece
        if piece is None:
            return None
        buffer[: len(piece)] = piece
        return len(piece)

    async def wait_ready(self) -> None:
        if self.pieces[:1] == ["silent"]:
            await self._closed.wait()
            raise UpstreamTruncated
        await asyncio.sleep(0)

    def raw_socket(self) -> None:
        return None

    def raw_file(self) -> None:
        return None

    def release(self) -> None:
        self.ended = self.ended or "released"

    def close(self) -> None:
        self.ended = self.ended or "closed"
        self._closed.set()


class FakeSink:
    """Keeps what it gets; `stuck_after` writes a consumer takes nothing until the connection is cut."""

    def __init__(
        self, *, gone_after: int | None = None, stuck_after: int | None = None, gone_at_the_end: bool = False
    ) -> None:
        self.gone_at_the_end = gone_at_the_end
        self.got, self.ended, self.writes = b"", "", 0
        self.gone_after, self.stuck_after = gone_after, stuck_after
        self.callback = None
        self.started = None
        self._cut = asyncio.Event()

    async def start(self, status, fields, first) -> None:
        self.started = (status, list(fields))
        self.got += first

    async def write(self, data: memoryview) -> None:
        if self.writes == self.gone_after:
            raise ConsumerGone
        if self.writes == self.stuck_after:
            await self._cut.wait()
            raise ConsumerGone
        self.writes += 1
        self.got += data

    async def finish(self) -> None:
        if self.gone_at_the_end:
            raise ConsumerGone
        self.ended = "finished"

    def abort(self) -> None:
        self.ended = self.ended or "aborted"
        self._cut.set()

    def on_gone(self, callback) -> None:
        self.callback = callback

    def taken_bytes(self) -> int | None:
        return len(self.got)


async def run(source: FakeSource, sink: FakeSink, *, idle_timeout_seconds: float = 30, buffers=None):
    engine = StreamEngine(idle_timeout_seconds, buffers=buffers or BufferPool())
    return await engine.relay(source, sink, [("A", "b")], status=source.status)


@pytest.mark.gen_test
async def test_a_complete_body_is_finished_and_its_connection_released() -> None:
    source, sink = FakeSource(b"abc", None, b"de"), FakeSink()
    relayed = await run(source, sink)
    assert (relayed.outcome, relayed.bytes_sent, sink.got) == ("complete", 5, b"abcde")
    assert (source.ended, sink.ended) == ("released", "finished")
    assert sink.started == (200, [("A", "b")])


@pytest.mark.gen_test
async def test_bytes_that_are_ready_go_out_with_the_head() -> None:
    source, sink = FakeSource(b"abc", b"de", ready_bytes=3), FakeSink()
    relayed = await run(source, sink)
    assert (relayed.bytes_sent, sink.got, sink.writes) == (5, b"abcde", 1)


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("failure", "outcome"),
    [(UpstreamTruncated(), "upstream_truncated"), (UpstreamTimedOut(), "upstream_timed_out")],
)
async def test_a_failing_origin_cuts_the_consumer(failure: Exception, outcome: str) -> None:
    source, sink = FakeSource(b"abc", failure), FakeSink()
    relayed = await run(source, sink)
    assert (relayed.outcome, relayed.bytes_sent) == (outcome, 3)
    assert (source.ended, sink.ended) == ("closed", "aborted")


@pytest.mark.gen_test
async def test_an_origin_that_fails_before_the_head_is_out_is_an_exception() -> None:
    source, sink = FakeSource(UpstreamTruncated(), ready_bytes=1), FakeSink()
    with pytest.raises(UpstreamTruncated):
        await run(source, sink)
    assert (source.ended, sink.ended, sink.started) == ("closed", "", None)


@pytest.mark.gen_test
async def test_a_consumer_that_fails_a_write_is_gone() -> None:
    source, sink = FakeSource(b"abc", b"de"), FakeSink(gone_after=1)
    relayed = await run(source, sink)
    assert (relayed.outcome, relayed.bytes_sent, source.ended) == ("consumer_gone", 3, "closed")


@pytest.mark.gen_test
@pytest.mark.parametrize(("length", "outcome"), [(3, "complete"), (None, "consumer_gone")])
async def test_a_consumer_may_leave_once_it_has_what_was_announced(length: int | None, outcome: str) -> None:
    source, sink = FakeSource(b"abc"), FakeSink(gone_at_the_end=True)
    source.length_bytes = length
    relayed = await run(source, sink)
    assert (relayed.outcome, relayed.bytes_sent) == (outcome, 3)


@pytest.mark.gen_test(timeout=10)
async def test_a_consumer_that_leaves_wakes_a_relay_that_waits_for_the_origin() -> None:
    source, sink = FakeSource(b"abc", "silent"), FakeSink()
    running = asyncio.ensure_future(run(source, sink))
    async with asyncio.timeout(5):
        while sink.writes == 0:  # noqa: ASYNC110  the fake has no event for it
            await asyncio.sleep(0)
    sink.callback()
    relayed = await running
    assert (relayed.outcome, source.ended) == ("consumer_gone", "closed")


@pytest.mark.gen_test(timeout=10)
async def test_a_consumer_that_takes_nothing_is_cut() -> None:
    source, sink = FakeSource(b"abc", b"de"), FakeSink(stuck_after=1)
    relayed = await run(source, sink, idle_timeout_seconds=0.04)
    assert (relayed.outcome, relayed.bytes_sent) == ("consumer_stalled", 3)
    assert (source.ended, sink.ended) == ("closed", "aborted")


@pytest.mark.gen_test(timeout=10)
async def test_cancelling_closes_both_sides() -> None:
    source, sink = FakeSource(b"abc", "silent"), FakeSink()
    running = asyncio.ensure_future(run(source, sink))
    async with asyncio.timeout(5):
        while sink.writes == 0:  # noqa: ASYNC110  the fake has no event for it
            await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (source.ended, sink.ended) == ("closed", "aborted")


@pytest.mark.gen_test
async def test_a_waiting_stream_holds_no_buffer() -> None:
    buffers = BufferPool(buffer_bytes=16, max_kept=2)
    buffers.give(buffers.take())
    source, sink = FakeSource(b"abc", "silent"), FakeSink()
    running = asyncio.ensure_future(run(source, sink, buffers=buffers))
    async with asyncio.timeout(5):
        while sink.writes == 0:  # noqa: ASYNC110  the fake has no event for it
            await asyncio.sleep(0)
    assert len(buffers) == 1
    source.close()
    await running


@pytest.mark.gen_test
async def test_a_buffer_that_the_sink_may_still_hold_is_not_given_back() -> None:
    buffers = BufferPool(buffer_bytes=16, max_kept=2)
    await run(FakeSource(b"abc"), FakeSink(gone_after=0), buffers=buffers)
    assert len(buffers) == 0


def test_a_buffer_pool_keeps_no_more_than_its_bound() -> None:
    buffers = BufferPool(buffer_bytes=16, max_kept=2)
    for buffer in [buffers.take() for _ in range(3)]:
        buffers.give(buffer)
    assert len(buffers) == 2


@pytest.mark.gen_test
async def test_a_stream_that_never_waits_lets_others_run() -> None:
    others = 0

    async def other() -> None:
        nonlocal others
        while True:
            others += 1
            await asyncio.sleep(0)

    running = asyncio.ensure_future(other())
    await run(FakeSource(*[b"x" * (1 << 18)] * 64), FakeSink())
    running.cancel()
    assert others >= 4


@pytest.mark.gen_test
async def test_progress_is_counted_in_a_plain_attribute() -> None:
    progress = Progress()
    await StreamEngine(30).relay(FakeSource(b"abc"), FakeSink(), [], status=200, progress=progress)
    assert progress == Progress(bytes_sent=3, awaits_consumer=False)
