"""What is said to the load generator and what it answers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


class LoadFailed(Exception):
    """An answer was not the expected one, or none came."""


@dataclass(frozen=True, slots=True)
class ConnectionPlan:
    """Requests of one connection, sent one after the other, and what every answer must be.

    `sha256` (hex) is compared for the last `verified` bodies; the others are only counted.
    """

    requests: tuple[bytes, ...]
    status: int
    body_bytes: int
    sha256: str
    verified: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run sends, and to which port of this host.

    `seconds`: no request is sent after this time; `endless`: cut off where it stands when it is told to stop.
    """

    port: int
    connections: tuple[ConnectionPlan, ...]
    seconds: float | None = None
    endless: bool = False


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


def percentile(ascending: Sequence[float], fraction: float) -> float:
    """The smallest value that at least `fraction` of the values do not exceed (nearest rank); 0 without values."""
    return ascending[max(0, math.ceil(fraction * len(ascending)) - 1)] if ascending else 0.0
