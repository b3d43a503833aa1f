"""The slices that are on disk or being written, by this worker or another: opening, writing, and making room.

Blocking calls run in few threads.

If the disk fails, the store pauses for a while, and files are served without the cache.
"""

import asyncio
import errno
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TypeVar

from provider.errors import UpstreamError, UpstreamTruncated
from provider.observability.metrics.traffic import Slices
from provider.slices.directory import DamagedSliceError, FileState, Found, SliceDirectory, SliceWriter, has_writer
from provider.slices.eviction import Eviction

log = logging.getLogger("provider.slices")
Result = TypeVar("Result")

# More threads do not make a disk faster. Work that waits for a slow disk, verifying and writing, is not in the way of
# opening slices that were verified.
_THREADS = 4
# Slices up to this size are verified where others are opened.
_SMALL_BYTES = 256 << 10
_PAUSE_SECONDS = 30.0
# Other workers, and `provider cache purge`, change the directory too.
_RESCAN_SECONDS = 30.0
_SHORTEST_RESCAN_SECONDS = 1.0
# A disk hangs if it ends no call of one kind for this long.
_HANGS_SECONDS = 20.0
# A slice is verified when it is first opened, and again when it is opened after this time.
_VERIFIED_SECONDS = 86_400.0
# How often a slice that another worker writes is looked at, and when that worker is given up.
_FOLLOW_SECONDS = 0.01
_STALLED_SECONDS = 5.0
# Each slice takes about 400 bytes of memory, however small it is.
_MAX_SLICES = 200_000


class Slice:
    """An open slice: whole, or growing while a fill writes it. Its readers share one descriptor.

    Attributes:
        name: its name in the directory.
        length_bytes: its length when it is whole.
        available_bytes: how many bytes can be read.
        descriptor: of its file, where its bytes begin at 0; -1 before the first byte is available.
        is_lost: no more bytes will come, but they may if the slice is opened anew.
    """

    __slots__ = (
        "_closed", "_failure", "_users", "_waiters", "available_bytes", "descriptor", "is_lost", "length_bytes",
        "name",
    )  # fmt: skip

    def __init__(self, name: str, length_bytes: int, closed: "Callable[[Slice], None]") -> None:
        self.name, self.length_bytes = name, length_bytes
        self.available_bytes = 0
        self.descriptor = -1
        self.is_lost = False
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

    def lose(self) -> None:
        """Announce that its writer did not write it. Readers that wait open it anew."""
        self.is_lost = True
        self._wake()

    @property
    def is_used(self) -> bool:
        """True while it has a user."""
        return self._users > 0

    def growth(self) -> "asyncio.Future[None]":
        """A future that ends when the slice grows or is lost. Raises the failure of the fill, if there was one."""
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
        # When, and in which state of the file.
        self._verified: dict[str, tuple[float, FileState]] = {}
        # Slices that somebody reads or writes.
        self._open: dict[str, Slice] = {}
        # Slices whose writers in other workers have stalled.
        self._stalled: set[str] = set()
        self._followers: set[asyncio.Task[None]] = set()
        self._opening, self._verifying, self._writing = (
            ThreadPoolExecutor(_THREADS, thread_name_prefix=f"slices-{work}") for work in ("open", "verify", "write")
        )
        # When a call of each kind ended last.
        self._ended_at: dict[ThreadPoolExecutor, float] = {}
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
        """True from a fault of the disk until the next successful write."""
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
        running = self._followers if self._rescans is None else {self._rescans, *self._followers}
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
        for threads in (self._opening, self._verifying, self._writing):
            threads.shutdown()

    def holds(self, name: str) -> bool:
        """True if this slice is known to be on disk, or is being written. Does not look at the disk."""
        return name in self._index or name in self._open

    async def finds(self, name: str) -> bool:
        """True if this slice is on disk, or being written, by any worker."""
        return self.holds(name) or await self._run(partial(self._directory.has, name))

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

    async def follow(self, name: str, length_bytes: int) -> Slice | None:
        """The slice that another worker writes now, acquired for one reader; None if nobody does. Raises OSError."""
        if name in self._stalled:
            return None
        descriptor = await self._run(partial(self._directory.follow, name), undo=_close_descriptor)
        other = self._open.get(name)
        if other is not None or descriptor is None:
            _close_descriptor(descriptor)
            return None if other is None else other.acquire()
        slice_ = self.begin(name, length_bytes)
        slice_.descriptor = descriptor
        follower = asyncio.create_task(self._follow(slice_))
        self._followers.add(follower)
        follower.add_done_callback(self._followers.discard)
        return slice_

    async def _follow(self, slice_: Slice) -> None:
        """Announce bytes of another worker until the slice is whole or unused, or that worker is gone or stalled."""
        grown_at = _now()
        # A reader that leaves closes the descriptor.
        while slice_.is_used and slice_.available_bytes < slice_.length_bytes:
            try:
                # Before the size is looked at: a writer ends after its last byte.
                is_written = has_writer(slice_.descriptor)
                state = os.fstat(slice_.descriptor)
            except OSError as error:
                self.fault(error)
                is_written, state = False, None
            count = 0 if state is None else min(state.st_size, slice_.length_bytes) - slice_.available_bytes
            is_stalled = _now() - grown_at >= _STALLED_SECONDS
            if count > 0:
                slice_.grow(count)
                grown_at = _now()
            elif not is_written or state is None or not state.st_nlink or is_stalled:
                if is_stalled:
                    self._stalled.add(slice_.name)
                self._forget(slice_)
                slice_.lose()
                return
            await asyncio.sleep(_FOLLOW_SECONDS)
        if slice_.available_bytes == slice_.length_bytes and slice_.name not in self._index:
            self._index.add(slice_.name, slice_.length_bytes)

    async def create(self, slice_: Slice, did: str) -> SliceWriter:
        """Begin the file of `slice_`. Raises TakenSliceError and OSError."""
        claim = slice_.name not in self._stalled
        create = partial(self._directory.create, slice_.name, slice_.length_bytes, did, claim=claim)
        writer = await self._run(create, undo=_close_writer, threads=self._writing)
        slice_.descriptor = writer.descriptor
        return writer

    async def append(self, slice_: Slice, writer: SliceWriter, data: memoryview) -> None:
        """Write the next bytes. Readers may have them when this returns. Raises OSError."""
        await self._run(partial(writer.append, data), threads=self._writing)
        slice_.grow(len(data))

    async def commit(self, slice_: Slice, writer: SliceWriter) -> None:
        """Keep a slice that is whole, and evict others if there are too many. Raises OSError."""
        try:
            state = await self._run(writer.commit, threads=self._writing)
        except OSError:
            with suppress(OSError):
                await self._run(writer.drop, threads=self._writing)
            raise
        self._index.add(slice_.name, state.file_bytes)
        self._stalled.discard(slice_.name)
        self._verified[slice_.name] = _now(), state
        self._works()
        await self._trim()

    async def abandon(self, slice_: Slice, writer: SliceWriter | None, failure: UpstreamError | None) -> None:
        """End a slice that will not become whole. Its readers get `failure` after the bytes that are there.

        Without a failure they open it anew.
        """
        self._forget(slice_)
        self._stalled.discard(slice_.name)
        if failure is None:
            slice_.lose()
        else:
            slice_.fail(failure)
        if writer is not None:
            try:
                await self._run(writer.drop, threads=self._writing)
            except OSError as error:
                self.fault(error)

    async def drop(self, prefix: str, count: int) -> None:
        """Remove the `count` slices of an outdated version."""
        # An origin states what length it likes, so nothing here may take as long as that.
        if count <= len(self._index):
            known = [name for index in range(count) if (name := f"{prefix}-{index}") in self._index]
        else:
            known = [name for name in self._index if name.startswith(f"{prefix}-")]
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
        verified_at, checked = self._verified.get(name, (-_VERIFIED_SECONDS, None))
        if _now() - verified_at >= _VERIFIED_SECONDS:
            checked = None
        threads = self._opening if checked is not None or length_bytes <= _SMALL_BYTES else self._verifying
        try:
            open_ = partial(self._directory.open, name, length_bytes, checked=checked)
            found = await self._run(open_, undo=_close_found, threads=threads)
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
        descriptor, state = found
        if state != checked:
            self._verified[name] = _now(), state
        if name not in self._index:
            # Another worker wrote it.
            self._index.add(name, state.file_bytes)
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
        """Follow changes in the directory by other workers and `provider cache purge`."""
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

    async def _run(
        self,
        work: Callable[[], Result],
        *,
        undo: Callable[[Result], object] | None = None,
        threads: ThreadPoolExecutor | None = None,
    ) -> Result:
        """Run `work` in a thread. If the caller is cancelled, this waits for its end and then calls `undo`."""
        threads = threads or self._opening
        running = asyncio.get_running_loop().run_in_executor(threads, work)
        self._watch(running, threads)
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

    def _watch(self, running: "asyncio.Future[Result]", threads: ThreadPoolExecutor) -> None:
        """Call `_hang` if neither `running` nor the calls before it end."""
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle

        def look() -> None:
            nonlocal timer
            patience = self._ended_at.get(threads, 0.0) + _HANGS_SECONDS - _now()
            if patience > 0:
                timer = loop.call_later(patience, look)
            else:
                self._hang()

        def ended(_: "asyncio.Future[Result]") -> None:
            timer.cancel()
            self._ended_at[threads] = _now()

        timer = loop.call_later(_HANGS_SECONDS, look)
        running.add_done_callback(ended)

    def _hang(self) -> None:
        """Pause, and send readers to the origin. The thread itself can only be waited for."""
        self.fault(OSError(errno.ETIMEDOUT, "the disk hangs"))
        for slice_ in tuple(self._open.values()):
            if slice_.available_bytes < slice_.length_bytes:
                self._forget(slice_)
                slice_.fail(UpstreamTruncated(detail="cache: the disk hangs"))


def _close_found(found: tuple[int, FileState] | None) -> None:
    if found is not None:
        os.close(found[0])


def _close_descriptor(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)


def _close_writer(writer: SliceWriter) -> None:
    with suppress(OSError):
        writer.close()


def errno_name(error: OSError) -> str:
    """Name of the fault, such as ENOSPC, without any path."""
    return errno.errorcode.get(error.errno or 0, "unknown fault")


def _now() -> float:
    return asyncio.get_running_loop().time()
