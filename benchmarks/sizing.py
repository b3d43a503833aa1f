"""From figures to machines: what a Gbit/s, a request a second and a slow consumer need (pure)."""

from collections.abc import Sequence

from benchmarks.result import HIT, UPSTREAM_BYTES, Result
from benchmarks.stage import OURS

GB_PER_GBIT = 0.125
CAVEAT = (
    "Cores are those of the machine above, fully busy; plan with half as much again. Consumers over HTTPS cost "
    "another encryption, which is not in these figures. Each worker is one process on one core at most, hence "
    "`PROVIDER_WORKERS` is the number of cores, rounded up."
)


def lines(results: Sequence[Result]) -> list[list[str]]:
    """Rows of a table: what is to be carried, what it needs, and which figure says so. Only what was measured."""
    by_script = {result.script: result for result in results}
    found: list[list[str]] = []
    for script, origin in (("large_files", "plain HTTP"), ("large_files_tls", "HTTPS")):
        for case, cost, megabytes in _costs(by_script.get(script)):
            cores = cost * GB_PER_GBIT
            need = f"{cores:.3f} cores, {cores * 10:.2f} for 10 Gbit/s; {megabytes:.0f} MB"
            found.append([f"1 Gbit/s from an origin over {origin}, {case}", need, f"{cost:.3f} CPU s/GB"])
    found += _caches(by_script.get("cache_sizes"))
    found += _requests(by_script.get("warm_download"), "warm small download")
    found += _requests(by_script.get("encrypt_decrypt"), "call")
    found += _consumers(by_script.get("slow_consumers"))
    found += _idle(by_script.get("start_up"))
    return found


def _costs(result: Result | None) -> list[tuple[str, float, float]]:
    rows = [] if result is None else [row for row in result.rows if row.variant == OURS]
    found = []
    for row in rows:
        cost, memory = row.figure("CPU s/GB"), row.figure("peak RSS MB")
        if cost is not None and memory is not None:
            found.append((row.case, cost.median, memory.median))
    return found


def _caches(result: Result | None) -> list[list[str]]:
    found = []
    for row in () if result is None else result.rows:
        origin, hit, cost = (row.figure(title) for title in (UPSTREAM_BYTES, HIT, "CPU s/GB"))
        if row.variant != OURS and origin is not None and hit is not None and cost is not None:
            what = f"1 Gbit/s from an origin over HTTPS, {row.case}, {row.variant}"
            need = f"{cost.median * GB_PER_GBIT:.3f} cores; {origin.median:.2f} Gbit/s from the origin"
            found.append([what, need, f"{hit.median:.0f} % hits, {cost.median:.3f} CPU s/GB"])
    return found


def _requests(result: Result | None, what: str) -> list[list[str]]:
    found = []
    for row in () if result is None else result.rows:
        cost = row.figure("CPU µs/request")
        if row.variant == OURS and cost is not None:
            rate = f"1 core for {1e6 / cost.median:.0f} a second"
            found.append([f"{what}: {row.case}", rate, f"{cost.median:.0f} CPU µs"])
    return found


def _consumers(result: Result | None) -> list[list[str]]:
    found = []
    for row in () if result is None else result.rows:
        each = row.figure("KB RSS each")
        if row.variant == OURS and each is not None:
            found.append(
                ["1000 consumers that have stopped reading", f"{each.median:.0f} MB", f"{each.median:.1f} KB each"]
            )
    return found


def _idle(result: Result | None) -> list[list[str]]:
    found = []
    for row in () if result is None else result.rows:
        memory = row.figure("idle RSS MB")
        if memory is not None:
            found.append([f"{row.variant}, idle", f"{memory.median:.0f} MB", "RSS of all processes"])
    return found
