"""Sums up what is read over each link, so that there is one proof of download per link and not one per range."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, replace

from provider.proofs.proof import Proof
from provider.proofs.queue import ProofQueue

IDLE_SECONDS = 60.0
"""A link that was idle for this long gets its proof."""

MAX_LINKS = 10_000
"""With more links in use, the one that was idle longest gets its proof early."""


@dataclass(slots=True)
class _Reading:
    proof: Proof
    last_at: float
    streams: int = 0


class LinkReads:
    """Sums up the bytes of each link's streams, and submits a proof when the link falls idle or the server ends."""

    def __init__(self, proofs: ProofQueue, *, idle_seconds: float = IDLE_SECONDS) -> None:
        self._proofs = proofs
        self._idle_seconds = idle_seconds
        self._readings: OrderedDict[str, _Reading] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, link: str, proof: Proof) -> None:
        """Begin a stream of this link. `proof`: what to attest, without the byte count."""
        reading = self._readings.get(link)
        if reading is None:
            reading = self._readings[link] = _Reading(replace(proof, downloaded_bytes=0), 0.0)
            if len(self._readings) > MAX_LINKS:
                self._submit(next(iter(self._readings)))
        reading.streams += 1
        self._touch(link, reading)

    def end(self, link: str, read_bytes: int) -> None:
        """End a stream of this link."""
        reading = self._readings.get(link)
        if reading is None:
            return
        reading.streams -= 1
        reading.proof = replace(reading.proof, downloaded_bytes=reading.proof.downloaded_bytes + read_bytes)
        self._touch(link, reading)

    async def close(self) -> None:
        """Submit all remaining proofs."""
        if self._timer is not None:
            self._timer.cancel()
        for link in list(self._readings):
            self._submit(link)

    def _touch(self, link: str, reading: _Reading) -> None:
        loop = asyncio.get_running_loop()
        reading.last_at = loop.time()
        self._readings.move_to_end(link)
        if self._timer is None:
            self._timer = loop.call_later(self._idle_seconds, self._sweep)

    def _sweep(self) -> None:
        """Submit the proofs of idle links. `_readings` is ordered by last use."""
        loop = asyncio.get_running_loop()
        idle_since = loop.time() - self._idle_seconds
        idle = [
            link for link, reading in self._readings.items() if not reading.streams and reading.last_at <= idle_since
        ]
        for link in idle:
            self._submit(link)
        self._timer = loop.call_later(self._idle_seconds, self._sweep) if self._readings else None

    def _submit(self, link: str) -> None:
        reading = self._readings.pop(link)
        if reading.proof.downloaded_bytes:
            self._proofs.submit(reading.proof)
