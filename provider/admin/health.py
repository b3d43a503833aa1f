"""Readiness for /readyz: every check is run for real, all at once, and its answer kept for a few seconds.

Liveness for /healthz: this worker's event-loop lag and the age of every other worker's heartbeat.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provider.errors import ProviderError
from provider.observability.redaction import redact_own

if TYPE_CHECKING:
    from provider.observability.metrics.board import Board
    from provider.process.loop_lag import LoopLag

# Several systems probe every few seconds; the nodes need not notice each probe.
REMEMBER_SECONDS = 3.0
# While the server is not ready: those who wait for it, above all at its start, should soon learn that it is.
REMEMBER_FAILURE_SECONDS = 0.25
# Probes have a time limit of their own, which is seldom longer.
PATIENCE_SECONDS = 3.0

Check = Callable[[], Awaitable[object]]


class NotReady(Exception):
    """A part does not work. The text is for operators."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the server is ready, and each check's answer: `ok` or what is wrong."""

    ready: bool
    checks: Mapping[str, str]


class Readiness:
    """Runs the named checks. A check raises ProviderError or NotReady if its part does not work."""

    def __init__(self, checks: Mapping[str, Check], *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._checks = checks
        self._patience_seconds = patience_seconds
        self._verdict: Verdict | None = None
        self._judged_at = 0.0
        self._judging: asyncio.Task[Verdict] | None = None
        self.draining = False

    async def judge(self) -> Verdict:
        """Return the current verdict; simultaneous probes share one. A draining server is never ready."""
        if self.draining:
            return Verdict(False, {"server": "draining"})
        if self._verdict is not None:
            remembered = REMEMBER_SECONDS if self._verdict.ready else REMEMBER_FAILURE_SECONDS
            if time.monotonic() - self._judged_at <= remembered:
                return self._verdict
        if self._judging is None or self._judging.done():
            self._judging = asyncio.create_task(self._judge())
        # A cancelled probe must not end the checks of the others.
        return await asyncio.shield(self._judging)

    async def _judge(self) -> Verdict:
        answers = await asyncio.gather(*(self._answer(check) for check in self._checks.values()))
        checks = dict(zip(self._checks, answers, strict=True))
        self._verdict = Verdict(all(answer == "ok" for answer in answers), checks)
        self._judged_at = time.monotonic()
        return self._verdict

    async def _answer(self, check: Check) -> str:
        try:
            async with asyncio.timeout(self._patience_seconds):
                await check()
        except TimeoutError:
            return f"no answer within {self._patience_seconds:g} s"
        except NotReady as error:
            return str(error)
        except ProviderError as error:
            # For operators, who may read the log as well.
            return redact_own(f"{error.public_text} ({error.detail})" if error.detail else error.public_text)
        return "ok"


# A loop that is this late at every beat serves nobody. A long garbage collection or a swapped page is no reason yet.
MAX_LAG_SECONDS = 5.0
# Workers beat twice a second.
MAX_SILENCE_SECONDS = 15.0


class Liveness:
    """Reports what is wrong with the workers."""

    def __init__(self, loop_lag: "LoopLag", others: "Board") -> None:
        self._loop_lag, self._others = loop_lag, others

    def faults(self) -> list[str]:
        """Return the faults; an empty list means alive."""
        faults: list[str] = []
        lag = self._loop_lag.recent_lag_seconds
        if lag > MAX_LAG_SECONDS:
            faults.append(f"the event loop is {lag:.1f} s late")
        for process_id, seconds in sorted(self._others.silent_seconds().items()):
            if seconds > MAX_SILENCE_SECONDS:
                faults.append(f"worker {process_id} has been silent for {seconds:.0f} s")
        return faults
