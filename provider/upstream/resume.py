"""Resuming a broken body: its file version, the request for the rest, and the check of the answer (pure).

RFC 9110 sections 13.1.5 and 15.3.7.3: parts may be combined only if all of them carry the same strong validator.
"""

from dataclasses import dataclass, replace
from typing import Literal

from provider.errors import UpstreamRefused
from provider.upstream.answer import content_range_of
from provider.upstream.source import HttpRequest, Source
from provider.upstream.validators import is_strong_date, is_strong_tag

# Temporary: overload, or a proxy whose origin restarts.
_PASSING = frozenset((429, 500, 502, 503, 504))


@dataclass(frozen=True, slots=True)
class Rest:
    """The missing part of a body: bytes `first` to `last`, inclusive, of a file of `total_bytes`.

    `validator`: strong value of the field `validated_by`, as the origin sent it with the first part.
    """

    first: int
    last: int
    total_bytes: int
    validated_by: Literal["ETag", "Last-Modified"]
    validator: str
    coding: str | None = None

    @property
    def range_header(self) -> str:
        """Value of `Range`."""
        return f"bytes={self.first}-{self.last}"

    @property
    def fields(self) -> tuple[tuple[str, str], ...]:
        """Header fields that ask for the rest."""
        return (("Range", self.range_header), ("If-Range", self.validator))

    def after(self, count_bytes: int) -> "Rest":
        """The rest that remains after `count_bytes` more have arrived."""
        return replace(self, first=self.first + count_bytes)

    def is_in(self, answer: Source) -> bool:
        """True if this answer carries exactly these bytes of exactly this version."""
        stated = _stated_part(answer)
        return (
            answer.status == 206
            and stated == (self.first, self.last, self.total_bytes)
            and answer.headers.get(self.validated_by) == self.validator
            and answer.headers.get("Content-Encoding") in (None, self.coding)
        )


def rest_of(source: Source) -> Rest | None:
    """Describe the whole body of `source` as a `Rest`. None if a break could not be repaired.

    Repair needs a length, a strong validator, and an origin that does not refuse ranges.
    """
    headers = source.headers
    if not source.length_bytes or "none" in headers.tokens("Accept-Ranges"):
        return None
    if source.status == 200:
        part = (0, source.length_bytes - 1, source.length_bytes)
    else:
        stated = _stated_part(source) if source.status == 206 else None
        if stated is None:
            return None
        part = stated
    coding = headers.get("Content-Encoding")
    etag = headers.get("ETag")
    if etag is not None:
        return Rest(*part, "ETag", etag, coding) if is_strong_tag(etag) else None
    modified = headers.get("Last-Modified")
    # A date identifies a version of the file, but not its encoding.
    if modified is None or coding is not None or not is_strong_date(modified, headers):
        return None
    return Rest(*part, "Last-Modified", modified)


def for_rest(request: HttpRequest, rest: Rest | None) -> HttpRequest:
    """Turn `request` into one for the rest of its body. Returns it unchanged if `rest` is None.

    Raises:
        UpstreamRefused: the method is not GET, and Range has a meaning for GET only (RFC 9110 section 14.2).
    """
    if rest is None:
        return request
    if request.method != "GET":
        raise UpstreamRefused(detail="the rest of a body can only be requested by GET")
    kept = tuple((name, value) for name, value in request.headers if name.lower() not in ("range", "if-range"))
    return replace(request, headers=(*kept, *rest.fields))


def may_pass(status: int) -> bool:
    """True if an answer with this status is worth another try a little later."""
    return status in _PASSING


def _stated_part(source: Source) -> tuple[int, int, int] | None:
    """First byte, last byte and file length as Content-Range states them; None if the body's length contradicts."""
    if "multipart/" in (source.headers.get("Content-Type") or "").lower():
        return None
    stated = content_range_of(source.headers)
    if stated is None or stated.first is None or stated.last is None or stated.total_bytes is None:
        return None
    if source.length_bytes != stated.last - stated.first + 1:
        return None
    return stated.first, stated.last, stated.total_bytes
