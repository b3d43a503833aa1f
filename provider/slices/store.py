"""The slices that are on disk or being written: opening, writing, and making room. Blocking calls run in few threads.

If the disk fails, the store pauses for a while, and files are served without the cache.
"""

import asyncio
import errno
import logging
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TypeVar

from provider.errors import UpstreamError, UpstreamTruncated
from provider.observability.metrics.groups import Slices
from provider.slices.directory import DamagedSliceError, Found, SliceDirectory, SliceWriter
from provider.slices.eviction import Eviction

log = logging.getLogger("provider.slices")
Result = TypeVar("Result")

# More threads do not make a disk faster.
_THREADS = 4
_PAUSE_SECONDS = 30.0
# Other workers, and `provider cache purge`, change the directory too.
_RESCAN_SECONDS = 30.0
_SHORTEST_RESCAN_SECONDS = 1.0
# A call that takes longer is a disk that hangs.
_HANGS_SECONDS = 20.0
# A slice is verified when it is first opened, and again when it is opened after this time.
_VERIFIED_SECONDS = 86_400.0
# Each slice takes about 400 bytes of memory, however small it is.
_MAX_SLICES = 200_000


class Slice:
    """An open slice: whole, or growing while a fill writes it. Its readers share one descriptor.

    Attributes:
        name: its name in the directory.
        length_bytes: its length when it is whole.
        available_bytes: how many bytes can be read.
        descriptor: of its file, where its bytes begin at 0; -1 before the first byte is available.
    """

    __slots__ = ("_closed", "_failure", "_users", "_waiters", "available_bytes", "descriptor", "length_bytes", "name")

    def __init__(self, name: str, length_bytes: int, closed: "Callable[[Slice], None]") -> None:
        self.name, self.length_bytes = name, length_bytes
        self.available_bytes = 0
        self.descriptor = -1
        self._closed = closed
        self._failure: UpstreamError | None = None
        self._users = 0
        self._waiters: list[asyncio.Future[None]] = []

    def acquire(self) -> "Slice":
        """Count one more user, who must call `release`."""
        self._users += 1
        return self

    def release(self) -> None:
        """Count one user less. The last one closes the descriptor."""
        self._users -= 1
        if not self._users:
            if self.descriptor >= 0:
                os.close(self.descriptor)
                self.descriptor = -1
            self._closed(self)

    def grow(self, count_bytes: int) -> None:
        """Announce that `count_bytes` more can be read."""
        self.available_bytes += count_bytes
        self._wake()

    def fail(self, failure: UpstreamError) -> None:
        """Announce that no more bytes will come. Those that are available can still be read."""
        self._failure = failure
        self._wake()

    def growth(self) -> "asyncio.Future[None]":
        """A future that ends when the slice grows or fails. Raises the failure of the fill, if it has failed."""
        if self._failure is not None:
            # A new one each time: one exception in many tasks collects the frames of all of them.
            raise type(self._failure)(detail=self._failure.detail)
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        return waiter

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


class SliceStore:
    """Opens, writes and evicts slices. One event loop owns a store; the stores of several workers share a directory."""

    def __init__(self, directory: SliceDirectory, *, max_bytes: int, metrics: Slices) -> None:
        self._directory = directory
        self._max_bytes = self._budget_bytes = max_bytes
        self._metrics = metrics
        self._index = Eviction()
        self._verified: dict[str, float] = {}
        # Slices that somebody reads or writes.
        self._open: dict[str, Slice] = {}
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="slices")
        self._paused_until = 0.0
        self._is_failing = False
        self._rescans: asyncio.Task[None] | None = None
        # A slice was missing that should be there.
        self._is_behind = asyncio.Event()

    @property
    def secret(self) -> bytes:
        """The secret from which names are derived."""
        return self._directory.secret

    @property
    def is_usable(self) -> bool:
        """False while the store pauses after a fault of the disk."""
        return _now() >= self._paused_until

    @property
    def is_failing(self) -> bool:
        """True from a fault of the disk on until something was written again."""
        return self._is_failing

    @property
    def bytes(self) -> int:
        """Size of all slices that this store knows of."""
        return self._index.bytes

    def __len__(self) -> int:
        """Number of slices that this store knows of."""
        return len(self._index)

    async def start(self) -> None:
        """Index what is on disk. A fault of the disk pauses the store."""
        try:
            self._merge(await self._run(self._directory.prepare), proven=True)
            await self._trim()
        except OSError as error:
            self.fault(error)
        self._rescans = asyncio.create_task(self._rescan())

    async def close(self) -> None:
        """Stop. The fills must have ended."""
        if self._rescans is not None:
            self._rescans.cancel()
            await asyncio.wait({self._rescans})
        self._threads.shutdown()

    def holds(self, name: str) -> bool:
        """True if this slice is known to be on disk, or is being written. Does not look at the disk."""
        return name in self._index or name in self._open

    async def open(self, name: str, length_bytes: int) -> Slice | None:
        """The slice, acquired for one reader; None if there is none. Raises OSError."""
        found = self._open.get(name)
        if found is None:
            found = await self._from_disk(name, length_bytes)
            if found is None:
                return None
        self._index.use(name)
        return found.acquire()

    def begin(self, name: str, length_bytes: int) -> Slice:
        """Register a slice that a fill will write, acquired for it. Readers may wait for its bytes from now on."""
        slice_ = Slice(name, length_bytes, self._closed)
        self._open[name] = slice_
        return slice_.acquire()

    async def create(self, slice_: Slice, did: str) -> SliceWriter:
        """Begin the file of `slice_`. Raises OSError."""
        create = partial(self._directory.create, slice_.name, slice_.length_bytes, did)
        writer = await self._run(create, undo=_close_writer)
        slice_.descriptor = writer.descriptor
        return writer

    async def append(self, slice_: Slice, writer: SliceWriter, data: memoryview) -> None:
        """Write the next bytes. Readers may have them when this returns. Raises OSError."""
        await self._run(partial(writer.append, data))
        slice_.grow(len(data))

    async def commit(self, slice_: Slice, writer: SliceWriter) -> None:
        """Keep a slice that is whole, and evict others if there are too many. Raises OSError."""
        try:
            file_bytes = await self._run(writer.commit)
        except OSError:
            with suppress(OSError):
                await self._run(writer.drop)
            raise
        self._index.add(slice_.name, file_bytes)
        self._verified[slice_.name] = _now()
        self._works()
        await self._trim()

    async def abandon(self, slice_: Slice, writer: SliceWriter | None, failure: UpstreamError) -> None:
        """End a slice that will not become whole. Its readers get `failure` once they have read what is there."""
        self._forget(slice_)
        slice_.fail(failure)
        if writer is not None:
            try:
                await self._run(writer.drop)
            except OSError as error:
                self.fault(error)

    async def drop(self, names: Iterable[str]) -> None:
        """Remove slices of a version that is no longer current."""
        known = [name for name in names if name in self._index]
        try:
            await self._remove(known)
        except OSError as error:
            self.fault(error)

    def fault(self, error: OSError) -> None:
        """Pause after a fault of the disk. It is logged once per outage."""
        self._paused_until = _now() + _PAUSE_SECONDS
        self._metrics.errors.add("disk")
        if not self._is_failing:
            self._is_failing = True
            log.warning("slice cache paused: %s; files are served without it", errno_name(error))

    def _works(self) -> None:
        if self._is_failing:
            self._is_failing, self._paused_until = False, 0.0
            log.info("slice cache works again")

    async def _from_disk(self, name: str, length_bytes: int) -> Slice | None:
        check = _now() - self._verified.get(name, -_VERIFIED_SECONDS) >= _VERIFIED_SECONDS
        try:
            open_ = partial(self._directory.open, name, length_bytes, check=check)
            found = await self._run(open_, undo=_close_found)
        except DamagedSliceError:
            self._forget_name(name)
            self._metrics.errors.add("damaged")
            log.warning("a slice of the cache was damaged; it is fetched again")
            return self._open.get(name)
        if found is None:
            if name in self._index:
                self._is_behind.set()
                self._forget_name(name)
            return self._open.get(name)
        descriptor, file_bytes = found
        if check:
            self._verified[name] = _now()
        if name not in self._index:
            # Another worker wrote it.
            self._index.add(name, file_bytes)
        other = self._open.get(name)
        if other is not None:
            # Somebody else was faster.
            os.close(descriptor)
            return other
        slice_ = Slice(name, length_bytes, self._closed)
        slice_.descriptor, slice_.available_bytes = descriptor, length_bytes
        self._open[name] = slice_
        return slice_

    def _closed(self, slice_: Slice) -> None:
        self._forget(slice_)

    def _forget(self, slice_: Slice) -> None:
        if self._open.get(slice_.name) is slice_:
            del self._open[slice_.name]

    def _forget_name(self, name: str) -> None:
        self._index.remove(name)
        self._verified.pop(name, None)

    async def _trim(self) -> None:
        """Evict until the slices fit. Slices in use stay. Raises OSError."""
        room = await self._run(self._directory.room_bytes)
        self._budget_bytes = min(self._max_bytes, self._index.bytes + room)
        victims = []
        while self._index.bytes > self._budget_bytes or len(self._index) > _MAX_SLICES:
            name = self._index.evict(self._open.__contains__)
            if name is None:
                break
            victims.append(name)
        self._metrics.evictions.add(by=len(victims))
        await self._remove(victims)

    async def _remove(self, names: list[str]) -> None:
        for name in names:
            self._forget_name(name)
        if names:
            await self._run(partial(self._directory.remove, *names))

    async def _rescan(self) -> None:
        """Follow what others do in the directory: other workers, and `provider cache purge`."""
        while True:
            await asyncio.sleep(_SHORTEST_RESCAN_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(_RESCAN_SECONDS):
                    await self._is_behind.wait()
            self._is_behind.clear()
            try:
                if self.is_failing:
                    await self._run(self._directory.try_write)
                    self._works()
                self._merge(await self._run(self._directory.scan))
                await self._trim()
            except OSError as error:
                self.fault(error)

    def _merge(self, found: list[Found], *, proven: bool = False) -> None:
        names = {item.name for item in found}
        for name in self._index:
            if name not in names and name not in self._open:
                self._forget_name(name)
        for item in found:
            if item.name not in self._index:
                self._index.add(item.name, item.file_bytes, proven=proven)

    async def _run(self, work: Callable[[], Result], *, undo: Callable[[Result], object] | None = None) -> Result:
        """Run `work` in a thread. If the caller is cancelled, this waits for its end and then calls `undo`."""
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._threads, work)
        watch = loop.call_later(_HANGS_SECONDS, self._hang)
        running.add_done_callback(lambda _: watch.cancel())
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            # A thread must not write to a descriptor that its owner has closed.
            while not running.done():
                # A second cancellation changes nothing.
                with suppress(asyncio.CancelledError):
                    await asyncio.wait({running})
            if undo is not None and running.exception() is None:
                undo(running.result())
            raise

    def _hang(self) -> None:
        """Pause, and send readers to the origin. The thread itself can only be waited for."""
        self.fault(OSError(errno.ETIMEDOUT, "the disk hangs"))
        for slice_ in tuple(self._open.values()):
            if slice_.available_bytes < slice_.length_bytes:
                self._forget(slice_)
                slice_.fail(UpstreamTruncated(detail="cache: the disk hangs"))


def _close_found(found: tuple[int, int] | None) -> None:
    if found is not None:
        os.close(found[0])


def _close_writer(writer: SliceWriter) -> None:
    os.close(writer.descriptor)
    with suppress(OSError):
        writer.drop()


def errno_name(error: OSError) -> str:
    """Name of the fault, such as ENOSPC, without any path."""
    return errno.errorcode.get(error.errno or 0, "unknown fault")


def _now() -> float:
    return asyncio.get_running_loop().time()
