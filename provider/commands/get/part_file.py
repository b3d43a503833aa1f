"""The unfinished file on disk: `NAME.part`, and `NAME.part.json`, a note of which bytes are there.

The note also says that the file is ours: a file of that name without a note belongs to somebody else and stays as it
is. The note never claims a byte that a power loss could take: the data are on disk before the note is written. A file
gets its final name only when it is whole.
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
from typing import Any, TypeGuard

import orjson

from provider.commands.get.failures import GetFailed, TargetExists
from provider.commands.get.names import NEW_NOTE_SUFFIX, NOTE_SUFFIX, PART_SUFFIX
from provider.commands.get.plan import Facts, Saved, Span, added, resumable, total

SAVE_SECONDS = 2.0
_MAX_NOTE_BYTES = 16 << 20
# The errors of a file system without hard links.
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


class PartFile:
    """The unfinished file of `target`, locked while it is open.

    `source` names what is downloaded: bytes of another dataset with the same file name are not taken over.
    Raises GetFailed if another process downloads the same file, or the file is not one of `provider get`.
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
        # A cancelled save may still run in its thread. Its note must not be taken for that of a later version.
        self._lock = threading.Lock()
        self._began = 0
        self._file = _locked(self._part)
        try:
            self._claim()
        except BaseException:
            self._close()
            raise

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
        """Number of bytes that are there."""
        return total(self.done)

    def begin(self, facts: Facts) -> int:
        """Prepare for this version of the file. Returns the number of bytes that are already there.

        Bytes of other versions are deleted.
        """
        size = os.fstat(self._file).st_size
        with self._lock:
            self._began += 1
            self._facts = facts
            self.done = resumable(_saved(_read_json(self._note)), self._source, facts, size)
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
        """The file's descriptor, for reading the whole file."""
        return self._file

    def finish(self, *, force: bool) -> None:
        """Give the file its final name.

        Raises TargetExists if that name is taken, unless `force`. The bytes then stay for another run.
        """
        os.fsync(self._file)
        if force:
            os.replace(self._part, self.target)
        else:
            self._rename_to_new()
        self._remove()
        self._close()
        _sync_folder(self.target.parent)

    def discard(self) -> None:
        """Delete the file, because its bytes are wrong."""
        self._remove()
        self._close()

    def _rename_to_new(self) -> None:
        """Rename by a hard link, which fails if the name is taken. A rename would replace another program's file."""
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

    def _claim(self) -> None:
        """Leave a note beside a new file. Raises GetFailed if file or note are not ours."""
        note = _read_json(self._note)
        if os.fstat(self._file).st_size and not _is_ours(note):
            raise GetFailed(f"{self._part} was not left by provider get: move it away, or choose another name with -o")
        if note is None:
            try:
                self._write_note(Facts(), ())
            except OSError as error:
                raise GetFailed(f"{self._note} cannot be written: {error.strerror}") from None
        elif not _is_ours(note):
            raise GetFailed(f"{self._note} was not left by provider get: move it away, or choose another name with -o")

    def _leave(self) -> None:
        """Keep everything that another run can continue with."""
        if self._facts is None:
            # Nothing was begun, so the bytes of an earlier run stay.
            if os.fstat(self._file).st_size == 0:
                self._remove()
        elif self._facts.can_resume:
            # On a full disk the previous note stays, and is still true.
            with contextlib.suppress(OSError):
                self._save(self.done, self._began)
        else:
            self._remove()

    def _drop(self) -> None:
        """Forget all bytes, for good: a note that came back after a power loss would vouch for others."""
        self._write_note(Facts(), ())
        os.ftruncate(self._file, 0)

    def _save(self, done: tuple[Span, ...], began: int) -> None:
        os.fsync(self._file)
        with self._lock:
            if began != self._began:
                return
            self._write_note(self._facts or Facts(), done)
        self._saved_at = time.monotonic()

    def _write_note(self, facts: Facts, done: tuple[Span, ...]) -> None:
        """Replace the note. It is on disk before this returns."""
        note = {"source": self._source, "length": facts.length, "etag": facts.etag, "done": done}
        with self._new_note.open("wb") as file:
            file.write(orjson.dumps(note))
            file.flush()
            os.fsync(file.fileno())
        os.replace(self._new_note, self._note)
        _sync_folder(self._note.parent)

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
    return _is_ours(_read_json(target.with_name(target.name + NOTE_SUFFIX)))


def check_absent(target: Path) -> None:
    """Raise TargetExists if anything has this name."""
    if os.path.lexists(target):
        raise TargetExists(f"{target} exists; --force replaces it")


def _locked(path: Path) -> int:
    """Open the file, but do not follow a symbolic link."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise GetFailed(f"{path} cannot be written: {error.strerror}") from None
    if _is_taken(descriptor, path):
        os.close(descriptor)
        raise GetFailed(f"another process is writing {path}")
    return descriptor


def _is_taken(descriptor: int, path: Path) -> bool:
    """True if another process has the file, or finished it after we opened it."""
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


def _read_json(path: Path) -> object:
    """The content of a note; None without one, and an empty value for one that is no JSON."""
    try:
        with path.open("rb") as file:
            return orjson.loads(file.read(_MAX_NOTE_BYTES))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return ""


def _is_ours(note: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(note, dict) and note.keys() >= {"source", "length", "etag", "done"}


def _saved(note: object) -> Saved | None:
    """Read the note of an earlier run. None if it does not make sense."""
    if not _is_ours(note):
        return None
    try:
        saved = Saved(note["source"], note["length"], note["etag"], tuple((a, b) for a, b in note["done"]))
        spans: tuple[Span, ...] = ()
        for first, end in saved.done:
            if type(first) is not int or type(end) is not int or not 0 <= first < end <= saved.length:
                return None
            spans = added(spans, first, end)
    except (ValueError, TypeError):
        return None
    return Saved(saved.source, saved.length, saved.etag, spans)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
