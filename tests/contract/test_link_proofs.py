"""The bytes read over links become one proof for each link, in the real queue's file."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from provider.links import reads as link_reads
from provider.links.reads import LinkReads
from provider.observability.metrics.backends import Proofs
from provider.proofs.proof import Proof
from provider.proofs.queue import ProofQueue
from provider.proofs.store import ProofStore

PROOF = Proof(1, "0x" + "ab" * 20, "did:op:1", "1", 0, 99, "0x" + "cd" * 32, "0x" + "ef" * 20, ("text",), "0x12")


class WatchedQueue(ProofQueue):
    """Tells when a proof was submitted."""

    submitted: asyncio.Event

    def submit(self, proof: Proof) -> None:
        super().submit(proof)
        self.submitted.set()


@asynccontextmanager
async def running(
    path: Path, *, idle_seconds: float = 3600.0, submitted: asyncio.Event | None = None
) -> AsyncIterator[LinkReads]:
    """Reads over a queue that another process sends from; at the end all is on disk."""
    store = ProofStore(path, kind="http", max_queued=100, metrics=Proofs())
    queue = WatchedQueue(store, [], lock=None, max_age_seconds=1e9, metrics=Proofs())
    queue.submitted = submitted or asyncio.Event()
    await queue.start()
    reads = LinkReads(queue, idle_seconds=idle_seconds)
    yield reads
    await reads.close()
    await queue.close()


def attested(path: Path) -> list[int]:
    """The bytes of each proof in the file."""
    with closing(sqlite3.connect(path)) as connection:
        return [Proof.from_json(text).downloaded_bytes for (text,) in connection.execute("SELECT record FROM proofs")]


@pytest.mark.gen_test
async def test_many_ranges_of_a_link_are_one_proof(tmp_path: Path) -> None:
    path = tmp_path / "proofs"
    async with running(path) as reads:
        for link in ("a", "b"):
            for _ in range(5):
                reads.begin(link, PROOF)
            for number in range(5):
                reads.end(link, 100 + number)
    assert attested(path) == [510, 510]


@pytest.mark.gen_test
async def test_a_link_that_nothing_was_read_from_is_not_attested(tmp_path: Path) -> None:
    path = tmp_path / "proofs"
    async with running(path) as reads:
        reads.begin("a", PROOF)
        reads.end("a", 0)
    assert attested(path) == []


@pytest.mark.gen_test
async def test_an_idle_link_is_attested_and_one_that_is_read_is_not(tmp_path: Path) -> None:
    path = tmp_path / "proofs"
    submitted = asyncio.Event()
    async with running(path, idle_seconds=0.01, submitted=submitted) as reads:
        reads.begin("busy", PROOF)
        reads.begin("idle", PROOF)
        reads.end("idle", 7)
        await submitted.wait()
        reads.end("busy", 8)
        reads.begin("idle", PROOF)
        reads.end("idle", 9)
    assert sorted(attested(path)) == [7, 8, 9]


@pytest.mark.gen_test
async def test_links_in_use_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "proofs"
    monkeypatch.setattr(link_reads, "MAX_LINKS", 2)
    async with running(path) as reads:
        for name in ("a", "b", "c"):
            reads.begin(name, PROOF)
            reads.end(name, ord(name))
        # The link that was idle longest had to go.
        reads.end("a", 1)
    assert attested(path) == [ord(name) for name in "abc"]
