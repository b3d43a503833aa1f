"""The messages between the load generator and its parent."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


class LoadFailed(Exception):
    """An answer was wrong, or none came."""


@dataclass(frozen=True, slots=True)
class ConnectionPlan:
    """The requests of one connection, sent one after the other, and the expected answers.

    `sha256` (hex) is compared for the last `verified` bodies; the others are only counted.
    """

    requests: tuple[bytes, ...]
    status: int
    body_bytes: int
    sha256: str
    verified: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """The requests of one run, and the port of `host`. `seconds`: no request is sent after this time.

    `endless`: the run ends at once when it is stopped.
    """

    port: int
    connections: tuple[ConnectionPlan, ...]
    seconds: float | None = None
    endless: bool = False
    host: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class LoadResult:
    """One run. Latency is from sending a request to the last byte of its answer, or to the first of its body."""

    seconds: float
    requests: int
    body_bytes: int
    p50_seconds: float
    p99_seconds: float
    first_byte_p50_seconds: float
    first_byte_p99_seconds: float
    first_byte_min_seconds: float


def percentile(ascending: Sequence[float], fraction: float) -> float:
    """Return the smallest value that at least `fraction` of the values do not exceed (nearest rank); 0 if none."""
    return ascending[max(0, math.ceil(fraction * len(ascending)) - 1)] if ascending else 0.0
