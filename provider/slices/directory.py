"""The cache directory: files of slices, written beside their place and renamed into it. Every call blocks.

A file is the slice's bytes, the DID of its asset, and a footer with a keyed check (GMAC, NIST SP 800-38D) of both and
of the file's name. A file that is torn, damaged, renamed, or of another key fails the check and is removed. Nothing is
flushed: a file that a power loss tears fails the check and is fetched again.

An unfinished file is locked (flock(2)) while its writer lives. The name of a claimed file says which slice it becomes,
so that workers which want the same slice find it and read behind its writer.
"""

import errno
import fcntl
import hmac
import os
import re
import secrets
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

_NAME = re.compile(r"[0-9a-f]{48}-[0-9]{1,12}")
_UNFINISHED = "filling-"
# Directories of other keys and formats. Nothing else in the operator's directory is ever touched.
_OURS = re.compile(r"slices-[0-9]{1,4}-[0-9a-f]{16}")
_FORMAT = 1
_FOOTER = struct.Struct(">16s12sQH8s")  # check, its nonce, length of the slice, length of the DID, mark
_MARK = b"provslic"
_READ_BYTES = 256 * 1024
# Each attempt but the last may meet a leftover, or another process that removes files at the same moment.
_ATTEMPTS = 3


class DamagedSliceError(Exception):
    """A slice was torn, changed, or of another key. It is removed."""


class TakenSliceError(Exception):
    """A slice is there already, or another worker writes it."""


class FileState(NamedTuple):
    """The state of a slice's file: inode, size in bytes, time of writing. Damage by a disk changes none of them."""

    inode: int
    file_bytes: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class Found:
    """A slice on disk: name, and size of its file in bytes."""

    name: str
    file_bytes: int


class SliceDirectory:
    """The slices of one key below `path`, which is created if it does not exist.

    Args:
        path: the operator's directory, shared by all workers.
        secret: 32 bytes. Names and checks are derived from it, so a server with another one finds nothing.
    """

    def __init__(self, path: str, secret: bytes) -> None:
        self.secret = secret
        self._root = path
        self._path = os.path.join(path, f"slices-{_FORMAT}-{hmac.digest(secret, b'directory', 'sha256')[:8].hex()}")
        self._key = hmac.digest(secret, b"check", "sha256")

    def prepare(self) -> list[Found]:
        """Create the directory, remove leftovers of dead writers and other keys, and list the slices, oldest first.

        Raises OSError.
        """
        self._make()
        for name in os.listdir(self._root):
            if _OURS.fullmatch(name) and name != os.path.basename(self._path):
                _remove_folder(os.path.join(self._root, name))
        return self.scan()

    def scan(self) -> list[Found]:
        """List the slices, oldest first, and remove files that dead writers left. Raises OSError."""
        found = []
        with os.scandir(self._path) as entries:
            for entry in entries:
                if entry.name.startswith(_UNFINISHED):
                    _remove_if_dead(entry.path)
                elif _NAME.fullmatch(entry.name):
                    with suppress(FileNotFoundError):
                        stat = entry.stat(follow_symlinks=False)
                        found.append((stat.st_mtime_ns, Found(entry.name, stat.st_size)))
        found.sort(key=lambda item: item[0])
        return [item for _, item in found]

    def room_bytes(self) -> int:
        """Bytes that may still be written: the free space, less 5 % of the disk or 5 GiB. Raises OSError."""
        disk = os.statvfs(self._path)
        reserve = min(disk.f_blocks * disk.f_frsize // 20, 5 << 30)
        return disk.f_bavail * disk.f_frsize - reserve

    def try_write(self) -> None:
        """Write a file and remove it again. Raises OSError."""
        writer = self.create("", 0, "", claim=False)
        try:
            writer.append(memoryview(bytes(4096)))
        finally:
            writer.close()

    def create(self, name: str, length_bytes: int, did: str, *, claim: bool) -> "SliceWriter":
        """Begin the slice `name`.

        `claim`: begin only if nobody else has it or writes it. Without it, the slice replaces that of others.

        Raises:
            TakenSliceError: another worker was faster; only with `claim`.
            OSError: the disk failed.
        """
        path = os.path.join(self._path, _UNFINISHED + (name if claim else secrets.token_hex(16)))
        target = os.path.join(self._path, name)
        for attempt in range(_ATTEMPTS):
            try:
                writer = SliceWriter(path, target, length_bytes, did.encode(), self._key)
            except FileExistsError:
                _remove_if_dead(path)
            except FileNotFoundError:
                # Another process removed the directory, or took the file for a leftover before it was locked.
                if attempt == _ATTEMPTS - 1:
                    raise
                self._make()
            else:
                # A claim becomes a slice by losing its name, so this look comes after having the name.
                if not claim or not os.path.lexists(target):
                    return writer
                writer.close()
                break
        raise TakenSliceError

    def follow(self, name: str) -> int | None:
        """Descriptor of the file in which another worker writes the slice `name`; None if nobody does. Raises OSError.

        Its bytes lie at their places as far as the file goes. They are not checked.
        """
        path = os.path.join(self._path, _UNFINISHED + name)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            if has_writer(descriptor):
                return descriptor
            _unlink_same(path, descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None

    def open(self, name: str, length_bytes: int, *, checked: FileState | None) -> tuple[int, FileState] | None:
        """Descriptor and state of a slice of `length_bytes`; None if it does not exist.

        `checked`: its state when it was verified. While the file is in this state, nothing is read, so that slices in
        memory do not wait for those on a slow disk. Otherwise it is read whole and verified.

        Raises:
            DamagedSliceError: it was torn or changed, and is removed.
            OSError: the disk failed.
        """
        path = os.path.join(self._path, name)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            state = _state_of(descriptor)
            if state == checked:
                return descriptor, state
            footer = _read_footer(descriptor)
            if footer is not None and footer.length_bytes != length_bytes:
                footer = None
            if footer is not None and _is_sound(descriptor, name, footer, self._key):
                return descriptor, state
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        self.remove(name)
        raise DamagedSliceError

    def has(self, name: str) -> bool:
        """True if the slice is there or being written. Raises no error."""
        return any(os.path.lexists(os.path.join(self._path, start + name)) for start in ("", _UNFINISHED))

    def remove(self, *names: str) -> None:
        """Remove slices, those that exist. Raises OSError."""
        for name in names:
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(self._path, name))

    def datasets(self) -> Iterator[tuple[str, Found]]:
        """DID, "" for none, and slice, of every slice. Only lengths are checked. Raises OSError."""
        for found in self.scan():
            yield self._did_of(found.name), found

    def _did_of(self, name: str) -> str:
        try:
            descriptor = os.open(os.path.join(self._path, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return ""
        try:
            footer = _read_footer(descriptor)
            return footer.did.decode(errors="replace") if footer is not None else ""
        finally:
            os.close(descriptor)

    def _make(self) -> None:
        os.makedirs(self._path, mode=0o700, exist_ok=True)


class SliceWriter:
    """A slice that is being written. `descriptor` stays open; its user closes it."""

    def __init__(self, path: str, target: str, length_bytes: int, did: bytes, key: bytes) -> None:
        """`path`: of the unfinished file. `target`: of the slice. Raises OSError."""
        self._path, self._target = path, target
        self._length_bytes, self._did = length_bytes, did
        self._written = 0
        self._nonce = secrets.token_bytes(12)
        self._check = _Check(key, self._nonce, os.path.basename(target), length_bytes, did)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self.descriptor = os.open(path, flags, 0o600)
        try:
            # Held as long as this process lives and the descriptor is open. A process that looks for leftovers just
            # before that holds the lock briefly, and removes the file.
            fcntl.flock(self.descriptor, fcntl.LOCK_EX)
            if not os.fstat(self.descriptor).st_nlink:
                raise FileNotFoundError(errno.ENOENT, "removed before it was locked")
        except BaseException:
            os.close(self.descriptor)
            raise

    def append(self, data: memoryview) -> None:
        """Write the next bytes. Raises OSError."""
        self._check.update(data)
        self._write(data)

    def commit(self) -> FileState:
        """Put the whole slice in place and return the state of its file. Raises OSError."""
        footer = _FOOTER.pack(self._check.tag(), self._nonce, self._length_bytes, len(self._did), _MARK)
        self._write(memoryview(self._did + footer))
        os.rename(self._path, self._target)
        return _state_of(self.descriptor)

    def drop(self) -> None:
        """Remove an unfinished slice. Those who have it open can still read it. Raises OSError."""
        with suppress(FileNotFoundError):
            os.unlink(self._path)

    def close(self) -> None:
        """Remove an unfinished slice that nobody has open, and close its descriptor. Raises OSError."""
        # In this order: a process that finds the name without a lock removes it.
        try:
            self.drop()
        finally:
            os.close(self.descriptor)

    def _write(self, data: memoryview) -> None:
        while data:
            count = os.pwrite(self.descriptor, data, self._written)
            self._written += count
            data = data[count:]


@dataclass(frozen=True, slots=True)
class _Footer:
    tag: bytes
    nonce: bytes
    length_bytes: int
    did: bytes


def _state_of(descriptor: int) -> FileState:
    found = os.fstat(descriptor)
    return FileState(found.st_ino, found.st_size, found.st_mtime_ns)


def _read_footer(descriptor: int) -> _Footer | None:
    """The footer, if it and the file's length agree."""
    size = os.fstat(descriptor).st_size
    data = os.pread(descriptor, _FOOTER.size, max(size - _FOOTER.size, 0))
    if len(data) != _FOOTER.size:
        return None
    tag, nonce, length_bytes, did_bytes, mark = _FOOTER.unpack(data)
    if mark != _MARK or size != length_bytes + did_bytes + _FOOTER.size:
        return None
    return _Footer(tag, nonce, length_bytes, os.pread(descriptor, did_bytes, length_bytes))


class _Check:
    """GMAC over a slice's name, DID, lengths and bytes. 1 GB takes 0.06 s of CPU, of CRC-32 0.26, of SHA-256 0.75."""

    def __init__(self, key: bytes, nonce: bytes, name: str, length_bytes: int, did: bytes) -> None:
        # Imported at first use: it takes 7 MB.
        from cryptography.hazmat.primitives.ciphers import Cipher  # noqa: PLC0415
        from cryptography.hazmat.primitives.ciphers.algorithms import AES  # noqa: PLC0415
        from cryptography.hazmat.primitives.ciphers.modes import GCM  # noqa: PLC0415

        self._gmac = Cipher(AES(key), GCM(nonce)).encryptor()
        self.update(b"%s %d %d " % (name.encode(), length_bytes, len(did)) + did)

    def update(self, data: bytes | memoryview) -> None:
        self._gmac.authenticate_additional_data(data)

    def tag(self) -> bytes:
        self._gmac.finalize()
        return self._gmac.tag


def _is_sound(descriptor: int, name: str, footer: _Footer, key: bytes) -> bool:
    check = _Check(key, footer.nonce, name, footer.length_bytes, footer.did)
    buffer, position = memoryview(bytearray(_READ_BYTES)), 0
    while position < footer.length_bytes:
        wanted = min(_READ_BYTES, footer.length_bytes - position)
        count = os.preadv(descriptor, [buffer[:wanted]], position)
        if not count:
            return False
        check.update(buffer[:count])
        position += count
    return hmac.compare_digest(check.tag(), footer.tag)


def has_writer(descriptor: int) -> bool:
    """True if a running process writes the file behind `descriptor`. Raises OSError."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def _remove_if_dead(path: str) -> None:
    """Remove a file that no running writer holds."""
    with suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            _unlink_same(path, descriptor)
        finally:
            os.close(descriptor)


def _unlink_same(path: str, descriptor: int) -> None:
    """Remove the name of the open file, unless a writer holds it or the name belongs to another file meanwhile."""
    with suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A process that removes a name holds this lock, so the name cannot change after this look.
        if os.path.samestat(os.lstat(path), os.fstat(descriptor)):
            os.unlink(path)


def _remove_folder(path: str) -> None:
    """Remove the slices of another key or format. Files that are not ours stay, and the folder with them."""
    for name in os.listdir(path):
        if _NAME.fullmatch(name) or name.startswith(_UNFINISHED):
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(path, name))
    with suppress(OSError):
        os.rmdir(path)
