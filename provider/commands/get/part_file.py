"""The unfinished file on disk: `NAME.part`, and `NAME.part.json`, which says what of it is there.

The note never claims a byte that a power loss could take: the data is on disk before a note is written. A file gets its
final name only when it is whole.
"""

import asyncio
import contextlib
import errno
import fcntl
import math
import os
import threading
import time
from pathlib import Path
from types import TracebackType

import orjson

from provider.commands.get.failures import GetFailed, TargetExists
from provider.commands.get.names import NEW_NOTE_SUFFIX, NOTE_SUFFIX, PART_SUFFIX
from provider.commands.get.plan import Facts, Saved, Span, added, resumable, total

SAVE_SECONDS = 2.0
_MAX_NOTE_BYTES = 16 << 20
# A file system without hard links says one of these.
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


class PartFile:
    """The unfinished file of `target`, locked while it is open.

    `source` names what is downloaded: bytes of another dataset with the same file name are not taken over.
    Raises GetFailed if another process downloads the same file.
    """

    def __init__(self, target: Path, source: str) -> None:
        self.target = target
        self.done: tuple[Span, ...] = ()
        self._source = source
        self._part = target.with_name(target.name + PART_SUFFIX)
        self._note = target.with_name(target.name + NOTE_SUFFIX)
        self._new_note = target.with_name(target.name + NEW_NOTE_SUFFIX)
        self._facts: Facts | None = None
        self._saved_at = -math.inf
        self._is_saving = False
        # A save that was cancelled may still run in its thread: its note must not be taken for that of a later version.
        self._lock = threading.Lock()
        self._began = 0
        self._file = _locked(self._part)

    def __enter__(self) -> "PartFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        try:
            if self._file >= 0:
                self._leave()
        finally:
            self._close()

    @property
    def done_bytes(self) -> int:
        """Bytes that are there."""
        return total(self.done)

    def begin(self, facts: Facts) -> int:
        """Prepare for this version. Returns the number of bytes that are there already; others are dropped."""
        size = os.fstat(self._file).st_size
        with self._lock:
            self._began += 1
            self._facts = facts
            self.done = resumable(_read_note(self._note), self._source, facts, size)
            if not self.done:
                self._drop()
        if facts.can_resume and facts.length is not None:
            self._check_space(facts.length)
            os.ftruncate(self._file, facts.length)
        return self.done_bytes

    def write(self, at: int, data: bytes) -> None:
        """Write at a position. Raises OSError, as for a full disk."""
        view, position = memoryview(data), at
        while view:
            count = os.pwrite(self._file, view, position)
            view, position = view[count:], position + count
        self.done = added(self.done, at, position)

    async def save_if_due(self) -> None:
        """Write the note if the last one is some seconds old."""
        if self._is_saving or time.monotonic() - self._saved_at < SAVE_SECONDS:
            return
        self._is_saving = True
        try:
            await asyncio.to_thread(self._save, self.done, self._began)
        finally:
            self._is_saving = False

    def digest_source(self) -> int:
        """The descriptor, for reading the whole file."""
        return self._file

    def finish(self, *, force: bool) -> None:
        """Give the file its final name. Raises TargetExists unless `force`; the bytes then stay for another run."""
        os.fsync(self._file)
        if force:
            os.replace(self._part, self.target)
        else:
            self._rename_to_new()
        self._remove()
        self._close()
        _sync_folder(self.target.parent)

    def discard(self) -> None:
        """Remove wrong bytes."""
        self._remove()
        self._close()

    def _rename_to_new(self) -> None:
        """A link fails if the name is taken; a rename would replace what another program just wrote there."""
        try:
            os.link(self._part, self.target, follow_symlinks=False)
        except FileExistsError:
            raise TargetExists(f"{self.target} exists; --force replaces it") from None
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            check_absent(self.target)
            os.rename(self._part, self.target)
        else:
            os.unlink(self._part)

    def _leave(self) -> None:
        """Keep what another run can go on with."""
        if self._facts is None:
            # Nothing was begun: the bytes of an earlier run stay as they are.
            if os.fstat(self._file).st_size == 0:
                self._remove()
        elif self._facts.can_resume:
            # On a full disk the note of some seconds ago stays, and is still true.
            with contextlib.suppress(OSError):
                self._save(self.done, self._began)
        else:
            self._remove()

    def _drop(self) -> None:
        """Forget all bytes, for good: a note that came back after a power loss would vouch for others."""
        if self._note.exists():
            self._note.unlink()
            _sync_folder(self._note.parent)
        os.ftruncate(self._file, 0)

    def _save(self, done: tuple[Span, ...], began: int) -> None:
        os.fsync(self._file)
        with self._lock:
            if began != self._began:
                return
            facts = self._facts or Facts()
            note = {"source": self._source, "length": facts.length, "etag": facts.etag, "done": done}
            self._new_note.write_bytes(orjson.dumps(note))
            os.replace(self._new_note, self._note)
        self._saved_at = time.monotonic()

    def _check_space(self, length: int) -> None:
        system = os.fstatvfs(self._file)
        free, needed = system.f_bavail * system.f_frsize, length - self.done_bytes
        if needed > free:
            raise GetFailed(f"{self.target.parent} has {free} bytes free, and {needed} are needed")

    def _remove(self) -> None:
        for path in (self._part, self._note, self._new_note):
            path.unlink(missing_ok=True)

    def _close(self) -> None:
        with self._lock:
            self._began += 1
            if self._file >= 0:
                os.close(self._file)
                self._file = -1


def is_unfinished(target: Path) -> bool:
    """Are there bytes of this file that another run can go on with?"""
    return target.with_name(target.name + NOTE_SUFFIX).exists()


def check_absent(target: Path) -> None:
    """Raise TargetExists if anything has this name."""
    if os.path.lexists(target):
        raise TargetExists(f"{target} exists; --force replaces it")


def _locked(path: Path) -> int:
    """Open the file without following a link that somebody put there."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise GetFailed(f"{path} cannot be written: {error.strerror}") from None
    if _is_taken(descriptor, path):
        os.close(descriptor)
        raise GetFailed(f"another process is writing {path}")
    return descriptor


def _is_taken(descriptor: int, path: Path) -> bool:
    """Does another process have the file, or did it finish it after we opened it?"""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass  # a file system without locks
    try:
        return not os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return True


def _read_note(path: Path) -> Saved | None:
    """The note of an earlier run; None if there is none that makes sense."""
    try:
        with path.open("rb") as file:
            note = orjson.loads(file.read(_MAX_NOTE_BYTES))
        saved = Saved(note["source"], note["length"], note["etag"], tuple((a, b) for a, b in note["done"]))
        spans: tuple[Span, ...] = ()
        for first, end in saved.done:
            if type(first) is not int or type(end) is not int or not 0 <= first < end <= saved.length:
                return None
            spans = added(spans, first, end)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return Saved(saved.source, saved.length, saved.etag, spans)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
