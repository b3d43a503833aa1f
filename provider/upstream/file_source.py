"""A `Source` that reads an open regular file. If the file changes meanwhile, it ends in `UpstreamTruncated`."""

import asyncio
import hashlib
import os
import socket
from datetime import UTC, datetime

from provider.errors import UpstreamTimedOut, UpstreamTruncated
from provider.override import override
from provider.upstream.disk import Disk
from provider.upstream.file_names import guess_content_type, name_in_path
from provider.upstream.ranges import select_range
from provider.upstream.source import FilePlace, Framing, Headers, Source
from provider.upstream.validators import http_date_text
from provider.upstream.wish import NO_WISH, Wish

# The end of a body is read into memory, then the file is checked, then the end is sent: if the file has changed, no
# consumer has received the whole length.
TAIL_BYTES = 4096
# What a thread reads at a time if the bytes are not in memory. It is also the memory limit of a stream.
_READ_BYTES = 256 << 10
_DEFAULT_CONTENT_TYPE = "application/octet-stream"
_YEAR_10000 = 253_402_300_800


class FileSource(Source):
    """The file behind `descriptor`, or the part that `wish` asks for. Its entity tag is a digest of the file's state.

    Args:
        disk: reads the file.
        descriptor: of a regular file. This source closes it.
        opened: the file's state when it was opened. Every later one counts as a change.
        path: percent-encoded; the file's name and type are derived from it.
        idle_timeout_seconds: longest wait for the disk.
        content: of the whole file, if it was read after `opened` and before now.
    """

    __slots__ = (
        "_ahead",
        "_descriptor",
        "_disk",
        "_end",
        "_offset",
        "_opened",
        "_reading",
        "final_url_path",
        "headers",
        "idle_timeout_seconds",
        "length_bytes",
        "status",
    )

    status: int
    headers: Headers
    idle_timeout_seconds: float
    framing: Framing = "length"
    length_bytes: int
    final_url_path: str

    def __init__(
        self,
        disk: Disk,
        descriptor: int,
        opened: os.stat_result,
        *,
        path: str,
        idle_timeout_seconds: float,
        wish: Wish = NO_WISH,
        content: bytes | None = None,
    ) -> None:
        self._disk, self._descriptor, self._opened = disk, descriptor, opened
        content_type = guess_content_type(name_in_path(path)) or _DEFAULT_CONTENT_TYPE
        fields = [("Content-Type", content_type), ("ETag", entity_tag(opened)), ("Accept-Ranges", "bytes")]
        fields += _last_modified(opened)
        part = select_range(wish.ranges if wish.version_holds(Headers(fields)) else None, opened.st_size)
        if part.status != 200:
            fields.append(("Content-Range", part.content_range))
        self.status, self.headers, self.length_bytes = part.status, Headers(fields), part.count
        self.final_url_path, self.idle_timeout_seconds = path, idle_timeout_seconds
        self._offset, self._end = part.first, part.first + part.count
        # Bytes from `_offset` on that a thread has read.
        known = content is not None and len(content) == opened.st_size
        self._ahead = memoryview(content or b"")[part.first : self._end] if known else memoryview(b"")
        self._reading: asyncio.Future[bytes] | None = None

    @override
    def expect(self, count_bytes: int) -> None:
        pass

    @property
    @override
    def ready_bytes(self) -> int:
        return len(self._ahead)

    @override
    def read_now(self, buffer: memoryview) -> int | None:
        count = min(len(buffer), self._end - self._offset)
        if not count:
            return 0
        if self._ahead:
            count = min(count, len(self._ahead))
            buffer[:count] = self._ahead[:count]
            self._ahead = self._ahead[count:]
        else:
            found = self._read_now(buffer[:count])
            if found is None:
                return None
            count = found
        self._offset += count
        self._check()
        return count

    @override
    async def wait_ready(self) -> None:
        descriptor = self._open_descriptor()
        self._reading = self._disk.read(descriptor, self._offset, min(_READ_BYTES, self._end - self._offset))
        try:
            async with asyncio.timeout(self.idle_timeout_seconds):
                data = await self._reading
        except TimeoutError as exc:
            raise UpstreamTimedOut(detail="file: the disk did not answer in time") from exc
        except OSError as exc:
            raise _unreadable() from exc
        except asyncio.CancelledError:
            if self._descriptor >= 0:
                raise
            raise UpstreamTruncated(detail="closed by us") from None
        finally:
            self._reading = None
        if not data:
            raise _changed()
        self._ahead = memoryview(data)

    @override
    async def read_into(self, buffer: memoryview) -> int:
        while (count := self.read_now(buffer)) is None:
            await self.wait_ready()
        return count

    @override
    def raw_socket(self) -> socket.socket | None:
        return None

    @override
    def raw_file(self) -> FilePlace:
        self._check()
        return FilePlace(self._descriptor, self._offset)

    @property
    @override
    def contiguous_bytes(self) -> int:
        return 0 if self._ahead else max(0, self._end - self._offset - TAIL_BYTES)

    @override
    def advance(self, count_bytes: int) -> None:
        self._offset += count_bytes

    @override
    def release(self) -> None:
        self.close()

    @override
    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
        if self._reading is not None:
            self._reading.cancel()

    def _read_now(self, buffer: memoryview) -> int | None:
        count = self._disk.read_now(self._open_descriptor(), buffer, self._offset)
        if count == 0:
            raise _changed()
        return count

    def _check(self) -> None:
        """Raise UpstreamTruncated if the file is no longer the one that the headers describe."""
        if has_changed(self._opened, os.fstat(self._open_descriptor())):
            raise _changed()

    def _open_descriptor(self) -> int:
        if self._descriptor < 0:
            raise UpstreamTruncated(detail="closed by us")
        return self._descriptor


def entity_tag(stat: os.stat_result) -> str:
    """A strong tag of a file's state. Every write changes the state, and no two files share one. It reveals nothing."""
    state = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    return f'"{hashlib.sha256(repr(state).encode()).hexdigest()[:32]}"'


def has_changed(before: os.stat_result, now: os.stat_result) -> bool:
    """True if the bytes of an open file may have changed between these states of it.

    Replacing a file by `rename` leaves the bytes of the open one, but not its number of names, nor its ctime.
    """
    if (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        return True
    return now.st_ctime_ns != before.st_ctime_ns and now.st_nlink >= before.st_nlink


def _last_modified(stat: os.stat_result) -> list[tuple[str, str]]:
    """The field, if the time is one that HTTP can write (years 1970 to 9999)."""
    if not 0 <= stat.st_mtime < _YEAR_10000:
        return []
    return [("Last-Modified", http_date_text(datetime.fromtimestamp(int(stat.st_mtime), UTC)))]


def _changed() -> UpstreamTruncated:
    return UpstreamTruncated(detail="file: it changed while it was read")


def _unreadable() -> UpstreamTruncated:
    return UpstreamTruncated(detail="file: it cannot be read")
