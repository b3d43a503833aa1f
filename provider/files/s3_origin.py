"""Opens S3 objects: asks the store, and once more in the region that it names. `s3.py` makes the requests."""

import asyncio
from datetime import UTC, datetime

from provider.errors import UpstreamError
from provider.files.file_fields import Fields
from provider.files.file_object import S3File
from provider.files.s3 import MAX_ERROR_BYTES, in_region, region_told, signed_get
from provider.upstream.http_origin import HttpOrigin
from provider.upstream.http_source import HttpSource
from provider.upstream.request_head import Redirect

# Limit for reading a store's error document.
_ERROR_SECONDS = 5.0


class S3Origin:
    """Opens objects. `own` connects to the store itself; `guarded` follows its redirects."""

    def __init__(self, *, own: HttpOrigin, guarded: HttpOrigin) -> None:
        self._own, self._guarded = own, guarded

    async def open(self, file: S3File, fields: Fields) -> HttpSource:
        """The store's answer. `fields`: Range and conditions. Raises UpstreamError, FileObjectInvalid."""
        answer = await self._ask(file, fields)
        moved = await _moved(file, answer)
        if moved is not None:
            answer = await self._ask(moved, fields)
        return await self._guarded.open(answer) if isinstance(answer, Redirect) else answer

    async def _ask(self, file: S3File, fields: Fields) -> HttpSource | Redirect:
        return await self._own.open_hop(signed_get(file, fields, now=datetime.now(UTC)))


async def _moved(file: S3File, answer: HttpSource | Redirect) -> S3File | None:
    """The object in another region, if the store's answer names one; otherwise None."""
    if isinstance(answer, Redirect):
        region = region_told(answer.status, answer.headers, location=answer.request.url)
    elif answer.status in (301, 400):
        error = await _beginning(answer) if "x-amz-bucket-region" not in answer.headers else b""
        region = region_told(answer.status, answer.headers, error=error)
    else:
        return None
    moved = in_region(file, region) if region is not None else None
    if moved is not None and isinstance(answer, HttpSource):
        answer.release()
    return moved


async def _beginning(source: HttpSource) -> bytes:
    """The beginning of a body, within limits of size and time."""
    buffer, count = memoryview(bytearray(MAX_ERROR_BYTES)), 0
    try:
        async with asyncio.timeout(_ERROR_SECONDS):
            while count < MAX_ERROR_BYTES and (step := await source.read_into(buffer[count:])):
                count += step
    except (UpstreamError, TimeoutError):
        pass
    return bytes(buffer[:count])
