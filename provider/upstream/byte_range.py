"""Which bytes a `Range` asks of a file of known length, for origins that do not know the field themselves (pure).

RFC 9110 section 14.1.2. Sets of several ranges are ignored, as section 14.2 allows: the answer is the whole file.
"""

from dataclasses import dataclass

from provider.upstream.ranges import passable_range


@dataclass(frozen=True, slots=True)
class Part:
    """What is served: `status` 200 (all of it), 206 or 416; `count` bytes from `first` on, of `total` in the file."""

    status: int
    first: int
    count: int
    total: int

    @property
    def content_range(self) -> str:
        """Value of `Content-Range` (RFC 9110 section 14.4) of a 206 or 416."""
        if self.status == 416:
            return f"bytes */{self.total}"
        return f"bytes {self.first}-{self.first + self.count - 1}/{self.total}"


def select_part(range_header: str | None, total: int) -> Part:
    """The part that a consumer's `Range` selects of `total` bytes."""
    wanted = passable_range(range_header)
    if wanted is None or "," in wanted:
        return Part(200, 0, total, total)
    first_text, _, last_text = wanted.removeprefix("bytes=").partition("-")
    if not first_text:
        first, last = max(0, total - int(last_text)), total - 1
    else:
        first, last = int(first_text), min(int(last_text), total - 1) if last_text else total - 1
    if first >= total:
        return Part(416, 0, 0, total)
    return Part(206, first, last - first + 1, total)
