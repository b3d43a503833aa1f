"""Readiness and liveness: the checks, their time limits, how often they run, and the report."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from provider.admin.health import MAX_LAG_SECONDS, MAX_SILENCE_SECONDS, Liveness, NotReady, Readiness
from provider.errors import StoreError
from provider.process.loop_lag import RECENT_BEATS, LoopLag


@dataclass
class Seen:
    recent_lag_seconds: float = 0.0
    silent: Mapping[int, float] = field(default_factory=dict)

    def silent_seconds(self) -> Mapping[int, float]:
        return self.silent


async def fine() -> None:
    pass


@pytest.mark.gen_test
async def test_all_that_is_wrong_is_told_and_what_works_as_well() -> None:
    async def broken() -> None:
        raise StoreError(detail="disk is full at https://user:pw@host.example/x : away")

    async def behind() -> None:
        raise NotReady("the metadata index is behind")

    verdict = await Readiness({"a": fine, "b": broken, "c": behind}).judge()
    assert not verdict.ready
    assert verdict.checks["a"] == "ok"
    assert verdict.checks["b"].endswith("(disk is full at [redacted] : away)")
    assert verdict.checks["c"] == "the metadata index is behind"


@pytest.mark.gen_test
async def test_a_check_that_does_not_end_is_not_ok_and_holds_up_nothing() -> None:
    verdict = await Readiness({"slow": asyncio.Event().wait, "fine": fine}, patience_seconds=0.01).judge()
    assert verdict.checks == {"slow": "no answer within 0.01 s", "fine": "ok"}


@pytest.mark.gen_test
async def test_probes_that_come_together_share_one_round_which_a_leaver_does_not_end() -> None:
    asked = 0
    answer = asyncio.Event()

    async def check() -> None:
        nonlocal asked
        asked += 1
        await answer.wait()

    readiness = Readiness({"a": check})
    probes = [asyncio.ensure_future(readiness.judge()) for _ in range(3)]
    await asyncio.sleep(0)
    probes[0].cancel()
    await asyncio.sleep(0)
    answer.set()
    assert [verdict.ready for verdict in await asyncio.gather(*probes[1:])] == [True, True]
    assert (await readiness.judge()).ready
    assert asked == 1


@pytest.mark.gen_test
async def test_a_draining_server_is_never_ready() -> None:
    readiness = Readiness({"a": fine})
    assert (await readiness.judge()).ready
    readiness.draining = True
    assert (await readiness.judge()).checks == {"server": "draining"}


@pytest.mark.parametrize(
    ("seen", "fault"),
    [
        (Seen(), None),
        (Seen(recent_lag_seconds=MAX_LAG_SECONDS), None),
        (Seen(recent_lag_seconds=MAX_LAG_SECONDS + 1), "the event loop is 6.0 s late"),
        (Seen(silent={7: MAX_SILENCE_SECONDS}), None),
        (Seen(silent={7: MAX_SILENCE_SECONDS + 1, 8: 0.1}), "worker 7 has been silent for 16 s"),
    ],
)
def test_a_late_loop_and_a_silent_worker_are_faults(seen: Seen, fault: str | None) -> None:
    assert Liveness(seen, seen).faults() == ([] if fault is None else [fault])


@pytest.mark.gen_test(timeout=20)
async def test_a_pulse_beats_and_tells_how_late_it_was() -> None:
    beats = asyncio.Semaphore(0)
    lags: list[float] = []
    loop_lag = LoopLag(beats.release, observe_lag=lags.append)
    loop_lag.start()
    await beats.acquire()
    loop_lag.stop()
    assert len(lags) == 1
    assert lags[0] >= 0
    assert RECENT_BEATS > 1
    assert loop_lag.recent_lag_seconds == 0
