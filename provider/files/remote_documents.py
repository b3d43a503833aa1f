"""Documents that an event on chain only refers to (`{"remote": …}`, Ocean Enterprise): fetched as any file is.

The publisher chose the location, so the address guard, the gateways and the limits of files hold.
"""

import asyncio
import hashlib
import time
from collections.abc import Mapping
from copy import copy

import orjson

from provider.cache import FactCache
from provider.crypto.accounts import Account
from provider.crypto.ecies import decrypt
from provider.errors import (
    DecryptError,
    FileObjectInvalid,
    OriginsBusy,
    UpstreamError,
    UpstreamRefused,
    UpstreamTimedOut,
)
from provider.files.document import encrypted_data_of, plain_ddo, remote_of
from provider.files.file_object import (
    ArweaveFile,
    FileObject,
    FtpFile,
    IpfsFile,
    S3File,
    UrlFile,
    parse_file_object,
)
from provider.files.origins import FileOrigins
from provider.files.resolve import asked_of
from provider.files.userdata import NO_USERDATA
from provider.upstream.answer import Whole, answer_of
from provider.upstream.content_coding import Content
from provider.upstream.patience import refusal
from provider.upstream.shares import Shares, asking_client
from provider.upstream.source import Source
from provider.upstream.wish import NO_WISH
from provider.wire.json import is_crowded, read_json

_READ_BYTES = 64 * 1024
# Documents that are being fetched: of all clients, and of one. A document is fetched once for all who wait for it.
_MAX_FETCHES, _MAX_FETCHES_OF_CLIENT = 64, 8
# A document that could not be fetched is not asked for again so soon, whoever asks: each attempt takes a slot and the
# time of the origin. As long as a negative answer about an access list.
_FAILED_SECONDS = 10.0
_MAX_FAILURES = 1024
# What is named by its content. The hash of such a name binds the content too.
_BY_CONTENT = ("ipfs", "arweave")


class RemoteDocuments:
    """Fetches documents. `max_bytes` and `timeout_seconds` bound each of them."""

    def __init__(self, origins: FileOrigins, *, max_bytes: int, timeout_seconds: float) -> None:
        self._origins = origins
        self._max_bytes = max_bytes
        self._timeout_seconds = timeout_seconds
        self._failures: FactCache[bytes, UpstreamError] = FactCache(
            name="remote_failures", max_entries=_MAX_FAILURES, ttl_seconds=_FAILED_SECONDS
        )
        self._shares = Shares(total=_MAX_FETCHES, per_client=_MAX_FETCHES_OF_CLIENT, wait_seconds=timeout_seconds)

    async def fetch(self, stub: bytes, *, did: str) -> bytes:
        """The content that a stub of this asset refers to.

        Raises FileObjectInvalid, GatewayUnset and UpstreamError. A failure of the origin is remembered for a moment.
        """
        file = _file_of(stub, did)
        client = asking_client.get()
        # Of its bytes: a stub that Python can read may hold what nothing here can write.
        location = _sha256(stub)
        self._check_failed(location)
        await self._shares.take(client)
        try:
            # Another one may have failed while this one waited.
            self._check_failed(location)
            return await self._fetched(file)
        except OriginsBusy:
            # Our own limits, of this client.
            raise
        except UpstreamError as error:
            if self._failures.peek(location) is None:
                self._failures.put(location, copy(error))
            raise
        finally:
            self._shares.give_back(client)

    def _check_failed(self, location: bytes) -> None:
        failure = self._failures.peek(location)
        if failure is not None:
            # Each raise adds to an error's traceback.
            raise copy(failure)

    async def _fetched(self, file: FileObject) -> bytes:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                source = await self._origins.open(file, NO_USERDATA, asked_of(file, NO_WISH))
                return await self._content(source)
        except TimeoutError:
            raise UpstreamTimedOut(detail="origin: the document did not come in time") from None

    async def document(self, account: Account, stub: bytes, expected_hash: bytes, *, did: str) -> bytes:
        """The DDO that a stub refers to, as JSON.

        The content, or an envelope in it, may be encrypted for this Provider. `expected_hash`: of the event with the
        stub. Raises what `fetch` does, and DecryptError for content with another hash.
        """
        content = await self.fetch(stub, did=did)
        _refuse_crowded(content)
        if not _is_expected(content, stub, expected_hash):
            raise DecryptError("Checksum doesn't match.", detail="the remote document has another hash")
        return await asyncio.to_thread(ddo_of, content, account)

    async def _content(self, source: Source) -> bytes:
        """The whole body. Raises UpstreamError, also for one that is too long."""
        try:
            if not isinstance(answer_of(NO_WISH, source), Whole):
                raise refusal(source, f"origin: status {source.status}", now=time.time())
            content = await self._read(Content(source))
        except BaseException:
            source.close()
            raise
        source.release()
        return content

    async def _read(self, content: Content) -> bytes:
        read, buffer = bytearray(), memoryview(bytearray(_READ_BYTES))
        while count := await content.read_into(buffer):
            read += buffer[:count]
            if len(read) > self._max_bytes:
                raise UpstreamRefused(detail=f"origin: a document of more than {self._max_bytes} bytes")
        return bytes(read)


def ddo_of(content: bytes, account: Account) -> bytes:
    """The DDO in the content of a remote document, as JSON (pure). Raises DecryptError for one of too many values.

    An envelope holds a credential, in the clear or encrypted for this Provider.
    """
    sealed = encrypted_data_of(content)
    if sealed is not None:
        try:
            content = decrypt(account, sealed)
        except ValueError:
            # In the clear, as ocean-node takes it.
            pass
        _refuse_crowded(content)
    return plain_ddo(content)


def _refuse_crowded(content: bytes) -> None:
    if is_crowded(content):
        raise DecryptError("Checksum doesn't match.", detail="the remote document has too many values")


def _file_of(stub: bytes, did: str) -> FileObject:
    """The file object in a stub. Raises FileObjectInvalid."""
    remote = remote_of(stub) or {}
    file = parse_file_object({**remote, "type": _type_of(remote)}, party=did)
    if not isinstance(file, UrlFile | IpfsFile | ArweaveFile | S3File | FtpFile):
        raise FileObjectInvalid
    return file


def _is_expected(content: bytes, stub: bytes, expected_hash: bytes) -> bool:
    """True if the event's hash binds the content: as it is, or as JavaScript would write it again."""
    if expected_hash in (_sha256(content), _sha256(_compact(content))):
        return True
    return _type_of(remote_of(stub) or {}) in _BY_CONTENT and expected_hash == _sha256(stub)


def _type_of(remote: Mapping[str, object]) -> str:
    """The type of a file object; empty if it is no text. wire: ocean-node takes it in any case."""
    kind = remote.get("type")
    return kind.lower() if isinstance(kind, str) else ""


def _compact(content: bytes) -> bytes:
    """The content as `JSON.stringify` writes what it parsed. Empty if it cannot be written."""
    try:
        return orjson.dumps(read_json(content))
    except (ValueError, TypeError):
        return b""


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
