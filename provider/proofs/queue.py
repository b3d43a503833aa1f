"""Accepts proofs from downloads and sends them in the background, across restarts."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from provider.errors import ProviderError
from provider.observability.metrics.backends import Proofs
from provider.proofs.proof import Proof
from provider.proofs.store import ProofStore, SendingLock

POLL_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
TIDY_SECONDS = 2.0
# The publisher chooses the id of a service, and every proof stores it on disk. Usual ids have 64 characters.
MAX_SERVICE_ID = 1024

_log = logging.getLogger(__name__)


class Sender(Protocol):
    """Sends the due proofs of one kind."""

    async def turn(self) -> bool:
        """Run one round; True if there may be more at once. Raises ProviderError, and is called again later."""
        ...

    async def close(self) -> None:
        """Close connections."""
        ...


class ProofQueue:
    """The durable queue and its senders.

    `lock`: held by the process that sends; None if another process sends what is queued here.
    `max_age_seconds`: a proof not sent by then is lost.
    """

    def __init__(
        self,
        store: ProofStore,
        senders: Sequence[Sender],
        *,
        lock: SendingLock | None,
        max_age_seconds: float,
        metrics: Proofs,
    ) -> None:
        self._store = store
        self._senders = senders
        self._sending_lock = lock
        self._max_age_seconds = max_age_seconds
        self._metrics = metrics
        self._wakes = [asyncio.Event() for _ in senders]
        self._leaving = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the file and start sending. Raises StoreError."""
        await self._store.open()
        if self._sending_lock is not None:
            self._task = asyncio.create_task(self._work(self._sending_lock))

    def submit(self, proof: Proof) -> None:
        """Queue a proof of a download that ended. Never waits and never raises."""
        if not proof.consumer_signature:
            # A token identifies the consumer, but does not prove that this download was requested [K37].
            self._store.skip(proof, "the consumer used a token")
        elif len(proof.service_id) > MAX_SERVICE_ID:
            self._store.skip(proof, "the service id is too long")
        else:
            self._store.add(proof, self._wake)

    async def check(self) -> None:
        """Check with a durable write that the queue's file works. Raises StoreError."""
        await self._store.check()

    def hand_over(self) -> None:
        """Let another process send from here on: finish what is in progress, and start nothing new.

        Proofs can still be submitted; the process that sends finds them in the file.
        """
        self._leaving.set()
        self._wake()

    async def close(self) -> None:
        """Stop sending at once. What is queued stays on disk."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        await self._store.close()
        for sender in self._senders:
            await sender.close()
        if self._sending_lock is not None:
            self._sending_lock.release()

    def _wake(self) -> None:
        for wake in self._wakes:
            wake.set()

    async def _work(self, lock: SendingLock) -> None:
        while not lock.acquire():
            # Another process does not announce its end.
            await _wait(self._leaving, POLL_SECONDS)
            if self._leaving.is_set():
                return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tidy())
            for sender, wake in zip(self._senders, self._wakes, strict=True):
                group.create_task(self._send(sender, wake))
        lock.release()

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
    """Log an expected failure once and briefly, any other with its traceback."""
    if not isinstance(error, ProviderError):
        _log.error("%s failed", what, exc_info=error)
    elif is_news:
        _log.warning("%s failed: %s", what, error.detail or error.public_text)
