"""The first reading of a chain: empty blocks far away, and dense blocks that must not stop the event loop."""

import asyncio
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop

from benchmarks.daemon import PartFailed
from benchmarks.log_node import CHAIN_ID, FACTORY, LogNode, listening
from benchmarks.options import Options
from benchmarks.plans import percentile
from benchmarks.result import Figure, Row, figure
from provider.assets.chain_scan import ChainScan
from provider.assets.config import MetadataConfig
from provider.assets.index_store import IndexStore
from provider.chain.config import RpcConfig
from provider.chain.networks import Network
from provider.chain.rpc import Rpc
from provider.crypto.accounts import Account
from provider.crypto.keccak import to_checksum_address
from provider.observability.metrics.backends import Index

_BEAT_SECONDS = 0.001
_START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _Chain:
    """`assets`: one in each of the first blocks, each with a document of `document_bytes`."""

    name: str
    blocks: int
    delay_seconds: float
    assets: int = 0
    document_bytes: int = 0


_CHAINS = (
    _Chain("1,000,000 empty blocks, node 100 ms away", 1_000_000, 0.1),
    _Chain("4,000 blocks with an asset of 11.5 KB each", 4_000, 0.0, 4_000, 11_500),
    _Chain("4,000 blocks with an asset of 4.4 KB each", 4_000, 0.0, 4_000, 4_400),
)


def rows(options: Options) -> list[Row]:
    """Read each chain into new files, beside a loop that only measures its own lag."""
    rounds = 1 if options.is_quick else min(3, options.rounds)
    return [_idle(), *(_row(chain, rounds, options.storage) for chain in _CHAINS)]


def _idle() -> Row:
    async def wait() -> _Beat:
        beat = _Beat()
        await asyncio.sleep(2.0)
        beat.stop()
        return beat

    return Row("nothing to read", "provider", _stops([uvloop.run(wait())]))


def _row(chain: _Chain, rounds: int, storage: Path | None) -> Row:
    took, beats = [], []
    for _ in range(rounds):
        with _node(chain) as url, tempfile.TemporaryDirectory(prefix="provider-bench-", dir=storage) as folder:
            seconds, beat = uvloop.run(_read(url, Path(folder) / "index"))
        took.append(seconds)
        beats.append(beat)
    return Row(chain.name, "provider", (*figure("s", took, 1), *_stops(beats)))


def _stops(beats: "list[_Beat]") -> tuple[Figure, ...]:
    return (
        *figure("longest work CPU ms", [1000 * max(beat.work) for beat in beats], 1),
        *figure("longest stop ms", [1000 * max(beat.lags) for beat in beats], 1),
        *figure("p99 of stops ms", [1000 * percentile(sorted(beat.lags), 0.99) for beat in beats], 1),
    )


class _Beat:
    """Wakes every millisecond, and records how late that was and how much CPU time the loop used meanwhile."""

    def __init__(self) -> None:
        self.lags: list[float] = []
        self.work: list[float] = []
        self._task = asyncio.ensure_future(self._run())

    def stop(self) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            before, cpu_before = time.perf_counter(), time.thread_time()
            await asyncio.sleep(_BEAT_SECONDS)
            self.lags.append(time.perf_counter() - before - _BEAT_SECONDS)
            self.work.append(time.thread_time() - cpu_before)


async def _read(url: str, path: Path) -> tuple[float, _Beat]:
    network = Network(
        chain_id=CHAIN_ID,
        name="made up",
        rpc=Rpc([url], RpcConfig(), chain_id=CHAIN_ID),
        factory=to_checksum_address(FACTORY),
        fee_token="0x" + "00" * 20,
        account=Account.from_hex("01" * 32),
    )
    store = IndexStore(path)
    config = MetadataConfig()
    scan = ChainScan(
        network,
        store,
        start_block=0,
        batch_blocks=config.index_batch_blocks,
        max_document_bytes=config.max_document_bytes,
        metrics=Index(is_on=False),
    )
    beat = _Beat()
    began = time.perf_counter()
    try:
        while not await scan.run():
            pass
        return time.perf_counter() - began, beat
    finally:
        beat.stop()
        await network.rpc.close()
        await store.close()


@contextmanager
def _node(chain: _Chain) -> Iterator[str]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_serve, args=(chain, theirs), daemon=True)
    child.start()
    theirs.close()
    try:
        if not ours.poll(_START_SECONDS):
            raise PartFailed("the node does not start")
        yield ours.recv()
    except EOFError as exc:
        raise PartFailed("the node has ended") from exc
    finally:
        child.kill()
        child.join()


def _serve(chain: _Chain, pipe: "multiprocessing.connection.Connection[str, None]") -> None:
    async def serve() -> None:
        node = LogNode(head=chain.blocks, delay_seconds=chain.delay_seconds)
        for number in range(chain.assets):
            node.publish(number, number, document=b"x" * chain.document_bytes)
        async with listening(node):
            pipe.send(node.url)
            await asyncio.Event().wait()

    uvloop.run(serve())
