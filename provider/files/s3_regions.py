"""Where an S3 bucket is when the store answers that it is elsewhere (pure).

The request is signed for a region. A store that is asked for a bucket of another one says so with 301, 307 or 400, and
names the region in `x-amz-bucket-region`, in the error's `Region`, or in the host that it redirects to.
"""

import re
from dataclasses import replace
from urllib.parse import urlsplit

from provider.files.file_object import S3File
from provider.upstream.source import Headers

# More than any error document of a store.
MAX_ERROR_BYTES = 16 * 1024
_ELSEWHERE = frozenset((301, 307, 400))
_REGION = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_IN_ERROR = re.compile(rb"<Region>([a-z0-9-]{1,64})</Region>")
# A host of Amazon, of any style: `s3.amazonaws.com`, `b.s3.eu-west-1.amazonaws.com`, `s3-eu-west-1.amazonaws.com`.
_AMAZON = re.compile(r"((?:.+\.)?s3(?:\.dualstack)?)(?:[.-]([a-z0-9-]+))?(\.amazonaws\.com(?:\.cn)?)")


def region_told(status: int, headers: Headers, *, error: bytes = b"", location: str = "") -> str | None:
    """The region that an answer names; None when it names none, or says something else."""
    if status not in _ELSEWHERE:
        return None
    named = headers.get("x-amz-bucket-region")
    if named is None:
        found, host = _IN_ERROR.search(error), _AMAZON.fullmatch(urlsplit(location).hostname or "")
        named = found[1].decode("ascii") if found is not None else host[2] if host is not None else None
    return named if named is not None and _REGION.fullmatch(named) else None


def in_region(file: S3File, region: str) -> S3File | None:
    """The same object to be asked for in `region`; None when it was asked for there already.

    Of the endpoint only the label of the region changes, so that the request stays in the store's own domain.
    """
    parts = urlsplit(file.endpoint)
    host = parts.hostname or ""
    amazon = _AMAZON.fullmatch(host)
    if amazon is not None:
        moved_host = f"{amazon[1]}.{region}{amazon[3]}"
    else:
        moved_host = ".".join(region if label == file.region else label for label in host.split("."))
    endpoint = file.endpoint if moved_host == host else parts._replace(netloc=_netloc(moved_host, parts.port)).geturl()
    moved = replace(file, endpoint=endpoint, region=region)
    return moved if moved != file else None


def _netloc(host: str, port: int | None) -> str:
    return host if port is None else f"{host}:{port}"
