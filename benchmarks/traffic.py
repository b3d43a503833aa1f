"""Turns cases into requests: what each connection requests from one server, and the expected answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

from benchmarks.plans import ConnectionPlan
from benchmarks.result import Case
from benchmarks.signing import get_request
from provider.testing import pattern

Target = Callable[[int, int], str]
"""From the number of a connection and the index of a file to a request target, which is used once."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of the origin: generated, or with `source` a copy, which only nginx as origin serves."""

    size_bytes: int
    source: Path | None = None

    @property
    def path(self) -> str:
        """The path of the file at all of our origins."""
        return f"/pattern/{self.size_bytes}.bin" if self.source is None else f"/copies/{self.source.name}"


@dataclass(frozen=True, slots=True)
class Traffic:
    """The requests for one server. `shrink`: the part of large answers that a slow server is asked for."""

    port: int
    files: Sequence[File]
    target: Target
    shrink: int = 1

    def plans(self, case: Case, requests: int, verified: int) -> tuple[ConnectionPlan, ...]:
        """Plan `requests` on each connection; the last `verified` answers are hashed.

        Connections that request a part of the file request different parts, so that no processor cache holds what all
        of them read.
        """
        return tuple(self._plan(case, number, requests, verified) for number in range(case.connections))

    def _plan(self, case: Case, number: int, requests: int, verified: int) -> ConnectionPlan:
        file = self.files[case.file_index]
        body_bytes = case.body_bytes if case.per == "request" else max(1, case.body_bytes // self.shrink)
        start = (number * case.body_bytes) % file.size_bytes
        end = start + body_bytes
        byte_range = None if body_bytes == file.size_bytes else (start, end)
        return ConnectionPlan(
            requests=tuple(
                get_request(self.port, self.target(number, case.file_index), byte_range) for _ in range(requests)
            ),
            status=200 if byte_range is None else 206,
            body_bytes=body_bytes,
            sha256=_sha256(start, end) if verified else "",
            verified=verified,
        )


@cache
def _sha256(start: int, end: int) -> str:
    digest = sha256()
    for piece in pattern.pieces(start, end):
        digest.update(piece)
    return digest.hexdigest()
