"""A mixed load with random faults, for as long as wanted: `python -m tests.faults.soak --minutes 60 [--seed N]`.

Consumers download files small and large, in parts, fast and slow, some leave in the middle, some repeat what they sent;
meanwhile workers are killed, all are reloaded, origins die and the node goes away. In the end: no nonce was served
twice, no byte was wrong, nothing that was cut looked whole, and descriptors and memory are back where they were.
"""

import argparse
import http.client
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from provider.demo.child import Children
from provider.demo.consumer import Consumer
from provider.demo.http_client import Downloaded, download, request
from provider.demo.keys import CONSUMER_KEY, PUBLISHER_KEY, SPARE_KEYS
from provider.demo.publisher import Published, url_file
from provider.demo.stage import DemoChain, DemoServer, chain_ready, launch_chain, launch_server
from tests.support.metadata_store import StoringPublisher, running_metadata_store
from tests.support.origin import Origin, pattern_sha256, running_origin, wait_until
from tests.support.processes import running_children
from tests.support.rpc_proxy import RpcProxy, running_rpc_proxy

SIZES = (1, 4_000, 300_000, 5_000_000, 40_000_000)
DYING = ("dies", "dies_chunked")
CONSUMERS = 6
FAULT_SECONDS = (0.5, 3.0)
GONE_SECONDS = 2.0


class Broken(Exception):
    """An invariant does not hold."""


@dataclass
class Buyer:
    """One consumer: a wallet with an order, and what became of what it sent."""

    consumer: Consumer
    order_tx: str
    nonce: int = 0
    served: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)


@dataclass
class Stage:
    """Everything that runs, and the load upon it."""

    server: DemoServer
    asset: Published
    buyers: list[Buyer]
    proxy: RpcProxy
    dice: random.Random
    faults: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def workers(self) -> list[psutil.Process]:
        """Worker processes that run."""
        return running_children(self.server.child.pid)


@contextmanager
def staged(seed: int) -> Iterator[Stage]:
    """A chain, a store, an origin, a server of two workers, and consumers who have bought."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="provider-soak-")))
        children = stack.enter_context(Children(str(folder)))
        chain: DemoChain = chain_ready(launch_chain(children))
        store = stack.enter_context(running_metadata_store())
        origin: Origin = stack.enter_context(running_origin())
        proxy = stack.enter_context(running_rpc_proxy(chain.url))
        settings = {
            "AQUARIUS_URL": store.url,
            "NETWORK_URL": proxy.url,
            "PROVIDER_WORKERS": "2",
            "REQUEST_TIMEOUT": "3",
            "PROVIDER_RECEIPT_WAIT_SECONDS": "0",
            "PROVIDER_CACHE_STATE_SECONDS": "1",
            "LOG_LEVEL": "WARNING",
        }
        server = launch_server(children, chain, folder, settings)
        server.wait_ready()
        publisher = StoringPublisher(chain.wallet(PUBLISHER_KEY), chain.contracts, server.url)
        publisher.store = store
        files = [url_file(f"{origin.url}/bytes/{size}") for size in SIZES]
        asset = publisher.publish([*files, *(url_file(f"{origin.url}/{path}") for path in DYING)])
        buyers = []
        for key in (CONSUMER_KEY, *SPARE_KEYS[: CONSUMERS - 1]):
            consumer = Consumer(chain.wallet(key), server.url)
            publisher.mint(asset.datatokens[0], consumer.address)
            buyers.append(Buyer(consumer, consumer.order(asset)))
        yield Stage(server, asset, buyers, proxy, random.Random(seed))


def answer(call: Callable[[], Downloaded]) -> Downloaded | None:
    """None when there was no answer at all."""
    try:
        return call()
    except (OSError, http.client.HTTPException):
        return None


def whole(stage: Stage, buyer: Buyer, dice: random.Random) -> None:
    """A file, whole or in part; now and then the same URL again."""
    index = dice.randrange(len(SIZES) + len(DYING))
    buyer.nonce += 1
    url = buyer.consumer.download_url(stage.asset, buyer.order_tx, file_index=index, nonce=str(buyer.nonce))
    part = index < len(SIZES) and SIZES[index] > 1000 and dice.random() < 0.3
    done = answer(lambda: download(url, headers={"Range": "bytes=0-999"} if part else None))
    buyer.outcomes[outcome(done)] += 1
    if done is None or done.status not in (200, 206):
        return
    if done.complete:
        buyer.served.append(url)
        if index >= len(SIZES):
            stage.broken.append("a body whose origin died looked whole")
        elif done.status == 200 and done.sha256 != pattern_sha256(SIZES[index]):
            stage.broken.append("a whole body had wrong bytes")
        elif done.status == 206 and (done.size_bytes, done.sha256) != (1000, pattern_sha256(1000)):
            stage.broken.append("a part had wrong bytes")
    if dice.random() < 0.2:
        replay(stage, url)


def leaving(stage: Stage, buyer: Buyer, dice: random.Random) -> None:
    """Read a little of a large file and go."""
    buyer.nonce += 1
    url = buyer.consumer.download_url(stage.asset, buyer.order_tx, file_index=len(SIZES) - 1, nonce=str(buyer.nonce))

    def go(_: int) -> None:
        if dice.random() < 0.2:
            raise ConnectionAbortedError

    answer(lambda: download(url, progress=go))
    buyer.outcomes["left"] += 1


def replay(stage: Stage, url: str) -> None:
    """What was served must not be served again."""
    again = answer(lambda: download(url))
    if again is not None and again.status in (200, 206):
        stage.broken.append("a nonce was served twice")


def outcome(done: Downloaded | None) -> str:
    """One word for the report."""
    if done is None:
        return "no answer"
    return f"{done.status}" if done.complete or done.status >= 400 else f"{done.status} cut"


def load(stage: Stage, buyer: Buyer, seed: int) -> None:
    """One consumer's life."""
    dice = random.Random(seed)
    while not stage.stop.is_set():
        (leaving if dice.random() < 0.15 else whole)(stage, buyer, dice)


def fault(stage: Stage) -> None:
    """One random fault, over when this returns."""
    kind = stage.dice.choice(("kill a worker", "reload", "node away"))
    stage.faults[kind] += 1
    if kind == "kill a worker":
        stage.dice.choice(stage.workers()).kill()
    elif kind == "reload":
        os.kill(stage.server.child.pid, signal.SIGHUP)
    else:
        stage.proxy.up = False
        stage.stop.wait(GONE_SECONDS)
        stage.proxy.up = True


def settle(stage: Stage) -> None:
    """Wait until two workers serve and old ones have gone."""

    def is_quiet() -> bool:
        try:
            ready = request("GET", f"{stage.server.admin_url}/readyz").status == 200
        except (OSError, http.client.HTTPException):
            return False
        return ready and len(stage.workers()) == 2

    wait_until(is_quiet, seconds=60)


def footprint(stage: Stage) -> tuple[int, int]:
    """Most open descriptors and most memory (bytes) of a worker."""
    workers = stage.workers()
    return max(worker.num_fds() for worker in workers), max(worker.memory_info().rss for worker in workers)


def run(seconds: float, seed: int, say: Callable[[str], None] = print) -> Counter[str]:
    """Run it all; the outcomes. Raises Broken."""
    with staged(seed) as stage, ThreadPoolExecutor(CONSUMERS) as pool:
        for buyer in stage.buyers:
            whole(stage, buyer, random.Random(0))
        settle(stage)
        before = footprint(stage)
        lives = [pool.submit(load, stage, buyer, seed + i) for i, buyer in enumerate(stage.buyers)]
        try:
            end, told = time.monotonic() + seconds, time.monotonic()
            while time.monotonic() < end and not stage.broken:
                stage.stop.wait(stage.dice.uniform(*FAULT_SECONDS))
                fault(stage)
                if time.monotonic() - told > 10:
                    told = time.monotonic()
                    say(f"{end - told:.0f} s left: {report(stage)}")
        finally:
            stage.stop.set()
            stage.proxy.up = True
        for life in lives:
            life.result()
        settle(stage)
        for buyer in stage.buyers:
            for url in buyer.served[-20:]:
                replay(stage, url)
        check_footprint(stage, before)
        say(report(stage))
        if "raceback" in stage.server.child.stderr_tail(1 << 24):
            stage.broken.append("there is a traceback in the log")
        if stage.broken:
            raise Broken("; ".join(sorted(set(stage.broken))))
        return sum((buyer.outcomes for buyer in stage.buyers), Counter())


def check_footprint(stage: Stage, before: tuple[int, int]) -> None:
    """Descriptors and memory of the workers that run now, against those of the start."""
    deadline = time.monotonic() + 15
    while (now := footprint(stage))[0] > before[0] + 20 and time.monotonic() < deadline:
        time.sleep(0.2)
    if now[0] > before[0] + 20:
        stage.broken.append(f"{now[0]} open descriptors, {before[0]} at the start")
    if now[1] > before[1] + (48 << 20):
        stage.broken.append(f"{now[1] >> 20} MiB of memory, {before[1] >> 20} at the start")


def report(stage: Stage) -> str:
    """What happened so far, in one line."""
    outcomes = sum((buyer.outcomes for buyer in stage.buyers), Counter())
    shown = (f"{name} {count}" for name, count in sorted((*outcomes.items(), *stage.faults.items())))
    return ", ".join(shown)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}")
    try:
        run(options.minutes * 60, options.seed)
    except Broken as broken:
        print(f"broken: {broken}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
