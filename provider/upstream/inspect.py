"""File info: is a remote file readable, how long is it, its type and name, and its checksum on request.

`provider-api.md` sections 11.3 and 11.4. The body is read for a checksum only. No bytes reach a consumer from here.
"""

import hashlib
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field

from provider.errors import OriginsBusy, UpstreamError
from provider.upstream.answer import Part, Parts, Whole, answer_of, content_range_of
from provider.upstream.charges import charge_bytes
from provider.upstream.content_coding import Content
from provider.upstream.file_names import name_in_path
from provider.upstream.patience import refusal
from provider.upstream.source import Source
from provider.upstream.wish import NO_WISH, Wish
from provider.wire.text import ows

_READ_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class FileInfo:
    """What is known about a remote file. Text is as on the wire, empty if unknown.

    Attributes:
        valid: the file can be served.
        content_length: bytes of the whole file as decimal text; a number for the result of a contract (wire).
        filename: None if this kind of file has no name at all.
        checksum: sha256 of the content in lower-case hex; None if not requested, or if the file exceeds the limit.
        failure: why the file is not valid, for logs and metrics.
    """

    valid: bool
    content_length: str | int = ""
    content_type: str = ""
    filename: str | None = ""
    checksum: str | None = None
    failure: UpstreamError | None = field(default=None, repr=False)


async def inspect(
    opening: Awaitable[Source],
    *,
    wish: Wish = NO_WISH,
    want_checksum: bool = False,
    max_checksum_bytes: int = 0,
    name_from_url: bool = True,
) -> FileInfo:
    """Open a file and describe it.

    A failure of the origin or a refused address makes the file invalid and is not raised. A part has no checksum.

    Args:
        opening: opens the file.
        wish: what was requested. A part is acceptable only if the file object asks for exactly that part.
        want_checksum: compute sha256 of the content.
        max_checksum_bytes: longer content gets no checksum.
        name_from_url: False for kinds of files whose URL holds no name (arweave).

    Raises:
        OriginsBusy: says nothing about the file, so it is raised.
    """
    try:
        source = await opening
    except OriginsBusy:
        raise
    except UpstreamError as failure:
        return FileInfo(valid=False, failure=failure)
    try:
        limit = max_checksum_bytes if want_checksum else None
        info = await _describe(source, wish, limit, name_from_url=name_from_url)
    except UpstreamError as failure:
        source.close()
        return FileInfo(valid=False, failure=failure)
    except BaseException:
        source.close()
        raise
    source.release()
    return info


async def _describe(source: Source, wish: Wish, max_checksum_bytes: int | None, *, name_from_url: bool) -> FileInfo:
    """Describe an open file as `inspect` does. `max_checksum_bytes` None: without a checksum."""
    answer = answer_of(wish, source)
    if not isinstance(answer, Whole | Part | Parts):
        return FileInfo(valid=False, failure=refusal(source, f"origin: status {source.status}", now=time.time()))
    content_length = _content_length(source)
    content_type = ows((source.headers.get("Content-Type") or "").partition(";")[0])
    filename = name_in_path(source.final_url_path) if name_from_url else ""
    checksum = None
    if max_checksum_bytes is not None and isinstance(answer, Whole):
        checksum = await _checksum(source, max_checksum_bytes)
    return FileInfo(
        valid=bool(content_length or content_type or filename),
        content_length=content_length,
        content_type=content_type,
        filename=filename,
        checksum=checksum,
    )


def _content_length(source: Source) -> str:
    """Length of the whole file. For a part: the total of its Content-Range, or else the part's own length."""
    whole = content_range_of(source.headers)
    if source.status == 206 and whole is not None and whole.total_bytes is not None:
        return str(whole.total_bytes)
    if source.length_bytes is not None:
        return str(source.length_bytes)
    return str(whole.total_bytes) if whole is not None and whole.total_bytes is not None else ""


async def _checksum(source: Source, max_bytes: int) -> str | None:
    # wire: the checksum of the decoded content, as in Provider 2.1; publishers of trusted algorithms compare it.
    content = Content(source)
    if content.length_bytes is not None and content.length_bytes > max_bytes:
        return None
    digest, buffer, total_bytes = hashlib.sha256(), memoryview(bytearray(_READ_BYTES)), 0
    try:
        while count := await content.read_into(buffer):
            total_bytes += count
            if total_bytes > max_bytes:
                return None
            digest.update(buffer[:count])
    finally:
        # Charged even without a checksum: the content was too long, the transfer broke, or the client left.
        charge_bytes(total_bytes)
    return digest.hexdigest()
