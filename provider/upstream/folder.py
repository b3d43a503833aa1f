"""Opens files beneath one folder of this host, whatever names strangers choose.

Each step of a path is opened relative to the one before, without following links (openat(2), O_NOFOLLOW). Only regular
files are opened. Opening may wait for a disk, so threads do it.
"""

import asyncio
import errno
import os
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import quote

from provider.errors import UpstreamError, UpstreamRefused, UpstreamTimedOut, UpstreamUnreachable
from provider.upstream.disk import Disk
from provider.upstream.file_source import FileSource
from provider.upstream.wish import Wish

# Names that wait for a folder that hangs, such as NFS without its server, hold these threads of this folder only.
_OPENERS = 4
# Files up to this size are read when they are opened, which saves their consumers a second wait.
_READ_AT_ONCE_BYTES = 64 << 10

# The path leads to no file that may be served. All of them are one answer: names in the folder are nobody's business.
_NO_FILE = frozenset(
    (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.EISDIR, errno.ENXIO)
)
_STEP = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", 0)
# A FIFO would wait for a writer, a terminal would become ours.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class NotAFile(OSError):
    """The name belongs to a folder, link, device, FIFO or socket."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """A descriptor, the file's state, and the whole content of a small file."""

    descriptor: int
    state: os.stat_result
    content: bytes | None


class Folder:
    """The files beneath `root`, which may itself be reached over links.

    Args:
        name: for the log.
        disk: reads the files.
        open_timeout_seconds, idle_timeout_seconds: longest wait for the disk, to open and to read.
    """

    def __init__(
        self, root: str, *, name: str, disk: Disk, open_timeout_seconds: float, idle_timeout_seconds: float
    ) -> None:
        self._root, self._name, self._disk = root, name, disk
        self._open_timeout_seconds, self._idle_timeout_seconds = open_timeout_seconds, idle_timeout_seconds
        self._threads = ThreadPoolExecutor(_OPENERS, thread_name_prefix=f"folder-{name}")

    def close(self) -> None:
        """Open no more files. Does not wait."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def open(self, steps: Sequence[str], wish: Wish) -> FileSource:
        """Open the file at `steps`: names of folders and of the file, none of them empty, `.`, `..` or with `/`.

        Raises:
            UpstreamRefused: there is no such regular file, or it may not be read.
            UpstreamTimedOut, UpstreamUnreachable: the disk does not answer, or it answers with a fault.
        """
        opened = await self._opened(steps)
        return FileSource(
            self._disk,
            opened.descriptor,
            opened.state,
            path="/" + quote("/".join(steps)),
            idle_timeout_seconds=self._idle_timeout_seconds,
            wish=wish,
            content=opened.content,
        )

    async def _opened(self, steps: Sequence[str]) -> _Opened:
        opening = asyncio.get_running_loop().run_in_executor(self._threads, _open, self._root, tuple(steps))
        try:
            async with asyncio.timeout(self._open_timeout_seconds):
                return await asyncio.shield(opening)
        except TimeoutError as exc:
            opening.add_done_callback(_close_unwanted)
            raise UpstreamTimedOut(detail=f"source {self._name}: the disk did not answer in time") from exc
        except asyncio.CancelledError:
            opening.add_done_callback(_close_unwanted)
            raise
        except OSError as exc:
            raise self._failure(exc) from exc

    def _failure(self, error: OSError) -> UpstreamError:
        """Without the path, which the log does not show."""
        if isinstance(error, NotAFile):
            return UpstreamRefused(detail=f"source {self._name}: not a regular file")
        why = f"source {self._name}: {errno.errorcode.get(error.errno or 0, 'OSError')}"
        return UpstreamRefused(detail=why) if error.errno in _NO_FILE else UpstreamUnreachable(detail=why)


def _open(root: str, steps: tuple[str, ...]) -> _Opened:
    """Open the file at `steps` beneath `root`. Raises OSError."""
    descriptor = os.open(root, _STEP & ~os.O_NOFOLLOW)
    try:
        for step in steps[:-1]:
            inner = os.open(step, _STEP, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        return _open_regular(steps[-1], descriptor)
    finally:
        os.close(descriptor)


def _open_regular(name: str, folder: int) -> _Opened:
    # Opening some devices does something already, so look first.
    if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        raise NotAFile
    descriptor = os.open(name, _FILE, dir_fd=folder)
    try:
        found = os.fstat(descriptor)
        # Another file may have taken the name in between.
        if not stat.S_ISREG(found.st_mode):
            raise NotAFile
        content = os.pread(descriptor, _READ_AT_ONCE_BYTES, 0) if found.st_size <= _READ_AT_ONCE_BYTES else None
    except BaseException:
        os.close(descriptor)
        raise
    return _Opened(descriptor, found, content)


def _close_unwanted(opening: "asyncio.Future[_Opened]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        os.close(opening.result().descriptor)
