"""One version of a file in use: its readers, and the fills that fetch its missing slices.

A fill is one request to the origin that writes consecutive slices. All readers, including the first one, read behind it
from the file. It goes on to the next slice while a reader wants it, and stays at most two slices ahead of the nearest
reader. When no reader is left, it ends with its slice, or at once if the last reader left early and less than half of
the slice is there.

Before a fill asks the origin, it claims its slice in the directory. A slice that another worker has claimed is read
behind that worker, and claimed anew if the worker dies.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

from provider.errors import OriginsBusy, ProviderError, UpstreamError, UpstreamTruncated
from provider.observability.metrics.traffic import Slices
from provider.slices.admission import Wanted
from provider.slices.directory import SliceWriter, TakenSliceError
from provider.slices.store import Slice, SliceStore, errno_name
from provider.slices.version import Version
from provider.upstream.ranges import Selection
from provider.upstream.resume import Rest
from provider.upstream.source import Source

Ask = Callable[[Rest], Awaitable[Source]]

# Each write costs a hop to a thread and wakes the readers, about 300 µs of CPU. So bytes are gathered until the buffer
# is full or this time has passed. The buffer is also the memory of one fill, so it is large only while the origin fills
# the small one in that time (17 MB/s). Writes of 2 MiB cost ext4 2 s/GB instead of 0.3: it looks for huge pages.
_SMALL_BYTES, _LARGE_BYTES = 256 << 10, 1 << 20
_GATHER_SECONDS = 0.015
# How often the origin is looked at meanwhile. A wake-up for all that arrives costs more than the bytes.
_LOOK_SECONDS = 0.005
# In one look: an origin may make each read cost much and bring little.
_MAX_READS = 16
_LEAD_SLICES = 2
# A request ends with the slices that its first reader wants, and after this many.
_MOST_SLICES = 1024
# A part within this many slices counts by the bytes that it asks of them.
_MOST_COUNTED = 2
# An origin that dribbles must not keep a fill alive for nobody.
_LONELY_SECONDS = 60.0
# A whole file, another part, "precondition failed" or "beyond the end" say that the file has changed. Other answers
# say nothing about it.
_OTHER_VERSION = frozenset((200, 206, 412, 416))
# An origin that takes this long to answer is distant: one connection does not fill the path to it.
_DISTANT_SECONDS = 0.02
_READ_AHEAD_FROM_BYTES = 64 << 20
# Fills of one worker. A download beyond these bypasses the cache.
MAX_FILLS = 256


class Reader(Protocol):
    """A reader of slices: from `index`, which it reads or waits for, to `last_index`."""

    index: int
    last_index: int

    def fill_ended(self) -> None:
        """Called when a fill has ended."""


class CachedFile:
    """One version of one file.

    Args:
        store: where slices are.
        prefix: common part of their names.
        did: DID of the asset, "" for none.
        ask: opens a part of the file at its origin.
        outdated: called when the origin has another version.
        read_ahead: slices to fetch ahead at once from a distant origin.
        fills: all fills of this worker.
    """

    def __init__(
        self,
        store: SliceStore,
        version: Version,
        *,
        prefix: str,
        did: str,
        slice_bytes: int,
        read_ahead: int,
        ask: Ask,
        outdated: Callable[[], Awaitable[None]],
        fills: "set[Fill]",
        metrics: Slices,
    ) -> None:
        self.version = version
        self.slice_bytes = slice_bytes
        self.store, self.did = store, did
        self._prefix = prefix
        is_distant = version.distance_seconds >= _DISTANT_SECONDS
        self._read_ahead = read_ahead if is_distant and version.whole.total_bytes >= _READ_AHEAD_FROM_BYTES else 1
        self._ask, self._outdated = ask, outdated
        self._metrics = metrics
        self._all_fills = fills
        self._fills: set[Fill] = set()
        self._readers: set[Reader] = set()
        self._moved = asyncio.Event()
        self._lonely: asyncio.TimerHandle | None = None

    @property
    def ahead_slices(self) -> int:
        """How many slices ahead of a reader should be fetched at once, while it has to wait for the origin."""
        # Half of the fills are kept for those who wait.
        return self._read_ahead if len(self._all_fills) < MAX_FILLS // 2 else 1

    @property
    def lead_slices(self) -> int:
        """How many slices a reader may open ahead, those that are there already included."""
        # Connections differ in speed. Fast ones go on while the reader waits for a slow one.
        return self.ahead_slices if self.ahead_slices == 1 else 2 * self.ahead_slices

    def name(self, index: int) -> str:
        """Name of a slice."""
        return f"{self._prefix}-{index}"

    def join(self, reader: Reader) -> None:
        """Count a reader. It calls `leave` at its end."""
        self._readers.add(reader)
        if self._lonely is not None:
            self._lonely.cancel()
            self._lonely = None

    def leave(self, reader: Reader, *, early: bool) -> None:
        """Count a reader less. `early`: it did not read all that it asked for."""
        self._readers.discard(reader)
        self._moved.set()
        if not self._readers and self._fills and self._lonely is None:
            if early:
                # Consumers who ask for much and leave at once must not cost the origin whole slices.
                for fill in self._fills:
                    fill.end_if_early()
            self._lonely = asyncio.get_running_loop().call_later(_LONELY_SECONDS, self._give_up)

    def moved(self) -> None:
        """Record that a reader has gone on to its next slice."""
        self._moved.set()

    async def slice(self, index: int, last_index: int, *, may_fill: bool) -> tuple[Slice, bool] | None:
        """A slice, acquired, and whether it was there before. Its bytes may still be arriving.

        `last_index`: of the last slice that the reader will want.
        `may_fill`: ask the origin if no fill does. Without it, the result is None in that case.

        Raises:
            UpstreamError: the disk failed, or there are too many fills.
        """
        name, length = self.name(index), self._length(index)
        try:
            found = await self.store.open(name, length)
            if found is not None:
                return found, found.available_bytes == found.length_bytes
            coming = self._coming(index)
            if coming is None:
                found = await self.store.follow(name, length)
        except OSError as error:
            self.store.fault(error)
            raise UpstreamTruncated(detail=f"cache: {errno_name(error)}") from error
        if found is not None:
            return found, False
        # Others may have begun one meanwhile.
        fill = coming or self._coming(index)
        if fill is None:
            if not may_fill:
                return None
            fill = self._begin_fill(index, last_index)
        return fill.slice(index).acquire(), False

    def _coming(self, index: int) -> "Fill | None":
        return next((fill for fill in self._fills if fill.comes_to(index)), None)

    async def open_origin(self, first: int, last: int) -> Source:
        """Ask the origin for the slices `first` to `last`. Raises UpstreamError."""
        whole = self.version.whole
        end = min((last + 1) * self.slice_bytes, whole.total_bytes)
        rest = replace(whole, first=first * self.slice_bytes, last=end - 1)
        source = await self._ask(rest)
        if not self.version.is_in(source, rest):
            source.close()
            if source.status in _OTHER_VERSION:
                await self._outdated()
            raise UpstreamTruncated(detail=f"origin: {source.status} for a part of a cached file")
        return source

    async def missing(self, part: Selection) -> list[Wanted]:
        """The bytes that `part` asks of slices that are neither there nor being fetched.

        Nothing for a part that reaches into more than two slices: it asks for a third of them at least.
        """
        first, end, size = part.first, part.first + part.count, self.slice_bytes
        if -(-end // size) - first // size > _MOST_COUNTED:
            return []
        return [
            Wanted(self.name(index), min(end, (index + 1) * size) - max(first, index * size), self._length(index))
            for index in range(first // size, -(-end // size))
            if not await self.store.finds(self.name(index))
        ]

    def begin(self, index: int) -> Slice:
        """Register a slice that a fill will write, acquired for it."""
        return self.store.begin(self.name(index), self._length(index))

    def is_free(self, index: int) -> bool:
        """True if a slice is neither there nor being fetched."""
        return not self.store.holds(self.name(index))

    def will_want(self, index: int) -> bool:
        """True if a reader reads this slice or will come to it."""
        return any(reader.index <= index <= reader.last_index for reader in self._readers)

    async def wants(self, index: int) -> bool:
        """Wait until a reader is near this slice. False if none will come."""
        while self.will_want(index):
            if self.is_near(index):
                return True
            self._moved.clear()
            await self._moved.wait()
        return False

    def is_near(self, index: int) -> bool:
        """True if a reader is so near to this slice that it should be fetched."""
        lead = max(_LEAD_SLICES, self.lead_slices)
        return any(index - lead <= reader.index <= index for reader in self._readers)

    def count_origin(self, count_bytes: int) -> None:
        """Count bytes that came from the origin."""
        self._metrics.origin_bytes.add(by=count_bytes)

    def count_read(self, count_bytes: int, *, hit: bool) -> None:
        """Count bytes that a reader took from a slice."""
        self._metrics.read_bytes.add("hit" if hit else "fill", by=count_bytes)

    def _length(self, index: int) -> int:
        return min(self.slice_bytes, self.version.whole.total_bytes - index * self.slice_bytes)

    def _begin_fill(self, first: int, last_wanted: int) -> "Fill":
        if len(self._all_fills) >= MAX_FILLS:
            raise OriginsBusy(detail="cache: too many fills")
        last = first
        # Where readers read ahead, each request is for one slice.
        last_wanted = last_wanted if self.ahead_slices == 1 else first
        while last < min(last_wanted, first + _MOST_SLICES) and self.is_free(last + 1):
            last += 1
        fill = Fill(self, first, last)
        fill.task = asyncio.create_task(fill.run())
        for fills in (self._fills, self._all_fills):
            fills.add(fill)
        fill.task.add_done_callback(lambda _: self._all_fills.discard(fill))
        return fill

    def end(self, fill: "Fill") -> None:
        """No reader may wait for `fill` from here on."""
        self._fills.discard(fill)
        for reader in self._readers:
            reader.fill_ended()

    def _give_up(self) -> None:
        self._lonely = None
        for fill in self._fills:
            fill.task.cancel()


class Fill:
    """One request for the slices `first` to `last`, and the files that its bytes go to."""

    task: "asyncio.Task[None]"

    def __init__(self, file: CachedFile, first: int, last: int) -> None:
        self._file, self._index, self._last = file, first, last
        # The slice that is being written, and later ones that readers wait for.
        self._slices = {first: file.begin(first)}
        # Of the slices that are claimed.
        self._writers: dict[int, SliceWriter] = {}
        self._source: Source | None = None
        self._has_begun = False
        self._buffer = memoryview(bytearray(_SMALL_BYTES))

    def comes_to(self, index: int) -> bool:
        """True if this fill will write the slice soon."""
        return self._index < index <= min(self._last, self._index + _LEAD_SLICES)

    def end_if_early(self) -> None:
        """Give up if less than half of the current slice is there."""
        slice_ = self._slices.get(self._index)
        if slice_ is None or 2 * slice_.available_bytes < slice_.length_bytes:
            self.task.cancel()

    def slice(self, index: int) -> Slice:
        """A slice that this fill will write."""
        if index not in self._slices:
            self._slices[index] = self._file.begin(index)
        return self._slices[index]

    async def run(self) -> None:
        """Fetch and write. Readers of slices that do not become whole get the reason."""
        failure: UpstreamError | None = UpstreamTruncated(detail="cache: the fill ended")
        try:
            await self._fetch()
            # Slices further on that a reader opened ahead: another worker has those before them.
            failure = None
        except TakenSliceError:
            failure = None
        except OSError as error:
            self._file.store.fault(error)
            failure = UpstreamTruncated(detail=f"cache: {errno_name(error)}")
        except UpstreamError as error:
            failure = error
        except ProviderError as error:
            failure = UpstreamTruncated(detail=error.detail or error.code)
        except asyncio.CancelledError:
            pass
        finally:
            self._file.end(self)
            if self._source is not None:
                self._source.close()
            await self._abandon(failure)

    async def _fetch(self) -> None:
        await self._claim(self._index)
        source = self._source = await self._file.open_origin(self._index, self._last)
        while await self._file.wants(self._index):
            if self._index not in self._writers:
                await self._claim(self._index)
            await self._write(source, self._slices[self._index], self._writers[self._index])
            if self._index not in self._slices:
                break
        if self._index > self._last:
            source.release()

    async def _claim(self, index: int) -> None:
        """Claim a slice for this worker. Raises TakenSliceError and OSError."""
        self._writers[index] = await self._file.store.create(self._slices[index], self._file.did)

    async def _write(self, source: Source, slice_: Slice, writer: SliceWriter) -> None:
        """Write one slice and go on to the next."""
        file, store = self._file, self._file.store
        while slice_.available_bytes < slice_.length_bytes:
            left = slice_.length_bytes - slice_.available_bytes
            room = self._buffer[:left]
            # The first bytes are written at once: a reader may wait for them.
            count = await _read(source, room, gather_seconds=_GATHER_SECONDS if self._has_begun else 0.0)
            self._has_begun = True
            file.count_origin(count)
            if count == left:
                # Before anybody who has read this slice can ask for the next one, here or in another worker.
                await self._begin_next()
            await store.append(slice_, writer, room[:count])
            self._fit_buffer(count)
        try:
            await store.commit(slice_, writer)
        finally:
            del self._slices[self._index], self._writers[self._index]
            self._index += 1
            slice_.release()

    def _fit_buffer(self, count_bytes: int) -> None:
        """Choose a large buffer for an origin that fills a small one in time, and a small one for others."""
        wanted = _LARGE_BYTES if count_bytes >= _SMALL_BYTES else _SMALL_BYTES
        if len(self._buffer) != wanted:
            self._buffer = memoryview(bytearray(wanted))

    async def _begin_next(self) -> None:
        following, file = self._index + 1, self._file
        if following > self._last:
            return
        if following not in self._slices:
            if not file.is_free(following) or not (len(self._slices) > 1 or file.will_want(following)):
                return
            self.slice(following)
        if file.is_near(following):
            try:
                await self._claim(following)
            except TakenSliceError:
                await self._lose_rest()

    async def _lose_rest(self) -> None:
        """End with the current slice: another worker writes the next one."""
        for index in [index for index in self._slices if index > self._index]:
            slice_ = self._slices.pop(index)
            await self._file.store.abandon(slice_, None, None)
            slice_.release()

    async def _abandon(self, failure: UpstreamError | None) -> None:
        """Readers of slices that do not become whole get `failure`. Without one they open them anew."""
        for index, slice_ in self._slices.items():
            await self._file.store.abandon(slice_, self._writers.get(index), failure)
            slice_.release()


async def _read(source: Source, buffer: memoryview, *, gather_seconds: float) -> int:
    """Wait for bytes, and then `gather_seconds` for more until the buffer is full. Raises UpstreamError."""
    while not (count := _read_now(source, buffer)):
        await source.wait_ready()
    loop = asyncio.get_running_loop()
    end = loop.time() + gather_seconds
    # Not one long pause: the system would take a reader that sleeps for a slow one, and keep the window small.
    while count < len(buffer) and loop.time() < end:
        await asyncio.sleep(_LOOK_SECONDS)
        count += _read_now(source, buffer[count:])
    return count


def _read_now(source: Source, buffer: memoryview) -> int:
    """Read what has arrived, or some of it. Raises UpstreamError, also if the body ends before the buffer."""
    count = 0
    for _ in range(_MAX_READS):
        if count == len(buffer):
            break
        step = source.read_now(buffer[count:])
        if step is None:
            break
        if not step:
            raise UpstreamTruncated(detail="origin: a part ended early")
        count += step
    return count
