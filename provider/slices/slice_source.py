"""A `Source` that reads a cached file slice by slice, each from its own file, which may still grow."""

import asyncio
import socket
from collections import deque
from typing import Any, TypeVar

from provider.errors import UpstreamTimedOut, UpstreamTruncated
from provider.override import override
from provider.slices.fill import CachedFile
from provider.slices.store import Slice, errno_name
from provider.upstream.disk import Disk
from provider.upstream.ranges import Selection
from provider.upstream.source import FilePlace, Framing, Headers, Source

T = TypeVar("T")
_Opening = asyncio.Task[tuple[Slice, bool] | None]

# Bytes that a thread reads at a time if they are not in memory. It is also the memory limit of a stream.
_READ_BYTES = 256 << 10


class SliceSource(Source):
    """The bytes `part` of `file`.

    Args:
        disk: reads the files.
        idle_timeout_seconds: longest wait for the next bytes.
    """

    __slots__ = (
        "_ahead", "_closed", "_disk", "_end", "_file", "_hit", "_openings", "_position", "_slice",
        "_slice_from", "_waited_index", "_waiting", "cached_bytes", "headers", "idle_timeout_seconds", "index",
        "last_index", "length_bytes", "status",
    )  # fmt: skip

    status: int
    headers: Headers
    cached_bytes: int
    idle_timeout_seconds: float
    framing: Framing = "length"
    length_bytes: int
    final_url_path = ""

    def __init__(self, file: CachedFile, part: Selection, *, disk: Disk, idle_timeout_seconds: float) -> None:
        self._file, self._disk = file, disk
        fields = list(file.version.headers)
        if part.status != 200:
            fields.append(("Content-Range", part.content_range))
        self.status, self.headers, self.length_bytes = part.status, Headers(fields), part.count
        self.idle_timeout_seconds = idle_timeout_seconds
        self._position, self._end = part.first, part.first + part.count
        self.index = self._position // file.slice_bytes
        self.last_index = max(self._end - 1, 0) // file.slice_bytes
        self._slice: Slice | None = None
        self._slice_from = self._position
        # The slice was whole when it was opened.
        self._hit = False
        self.cached_bytes = 0
        # Bytes from `_position` on that a thread has read.
        self._ahead = memoryview(b"")
        self._waiting: asyncio.Future[Any] | None = None
        # Of the slices after the current one, in order.
        self._openings: deque[_Opening] = deque()
        # The last slice that came slower than it was read.
        self._waited_index = self.index
        self._closed = False
        file.join(self)

    @override
    def expect(self, count_bytes: int) -> None:
        pass

    @property
    @override
    def ready_bytes(self) -> int:
        return len(self._ahead)

    @override
    def read_now(self, buffer: memoryview) -> int | None:
        self._require_open()
        if self._position == self._end:
            return 0
        if self._ahead:
            count = min(len(buffer), len(self._ahead))
            buffer[:count] = self._ahead[:count]
            self._ahead = self._ahead[count:]
        else:
            found = self._from_memory(buffer)
            if found is None:
                return None
            count = found
        self.advance(count)
        return count

    @override
    async def wait_ready(self) -> None:
        self._require_open()
        if self._position == self._end:
            return
        slice_ = self._slice if self._slice is not None else await self._open_slice()
        while slice_.available_bytes <= self._offset:
            self._waited_index = self.index
            if slice_.is_lost:
                slice_ = await self._open_anew()
            else:
                await self._wait_for(slice_.growth())
        if not self._ahead and not self._holds(slice_):
            await self._read_ahead(slice_)

    @override
    async def read_into(self, buffer: memoryview) -> int:
        while (count := self.read_now(buffer)) is None:
            await self.wait_ready()
        return count

    @override
    def raw_socket(self) -> socket.socket | None:
        return None

    @override
    def raw_file(self) -> FilePlace | None:
        slice_ = self._slice
        return FilePlace(slice_.descriptor, self._offset) if slice_ is not None and slice_.descriptor >= 0 else None

    @property
    @override
    def contiguous_bytes(self) -> int:
        return 0 if self._ahead or self._slice is None else self._available(self._slice)

    @override
    def advance(self, count_bytes: int) -> None:
        self._position += count_bytes
        if self._slice is not None and self._offset >= self._slice.length_bytes:
            self._leave_slice()

    @override
    def release(self) -> None:
        self.close()

    @override
    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._leave_slice()
        self._file.leave(self, early=self._position < self._end)
        if self._waiting is not None:
            self._waiting.cancel()
        while self._openings:
            _release(self._openings.pop())

    @property
    def _offset(self) -> int:
        """Position in the current slice."""
        return self._position - self.index * self._file.slice_bytes

    def _available(self, slice_: Slice) -> int:
        """Bytes of the current slice that can be read now and belong to this body."""
        return min(slice_.available_bytes - self._offset, self._end - self._position)

    async def _open_anew(self) -> Slice:
        """Open the current slice once more, after its writer was lost."""
        self._leave_slice()
        return await self._enter_slice(self._begin_opening(self.index))

    async def _enter_slice(self, opening: _Opening) -> Slice:
        try:
            found = await self._wait_for(opening)
        except BaseException:
            _release(opening)
            raise
        if found is None:
            return await self._enter_slice(self._begin_opening(self.index))
        self._slice, self._hit = found
        self._slice_from = self._position
        return self._slice

    async def _open_slice(self) -> Slice:
        """Open the slice at the position, and begin to open those after it, so that no reader waits between them."""
        self.index = self._position // self._file.slice_bytes
        self._file.moved()
        opening = self._openings.popleft() if self._openings else None
        if opening is None or _has_failed(opening):
            slice_ = await self._enter_slice(self._begin_opening(self.index))
        else:
            slice_ = await self._enter_slice(opening)
        self._open_ahead()
        return slice_

    def fill_ended(self) -> None:
        """Fetch another slice in place of the one that has come, if this body is read ahead."""
        if self._openings:
            self._open_ahead()

    def _open_ahead(self) -> None:
        ahead, lead = self._file.ahead_slices, self._file.lead_slices
        if self.index - self._waited_index > lead:
            # The consumer is slower than the origin.
            ahead = lead = 1
        coming = sum(not _is_whole(opening) for opening in self._openings)
        while coming < ahead and len(self._openings) < min(lead, self.last_index - self.index):
            self._openings.append(self._begin_opening(self.index + 1 + len(self._openings)))
            coming += 1

    def _begin_opening(self, index: int) -> _Opening:
        # A slice that is not read yet may be one that another worker is about to come to.
        may_fill = index == self.index or self._file.ahead_slices > 1
        return asyncio.ensure_future(self._file.slice(index, self.last_index, may_fill=may_fill))

    def _leave_slice(self) -> None:
        slice_, self._slice = self._slice, None
        if slice_ is not None:
            count = self._position - self._slice_from
            self._file.count_read(count, hit=self._hit)
            if self._hit:
                self.cached_bytes += count
            slice_.release()

    def _holds(self, slice_: Slice) -> bool:
        try:
            return self._disk.holds(slice_.descriptor, self._offset, 1)
        except OSError as error:
            raise self._unreadable(error) from error

    def _from_memory(self, buffer: memoryview) -> int | None:
        slice_ = self._slice
        count = min(len(buffer), self._available(slice_)) if slice_ is not None else 0
        if slice_ is None or not count:
            return None
        try:
            found = self._disk.read_now(slice_.descriptor, buffer[:count], self._offset)
        except OSError as error:
            raise self._unreadable(error) from error
        if found == 0:
            raise UpstreamTruncated(detail="cache: a slice was cut")
        return found

    async def _read_ahead(self, slice_: Slice) -> None:
        """Read from the disk in a thread."""
        count = min(_READ_BYTES, self._available(slice_))
        try:
            data = await self._wait_for(self._disk.read(slice_.descriptor, self._offset, count))
        except OSError as error:
            raise self._unreadable(error) from error
        if not data:
            raise UpstreamTruncated(detail="cache: a slice was cut")
        self._ahead = memoryview(data)

    def _unreadable(self, error: OSError) -> UpstreamTruncated:
        self._file.store.fault(error)
        return UpstreamTruncated(detail=f"cache: {errno_name(error)}")

    async def _wait_for(self, future: "asyncio.Future[T]") -> T:
        """Wait within the idle limit, and until this source is closed."""
        self._waiting = future
        try:
            async with asyncio.timeout(self.idle_timeout_seconds):
                result = await future
        except TimeoutError:
            raise UpstreamTimedOut(detail="cache: nothing came within the idle limit") from None
        except asyncio.CancelledError:
            if self._closed:
                raise _closed_by_us() from None
            raise
        finally:
            self._waiting = None
        # It may have been closed after the future ended and before this task went on.
        self._require_open()
        return result

    def _require_open(self) -> None:
        if self._closed:
            raise _closed_by_us()


def _has_failed(opening: _Opening) -> bool:
    return opening.done() and (opening.cancelled() or opening.exception() is not None)


def _is_whole(opening: _Opening) -> bool:
    """True if the slice has all of its bytes."""
    found = opening.result() if opening.done() and not _has_failed(opening) else None
    return found is not None and found[0].available_bytes == found[0].length_bytes


def _release(opening: _Opening) -> None:
    """Release the slice that `opening` brings, if it brings one."""

    def release(ended: _Opening) -> None:
        found = None if ended.cancelled() or ended.exception() is not None else ended.result()
        if found is not None:
            found[0].release()

    opening.cancel()
    opening.add_done_callback(release)


def _closed_by_us() -> UpstreamTruncated:
    return UpstreamTruncated(detail="closed by us")
