"""Takes proofs from the downloads and lets the senders send them in the background, over restarts."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from provider.errors import ProviderError
from provider.observability.metrics.groups import Proofs
from provider.proofs.proof import Proof
from provider.proofs.store import ProofStore, SendingRight

POLL_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
TIDY_SECONDS = 2.0
# The publisher chooses the id of a service, and every proof keeps it on disk; usual ones have 64 characters.
MAX_SERVICE_ID = 1024

_log = logging.getLogger(__name__)


class Sender(Protocol):
    """Sends what is due of one kind."""

    async def turn(self) -> bool:
        """One round; True when there may be more at once. Raises ProviderError, and is called again later."""
        ...

    async def close(self) -> None:
        """Give connections back."""
        ...


class ProofQueue:
    """The durable queue and its senders. `right` None: another process sends what is queued here.

    `max_age_seconds`: a proof that could not be sent until then is lost.
    """

    def __init__(
        self,
        store: ProofStore,
        senders: Sequence[Sender],
        *,
        right: SendingRight | None,
        max_age_seconds: float,
        metrics: Proofs,
    ) -> None:
        self._store = store
        self._senders = senders
        self._right = right
        self._max_age_seconds = max_age_seconds
        self._metrics = metrics
        self._wakes = [asyncio.Event() for _ in senders]
        self._leaving = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the file and begin to send. Raises StoreError."""
        await self._store.open()
        if self._right is not None:
            self._task = asyncio.create_task(self._work(self._right))

    def submit(self, proof: Proof) -> None:
        """Queue a proof of a download that ended; never waits, never raises."""
        if not proof.consumer_signature:
            # A token says who asks, not that this download was asked for: there is nothing to attest with [K37].
            self._store.skip(proof, "the consumer came with a token")
        elif len(proof.service_id) > MAX_SERVICE_ID:
            self._store.skip(proof, "the id of its service is too long")
        else:
            self._store.add(proof, self._wake)

    async def check(self) -> None:
        """Prove with a durable write that the queue's file works. Raises StoreError."""
        await self._store.check()

    def step_back(self) -> None:
        """Let another process send from here on: what is on its way is followed to its end, nothing new begins.

        Proofs can still be submitted; whoever sends finds them in the file.
        """
        self._leaving.set()
        self._wake()

    async def close(self) -> None:
        """Stop sending at once; what is queued stays on disk."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        await self._store.close()
        for sender in self._senders:
            await sender.close()
        if self._right is not None:
            self._right.give_back()

    def _wake(self) -> None:
        for wake in self._wakes:
            wake.set()

    async def _work(self, right: SendingRight) -> None:
        while not right.take():
            # Another process tells nobody that it ended.
            await _wait(self._leaving, POLL_SECONDS)
            if self._leaving.is_set():
                return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tidy())
            for sender, wake in zip(self._senders, self._wakes, strict=True):
                group.create_task(self._send(sender, wake))
        right.give_back()

    async def _send(self, sender: Sender, wake: asyncio.Event) -> None:
        failures = 0
        while not self._leaving.is_set():
            wake.clear()
            try:
                has_more = await sender.turn()
                failures = 0
            except Exception as error:  # noqa: BLE001 - the top of a background task, which must not end
                has_more = False
                failures += 1
                _report("sending proofs", error, is_news=failures == 1)
            if failures:
                await _wait(self._leaving, min(POLL_SECONDS * 2 ** min(failures, 16), LONGEST_PAUSE_SECONDS))
            elif not has_more:
                await _wait(wake, POLL_SECONDS)

    async def _tidy(self) -> None:
        while not self._leaving.is_set():
            try:
                self._metrics.queued.set(await self._store.tidy(max_age_seconds=self._max_age_seconds))
            except Exception as error:  # noqa: BLE001 - likewise
                _report("tidying proofs", error, is_news=True)
            await _wait(self._leaving, TIDY_SECONDS)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


def _report(what: str, error: Exception, *, is_news: bool) -> None:
    """What is known to happen is told once and shortly, anything else with its traceback."""
    if not isinstance(error, ProviderError):
        _log.error("%s failed", what, exc_info=error)
    elif is_news:
        _log.warning("%s failed: %s", what, error.detail or error.public_text)
