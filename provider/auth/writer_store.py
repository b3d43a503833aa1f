"""NonceStore of one worker among several: the server's nonce writer uses its nonces (`nonce_writer.py`).

Uses that come together go out in one message (`batches.py`). While there is no writer, the file is used directly.
SQLite's lock covers both ways, so no nonce is accepted twice.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from provider.auth.batches import Batches
from provider.auth.nonce import parse_nonce
from provider.auth.nonce_rule import NonceUse
from provider.auth.nonce_writer import socket_address
from provider.auth.signed_text import OpenText
from provider.auth.sqlite_store import SqliteNonceStore
from provider.auth.writer_messages import MAX_MESSAGE_BYTES, MAX_USES, decode_answers, encode_uses
from provider.crypto.keccak import to_checksum_address
from provider.errors import NonceRefused, StoreError

# Longer than the writer waits for SQLite's lock. A writer that is silent for longer is disconnected.
PATIENCE_SECONDS = 10.0
# Shortest time between two attempts to connect: to a writer that is not running, and to one that was silent too long.
RETRY_SECONDS, SILENT_SECONDS = 0.5, 60.0

_CREDENTIALS = struct.Struct("3i")
# Linux only, as the writer's kind of socket.
_SO_PEERCRED = 17

_Waiting = tuple[NonceUse, "asyncio.Future[bool]"]


class WriterNonceStore:
    """Sends uses to the writer that listens at `path`, and all other calls to `file`. It belongs to one event loop."""

    def __init__(self, file: SqliteNonceStore, path: str | Path, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._file = file
        self._path = Path(path)
        self._patience_seconds = patience_seconds
        self._link: _Link | None = None
        self._next_attempt_at = 0.0
        self._is_closed = False
        self.last = file.last
        self.revoke = file.revoke
        self.restore = file.restore
        self.revoked_until = file.revoked_until
        self.check = file.check

    def writer_id(self) -> int | None:
        """Process id of the writer; None while there is no connection to one."""
        return None if self._link is None else self._link.writer_id

    async def use(self, address: str, nonce: str, *, text: OpenText | None = None, unknown_past: bool = False) -> None:
        """See NonceStore. Also raises StoreError if the writer ends before it answers: the nonce may be used."""
        key = to_checksum_address(address)
        if parse_nonce(nonce) is None:
            raise NonceRefused
        link = self._link or self._connect()
        if link is None or not await link.use(NonceUse(key, nonce, text, unknown_past)):
            await self._file.use(address, nonce, text=text, unknown_past=unknown_past)

    async def close(self) -> None:
        """Wait for all answers of the writer, then close the connection and the file. Later calls raise StoreError."""
        self._is_closed = True
        if self._link is not None:
            await self._link.close()
        await self._file.close()

    def _connect(self) -> "_Link | None":
        now = asyncio.get_running_loop().time()
        if self._is_closed or now < self._next_attempt_at:
            return None
        self._next_attempt_at = now + RETRY_SECONDS
        writer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            writer.setblocking(False)
            with socket_address(self._path) as address:
                writer.connect(address)
        except OSError:
            writer.close()
            return None
        self._link = _Link(writer, self._lost, patience_seconds=self._patience_seconds)
        return self._link

    def _lost(self, retry_seconds: float) -> None:
        self._link = None
        self._next_attempt_at = asyncio.get_running_loop().time() + retry_seconds


class _Link:
    """The connection to a writer. At most one message waits for its answer."""

    def __init__(self, writer: socket.socket, lost: Callable[[float], None], *, patience_seconds: float) -> None:
        self._writer = writer
        self._lost = lost
        self._patience_seconds = patience_seconds
        self._loop = asyncio.get_running_loop()
        self._batches: Batches[_Waiting] = Batches(self._loop, self._ask, limit=MAX_USES)
        self._asked: list[_Waiting] = []
        self._is_closed = False
        self._asked_at = 0.0
        self._watch: asyncio.TimerHandle | None = None
        # struct ucred of unix(7): process id, user and group of the process that listens.
        credentials = writer.getsockopt(socket.SOL_SOCKET, _SO_PEERCRED, _CREDENTIALS.size)
        self.writer_id = int(_CREDENTIALS.unpack(credentials)[0])
        self._loop.add_reader(writer.fileno(), self._read)

    def use(self, use: NonceUse) -> "asyncio.Future[bool]":
        """Request a use. The result is False if no writer was asked. Raises as `NonceStore.use`."""
        reply: asyncio.Future[bool] = self._loop.create_future()
        self._batches.add((use, reply))
        return reply

    async def close(self) -> None:
        """Wait for all answers, then disconnect."""
        while left := {reply for _, reply in (*self._asked, *self._batches.waiting) if not reply.done()}:
            await asyncio.wait(left)
        self._disconnect()

    def _ask(self, batch: list[_Waiting]) -> None:
        if self._is_closed:
            _not_asked(batch)
            return
        message = encode_uses([use for use, _ in batch])
        self._asked_at = self._loop.time()
        if self._watch is None:
            self._watch = self._loop.call_later(self._patience_seconds, self._look)
        try:
            self._writer.send(message)
        except OSError:
            # Nothing was sent: a packet goes as a whole or not at all.
            self._disconnect()
            _not_asked(batch)
        else:
            self._asked = batch

    def _read(self) -> None:
        try:
            message = self._writer.recv(MAX_MESSAGE_BYTES)
            answers = decode_answers(message, len(self._asked))
        except BlockingIOError:
            return
        except (OSError, ValueError):
            # The end of the connection reads as an empty message, which is a ValueError.
            self._disconnect()
            return
        asked, self._asked = self._asked, []
        for (_, reply), error in zip(asked, answers, strict=True):
            if reply.done():
                continue
            if error is None:
                reply.set_result(True)
            else:
                reply.set_exception(error)
        self._batches.done()

    def _look(self) -> None:
        """Disconnect a writer that is silent for too long.

        One timer serves many messages: setting a timer costs as much as a use.
        """
        self._watch = None
        if not self._asked:
            return
        left_seconds = self._asked_at + self._patience_seconds - self._loop.time()
        if left_seconds <= 0:
            self._disconnect(SILENT_SECONDS)
        else:
            self._watch = self._loop.call_later(left_seconds, self._look)

    def _disconnect(self, retry_seconds: float = RETRY_SECONDS) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._lost(retry_seconds)
        if self._watch is not None:
            self._watch.cancel()
        self._loop.remove_reader(self._writer.fileno())
        with suppress(OSError):
            self._writer.close()
        for _, reply in self._asked:
            if not reply.done():
                reply.set_exception(StoreError(detail="the nonce writer ended before it answered"))
        self._asked = []
        self._batches.flush()


def _not_asked(batch: list[_Waiting]) -> None:
    for _, reply in batch:
        if not reply.done():
            reply.set_result(False)
