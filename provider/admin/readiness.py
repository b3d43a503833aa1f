"""Is this worker fit to serve? Each check is run for real, and its answer kept for a few seconds."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from provider.errors import ProviderError

# Probes come every few seconds from each of several systems; the nodes need not hear all of them.
REMEMBER_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the worker is ready, and each check's answer: `ok` or what is wrong."""

    ready: bool
    checks: Mapping[str, str]


class Readiness:
    """Runs the named checks. A check raises ProviderError when its part does not work."""

    def __init__(self, checks: Mapping[str, Callable[[], Awaitable[object]]]) -> None:
        self._checks = checks
        self._verdict: Verdict | None = None
        self._judged_at = 0.0
        self.draining = False

    async def judge(self) -> Verdict:
        """The verdict at this time. A draining worker is never ready."""
        if self.draining:
            return Verdict(False, {"server": "draining"})
        if self._verdict is None or time.monotonic() - self._judged_at > REMEMBER_SECONDS:
            answers = {name: await _answer(check) for name, check in self._checks.items()}
            self._verdict = Verdict(all(answer == "ok" for answer in answers.values()), answers)
            self._judged_at = time.monotonic()
        return self._verdict


async def _answer(check: Callable[[], Awaitable[object]]) -> str:
    try:
        await check()
    except ProviderError as error:
        return error.public_text
    return "ok"
