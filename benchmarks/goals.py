"""The project's performance goals, and their comparison with results (pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks import nginx, peers
from benchmarks.cached import CACHED, FIFTY, ONE
from benchmarks.curves import nonces
from benchmarks.result import RATE_TITLES, RPC, SPREAD, UPSTREAM, UPSTREAM_BYTES, Result, Row
from benchmarks.scripts.distant_origin import READ_AHEAD
from benchmarks.scripts.links import CACHED_LINK, LINK
from benchmarks.stage import OURS
from provider.cache import CacheConfig

CPU_GB, CPU_REQUEST = "CPU s/GB", "CPU µs/request"
NGINX_TUNED = "nginx tuned"
HAPROXY = "haproxy"
NGINX_CACHE = "nginx slice cache"
UNCACHED = "the same uncached"
NGINX_STATIC = "nginx with sendfile"
ONE_STREAM = "one stream"
RIVALS: Mapping[str, frozenset[str]] = {
    NGINX_TUNED: peers.NGINX_TUNED,
    HAPROXY: peers.HAPROXY,
    "the requests way": frozenset({peers.REQUESTS}),
    "nginx default": frozenset({nginx.DEFAULT}),
    NGINX_CACHE: frozenset({nginx.CACHING}),
    UNCACHED: frozenset({OURS}),
    ONE_STREAM: frozenset({OURS}),
    NGINX_STATIC: frozenset({nginx.STATIC}),
    peers.HELLO: frozenset({peers.HELLO}),
}


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure and its limit, in its own unit or as a multiple of the rival's best variant.

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
    """A goal and the measured figure. `measured`: in the goal's unit; None if it was not measured."""

    goal: Goal
    ours: float | None
    theirs: float | None
    measured: float | None

    @property
    def text(self) -> str:
        """The verdict as a word."""
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
    Goal("cached_files", ONE, CPU_GB, 1.3, UNCACHED, CACHED),
    # Of 50 readers the origin sends 1.05 times what one of them gets.
    Goal("cached_files", FIFTY, UPSTREAM_BYTES, 0.021, variant=CACHED),
    Goal("cached_files", FIFTY, SPREAD, 2.0, variant=CACHED),
    Goal("cached_files_plain", "hit, 8 × 128 MiB", CPU_GB, 0.7, HAPROXY, CACHED),
    Goal("cached_files_plain", "hit, 64 × 16 MiB", CPU_GB, 0.7, HAPROXY, CACHED),
    Goal("cached_files_plain", ONE, CPU_GB, 1.3, UNCACHED, CACHED),
    Goal("distant_origin", "100 ms, a new file", RATE_TITLES["GB"], 4.0, ONE_STREAM, READ_AHEAD, is_floor=True),
    Goal("cold_disk", "1 KiB, 4 connections, beside 8 streams", "p99 ms", 20.0),
    Goal("slow_consumers", "1000 consumers held for 60 s", "KB RSS each", 40.0),
    Goal("slow_consumers", "1000 consumers held for 60 s", "KB growth each", 1.0),
    Goal("warm_download", "1 KiB, 16 connections", CPU_REQUEST, 2.3, peers.HELLO),
    Goal("warm_download", "1 KiB, 1 connection", CPU_REQUEST, 2.8, peers.HELLO),
    Goal("links", "64 KiB of 4 MiB, 16 connections", CPU_REQUEST, 2.0, peers.HELLO, variant=LINK),
    Goal("links", "64 KiB of 4 MiB, 16 connections", CPU_REQUEST, 1.5, peers.HELLO, variant=CACHED_LINK),
    # The server follows the chain meanwhile; a request asks it nothing.
    Goal("links", "64 KiB of 4 MiB, 16 connections", RPC, 0.01, variant=CACHED_LINK),
    Goal("cold_download", "1 KiB, 1 connection", RPC, 2.0, variant="provider, caches off"),
    Goal("cold_download", "1 KiB, 1 connection", UPSTREAM, 1.0, variant="provider, caches off"),
    Goal("growth", "16 nonces in flight, 16 processes", "p99 ms", 10.0, variant=nonces.WRITER),
    Goal("growth", "1,000,000 empty blocks, node 100 ms away", "s", 20.0),
    Goal("growth", "4,000 blocks with an asset of 11.5 KB each", "longest stop ms", 10.0),
    Goal("growth", "bucket of a new client, 1,000,000 clients", "CPU µs", 2.5),
    Goal("growth", "receipt of 50 orders", "node reads per warm download", 0.0),
    Goal("growth", "proofs, 1,000,000 waiting", "insert CPU ms", 0.5),
    Goal("growth", "7,500 streams of 4 to 20 KB/s", "1 KiB p99 ms beside", 10.0),
    Goal("growth", "7,500 streams of 4 to 20 KB/s", "MB after they left", 100.0),
    Goal("growth", "2,000 DDOs of 1 MB", "MB held", CacheConfig().ddo.max_bytes / 1e6),
    Goal("overload", "1 KiB, twice the peak", "served, % of peak", 90.0, is_floor=True),
    Goal("overload", "1 KiB, twice the peak", "refused p99 ms", 10.0),
    Goal("start_up", "start", "s to the first answer", 1.0, variant="provider, 1 worker"),
    Goal("start_up", "start", "idle RSS MB", 60.0, variant="provider, 1 worker"),
)


def verdicts(results: Sequence[Result]) -> list[Verdict]:
    """Return the verdict on every goal."""
    by_script = {result.script: result for result in results}
    return [_verdict(goal, by_script.get(goal.script)) for goal in GOALS]


def _verdict(goal: Goal, result: Result | None) -> Verdict:
    ours = None if result is None else _median(result.row(goal.case, goal.variant), goal.figure)
    if goal.rival is None or result is None:
        return Verdict(goal, ours, None, ours)
    found = (_median(result.row(goal.case, name), goal.figure) for name in RIVALS[goal.rival])
    theirs = (max if goal.is_floor else min)((value for value in found if value is not None), default=None)
    ratio = None if ours is None or not theirs else ours / theirs
    return Verdict(goal, ours, theirs, ratio)


def _median(row: Row | None, title: str) -> float | None:
    figure = None if row is None else row.figure(title)
    return None if figure is None else figure.median
