"""Asks for the rest of a body whose origin was lost in the middle, repeatedly and within limits.

`upstream/resume.py` decides what may be joined. Bytes of another version are never sent.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from provider.errors import ProviderError, UpstreamTimedOut, UpstreamUnreachable
from provider.upstream.resume import Rest, may_pass, rest_of
from provider.upstream.source import Source

Reopen = Callable[[Rest], Awaitable[Source]]

# The first try after a success is immediate. Pauses then grow, since a restarting origin takes its time.
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Resuming:
    """How to ask for the rest of a body: `reopen` sends the request, at most `max_attempts` times per stream."""

    reopen: Reopen
    max_attempts: int


class Resumer:
    """The further answers of one body. `source`: its first answer."""

    __slots__ = ("_idle_seconds", "_left", "_pause_seconds", "_reopen", "_sent_bytes", "_until", "_whole", "resumes")

    def __init__(self, source: Source, resuming: Resuming) -> None:
        self._whole = rest_of(source)
        self._reopen = resuming.reopen
        self._left = resuming.max_attempts
        self._idle_seconds = source.idle_timeout_seconds
        # Answers that delivered a rest.
        self.resumes = 0
        self._sent_bytes = -1
        self._pause_seconds = 0.0
        self._until = 0.0

    async def resume(self, sent_bytes: int) -> Source | None:
        """An open source with everything after the first `sent_bytes` of the body; None if that fails.

        Attempts without a new byte between them share one idle limit. May be cancelled at any time.
        """
        if self._whole is None:
            return None
        now = asyncio.get_running_loop().time()
        if sent_bytes != self._sent_bytes:
            self._sent_bytes, self._pause_seconds, self._until = sent_bytes, 0.0, now + self._idle_seconds
        try:
            async with asyncio.timeout_at(self._until):
                found = await self._ask(self._whole.after(sent_bytes))
        except TimeoutError:
            return None
        self.resumes += found is not None
        return found

    async def _ask(self, rest: Rest) -> Source | None:
        while self._left > 0:
            self._left -= 1
            await asyncio.sleep(self._next_pause())
            try:
                answer = await self._reopen(rest)
            except (UpstreamUnreachable, UpstreamTimedOut):
                continue
            except ProviderError:
                return None
            if rest.is_in(answer):
                return answer
            answer.close()
            if not may_pass(answer.status):
                return None
        return None

    def _next_pause(self) -> float:
        pause = self._pause_seconds
        self._pause_seconds = min(max(2 * pause, _FIRST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS)
        return pause
