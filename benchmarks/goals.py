"""The goals that the project has set itself, and what results say about them (pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks import nginx, peers
from benchmarks.cached import CACHED
from benchmarks.result import RPC, UPSTREAM, Result, Row
from benchmarks.stage import OURS

CPU_GB, CPU_REQUEST = "CPU s/GB", "CPU µs/request"
NGINX_TUNED = "nginx tuned"
HAPROXY = "haproxy"
NGINX_CACHE = "nginx slice cache"
UNCACHED = "the same uncached"
NGINX_STATIC = "nginx with sendfile"
RIVALS: Mapping[str, frozenset[str]] = {
    NGINX_TUNED: peers.NGINX_TUNED,
    HAPROXY: peers.HAPROXY,
    "the requests way": frozenset({peers.REQUESTS}),
    "nginx default": frozenset({nginx.DEFAULT}),
    NGINX_CACHE: frozenset({nginx.CACHING}),
    UNCACHED: frozenset({OURS}),
    NGINX_STATIC: frozenset({nginx.STATIC}),
    peers.HELLO: frozenset({peers.HELLO}),
}


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure and its limit, in its own unit or as a multiple of the rival's cheapest variant.

    It must not be greater, or with `is_floor` not be smaller.
    """

    script: str
    case: str
    figure: str
    limit: float
    rival: str | None = None
    variant: str = OURS
    is_floor: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """A goal next to what was measured. `measured` is in the goal's terms, None when there was no such run."""

    goal: Goal
    ours: float | None
    theirs: float | None
    measured: float | None

    @property
    def text(self) -> str:
        """In a word."""
        if self.measured is None:
            return "not measured"
        goal = self.goal
        is_met = self.measured >= goal.limit if goal.is_floor else self.measured <= goal.limit
        return "met" if is_met else "**missed**"


GOALS: Sequence[Goal] = (
    Goal("large_files", "1 × 1 GiB", CPU_GB, 1.05, HAPROXY),
    Goal("large_files", "8 × 128 MiB", CPU_GB, 1.05, HAPROXY),
    Goal("large_files", "8 × 128 MiB", CPU_GB, 0.60, NGINX_TUNED),
    Goal("large_files", "8 × 128 MiB", CPU_GB, 0.06, "the requests way"),
    Goal("large_files", "64 × 16 MiB", CPU_GB, 1.05, HAPROXY),
    Goal("large_files", "64 × 16 MiB", CPU_GB, 0.60, NGINX_TUNED),
    Goal("large_files", "64 × 16 MiB", CPU_GB, 0.06, "the requests way"),
    Goal("large_files", "512 × 4 MiB", CPU_GB, 1.0, HAPROXY),
    Goal("large_files", "512 × 4 MiB", CPU_GB, 0.65, NGINX_TUNED),
    Goal("large_files_tls", "1 × 1 GiB", CPU_GB, 1.0, NGINX_TUNED),
    Goal("large_files_tls", "8 × 128 MiB", CPU_GB, 1.0, NGINX_TUNED),
    Goal("large_files_tls", "64 × 16 MiB", CPU_GB, 1.0, NGINX_TUNED),
    Goal("local_files", "8 × 128 MiB", CPU_GB, 1.0, NGINX_STATIC),
    Goal("local_files", "8 × 128 MiB", CPU_GB, 0.7, HAPROXY),
    Goal("local_files", "64 × 16 MiB", CPU_GB, 1.25, NGINX_STATIC),
    Goal("local_files", "64 × 16 MiB", CPU_GB, 0.7, HAPROXY),
    Goal("cached_files", "hit, 8 × 128 MiB", CPU_GB, 1.0, NGINX_CACHE, CACHED),
    Goal("cached_files", "hit, 8 × 128 MiB", CPU_GB, 0.25, UNCACHED, CACHED),
    Goal("cached_files", "hit, 64 × 16 MiB", CPU_GB, 1.25, NGINX_CACHE, CACHED),
    Goal("cached_files", "fill, 1 reader", CPU_GB, 1.3, UNCACHED, CACHED),
    Goal("cached_files", "fill, 50 readers", UPSTREAM, 0.05, variant=CACHED),
    Goal("cached_files_plain", "hit, 8 × 128 MiB", CPU_GB, 0.7, HAPROXY, CACHED),
    Goal("cached_files_plain", "fill, 1 reader", CPU_GB, 1.3, UNCACHED, CACHED),
    Goal("slow_consumers", "1000 consumers held for 60 s", "KB RSS each", 40.0),
    Goal("slow_consumers", "1000 consumers held for 60 s", "KB growth each", 1.0),
    Goal("warm_download", "1 KiB, 16 connections", CPU_REQUEST, 2.3, peers.HELLO),
    Goal("warm_download", "1 KiB, 1 connection", CPU_REQUEST, 2.8, peers.HELLO),
    Goal("links", "64 KiB of 4 MiB, 16 connections", CPU_REQUEST, 2.0, peers.HELLO, variant="provider, link"),
    Goal("cold_download", "1 KiB, 1 connection", RPC, 2.0, variant="provider, caches off"),
    Goal("cold_download", "1 KiB, 1 connection", UPSTREAM, 1.0, variant="provider, caches off"),
    Goal("overload", "1 KiB, twice the peak", "served, % of peak", 90.0, is_floor=True),
    Goal("overload", "1 KiB, twice the peak", "refused p99 ms", 10.0),
    Goal("start_up", "start", "s to the first answer", 1.0, variant="provider, 1 worker"),
    Goal("start_up", "start", "idle RSS MB", 60.0, variant="provider, 1 worker"),
)


def verdicts(results: Sequence[Result]) -> list[Verdict]:
    """Every goal next to the results."""
    by_script = {result.script: result for result in results}
    return [_verdict(goal, by_script.get(goal.script)) for goal in GOALS]


def _verdict(goal: Goal, result: Result | None) -> Verdict:
    ours = None if result is None else _median(result.row(goal.case, goal.variant), goal.figure)
    if goal.rival is None or result is None:
        return Verdict(goal, ours, None, ours)
    found = (_median(result.row(goal.case, name), goal.figure) for name in RIVALS[goal.rival])
    theirs = min((value for value in found if value is not None), default=None)
    ratio = None if ours is None or not theirs else ours / theirs
    return Verdict(goal, ours, theirs, ratio)


def _median(row: Row | None, title: str) -> float | None:
    figure = None if row is None else row.figure(title)
    return None if figure is None else figure.median
