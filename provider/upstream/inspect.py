"""File info: is a remote file readable, how long, of what type and name, and its checksum when asked.

`provider-api.md` sections 11.3 and 11.4. The body is read only for a checksum; nothing reaches a consumer here.
"""

import asyncio
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
# sha256 of so much takes about 2 ms; then other requests have their turn.
_YIELD_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class FileInfo:
    """What is known about a remote file; texts as the wire has them, empty when unknown.

    `content_length`: bytes of the whole file as decimal text; a number for results of contracts (wire). `filename`:
    None for what has no name at all. `checksum`: sha256 of the content, lower-case hex, None when not asked or over
    the limit. `failure`: why it is not valid, for logs and metrics.
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
    """Open a file and describe it. `wish` is what was asked: a part is good when the file object names exactly it.

    Failures of the origin and refused addresses make it invalid; they are not raised. OriginsBusy is raised, because it
    says nothing about the file. `name_from_url` is False for kinds of files whose URL says nothing (arweave). No
    checksum is made of a part, nor over `max_checksum_bytes`.
    """
    try:
        source = await opening
    except OriginsBusy:
        raise
    except UpstreamError as failure:
        return FileInfo(valid=False, failure=failure)
    try:
        answer = answer_of(wish, source)
        if not isinstance(answer, Whole | Part | Parts):
            info = FileInfo(valid=False, failure=refusal(source, f"origin: status {source.status}", now=time.time()))
        else:
            limit = max_checksum_bytes if want_checksum and isinstance(answer, Whole) else None
            info = await _describe(source, limit, name_from_url=name_from_url)
    except UpstreamError as failure:
        source.close()
        return FileInfo(valid=False, failure=failure)
    except BaseException:
        source.close()
        raise
    source.release()
    return info


async def _describe(source: Source, max_checksum_bytes: int | None, *, name_from_url: bool) -> FileInfo:
    content_length = _content_length(source)
    content_type = ows((source.headers.get("Content-Type") or "").partition(";")[0])
    filename = name_in_path(source.final_url_path) if name_from_url else ""
    return FileInfo(
        valid=bool(content_length or content_type or filename),
        content_length=content_length,
        content_type=content_type,
        filename=filename,
        checksum=await _checksum(source, max_checksum_bytes) if max_checksum_bytes is not None else None,
    )


def _content_length(source: Source) -> str:
    """Length of the whole file; of a part, what Content-Range says of the whole, else the part's own."""
    whole = content_range_of(source.headers)
    if source.status == 206 and whole is not None and whole.total_bytes is not None:
        return str(whole.total_bytes)
    if source.length_bytes is not None:
        return str(source.length_bytes)
    return str(whole.total_bytes) if whole is not None and whole.total_bytes is not None else ""


async def _checksum(source: Source, max_bytes: int) -> str | None:
    # wire: of the content, as Provider 2.1 has it; publishers of trusted algorithms compare that.
    content = Content(source)
    if content.length_bytes is not None and content.length_bytes > max_bytes:
        return None
    digest, buffer, total_bytes, turn_bytes = hashlib.sha256(), memoryview(bytearray(_READ_BYTES)), 0, 0
    try:
        while count := await content.read_into(buffer):
            total_bytes += count
            if total_bytes > max_bytes:
                return None
            digest.update(buffer[:count])
            turn_bytes += count
            if turn_bytes >= _YIELD_BYTES:
                turn_bytes = 0
                await asyncio.sleep(0)
    finally:
        # Also what led to no checksum: too long, broken off, or nobody waits for it any longer.
        charge_bytes(total_bytes)
    return digest.hexdigest()
