"""The process that writes nonces for all workers of a server, so that uses of all workers share one sync to disk.

Processes that wait for SQLite's lock poll it, and each syncs for itself: with 16 processes one use in a hundred waits
for 0.1 s. Here one process holds the lock, and answers when the nonces are durable. The file holds its whole state. If
the process dies, workers use the file themselves until it is back.
"""

import hashlib
import logging
import os
import selectors
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from provider.auth.nonce_rows import NonceRows
from provider.auth.nonce_rule import NonceUse
from provider.auth.sqlite_file import open_store
from provider.auth.writer_messages import MAX_MESSAGE_BYTES, decode_uses, encode_answers, encode_failure
from provider.errors import NonceRefused, StoreError
from provider.sqlite import explain, give_up

# Bounds one transaction, as in `sqlite_store.py`. Further messages wait for the next one.
_MAX_GROUP = 512
_BACKLOG = 1024

_log = logging.getLogger(__name__)


def writer_socket(directory: str | Path, path: str | Path) -> Path:
    """Return the path of the socket for the file at `path`. `directory`: shared by the processes of a server.

    Each file has its own socket: workers whose settings name another file must not reach this writer.
    """
    file = hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()[:16]
    return Path(directory) / f"nonces-{file}"


@contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """Give an address of the socket at `path`, which may be longer than the 107 bytes of an address (unix(7))."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def listen(path: Path) -> socket.socket:
    """Return a listening socket at `path`. It replaces the socket of a dead writer. Raises OSError.

    The directory must be closed to other users: any process that connects can use up nonces.
    """
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with socket_address(path) as address:
            listener.bind(address)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


class NonceWriter:
    """Writes the uses that workers send over `listener` to the file at `path`.

    `life_line`: the read end of a pipe. `run` returns when the pipe has ended and the last worker has disconnected.
    `busy_timeout_seconds`: how long another process may hold SQLite's lock.
    """

    def __init__(
        self, path: Path, listener: socket.socket, *, life_line: int, busy_timeout_seconds: float = 5.0
    ) -> None:
        self._path = path
        self._listener = listener
        self._life_line = life_line
        self._busy_timeout_seconds = busy_timeout_seconds
        self._connection: sqlite3.Connection | None = None
        self._rows: NonceRows | None = None
        self._workers: set[socket.socket] = set()
        self._is_ending = False
        self._ready = selectors.DefaultSelector()

    def run(self) -> None:
        """Serve until the server has ended."""
        self._ready.register(self._listener, selectors.EVENT_READ)
        self._ready.register(self._life_line, selectors.EVENT_READ)
        while not self._is_ending or self._workers:
            group: list[tuple[socket.socket, list[NonceUse]]] = []
            size = 0
            for key, _ in self._ready.select():
                if key.fileobj is self._listener:
                    self._welcome()
                elif isinstance(key.fileobj, socket.socket):
                    # A message that is not read here is read in the next turn.
                    if size < _MAX_GROUP and (uses := self._read(key.fileobj)):
                        group.append((key.fileobj, uses))
                        size += len(uses)
                else:
                    self._is_ending = True
                    self._ready.unregister(self._life_line)
            self._answer(group)
        give_up(self._connection)

    def _welcome(self) -> None:
        with suppress(OSError):
            worker, _ = self._listener.accept()
            worker.setblocking(False)
            self._workers.add(worker)
            self._ready.register(worker, selectors.EVENT_READ)

    def _read(self, worker: socket.socket) -> list[NonceUse]:
        try:
            message = worker.recv(MAX_MESSAGE_BYTES)
            if message and (uses := decode_uses(message)):
                return uses
        except BlockingIOError:
            return []
        except (OSError, ValueError) as error:
            _log.warning("a worker sent an invalid message: %s", error)
        self._dismiss(worker)
        return []

    def _answer(self, group: list[tuple[socket.socket, list[NonceUse]]]) -> None:
        if not group:
            return
        answers: list[NonceRefused | None] = []
        failure: bytes | None = None
        try:
            answers = self._use_all([use for _, uses in group for use in uses])
        except StoreError as error:
            failure = encode_failure(error.detail or "")
        start = 0
        for worker, uses in group:
            self._send(worker, failure or encode_answers(answers[start : start + len(uses)]))
            start += len(uses)

    def _use_all(self, uses: list[NonceUse]) -> list[NonceRefused | None]:
        try:
            if self._rows is None:
                self._connection = open_store(self._path, busy_timeout_seconds=self._busy_timeout_seconds)
                self._rows = NonceRows(self._connection)
            return self._rows.use_all(uses)
        except sqlite3.Error as error:
            connection, self._connection, self._rows = self._connection, None, None
            give_up(connection)
            raise StoreError(detail=explain(self._path, error)) from None
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - the top of the process's work: it has to serve the next group
            connection, self._connection, self._rows = self._connection, None, None
            give_up(connection)
            _log.error("the nonce writer failed", exc_info=error)
            raise StoreError(detail=f"{self._path}: {type(error).__name__}") from None

    def _send(self, worker: socket.socket, message: bytes) -> None:
        try:
            worker.send(message)
        except OSError:
            # The worker died, or sends without reading answers. Its nonces stay used.
            self._dismiss(worker)

    def _dismiss(self, worker: socket.socket) -> None:
        self._workers.discard(worker)
        self._ready.unregister(worker)
        worker.close()


def serve_nonces(path: Path, directory: str | Path, *, life_line: int) -> None:
    """Run the writer of the file at `path` for the workers that share `directory`. Raises OSError."""
    with listen(writer_socket(directory, path)) as listener:
        NonceWriter(path, listener, life_line=life_line).run()
