"""A mixed load with random faults, for as long as wanted: `python -m tests.faults.soak --minutes 60 [--seed N]`.

With `--attack` strangers attack instead (`soak_attack.py`), all kinds at once and on loopback only. Buyers are served
meanwhile; in the end no gauge has drifted, descriptors and memory are flat, no connection is left that a server would
wait for at its end, and SIGTERM takes a second at most.

Consumers download files small and large, in parts, fast and slow, some leave in the middle, some repeat what they sent;
meanwhile workers are killed, all are reloaded, origins die, the node goes away, and Redis is killed or falls silent. In
the end: no nonce was served twice, no byte was wrong, nothing that was cut looked whole, who was refused for want of
something was told when to come again, and descriptors and memory are back where they were.
"""

import argparse
import http.client
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from provider.testing.http_client import Downloaded, download, request
from provider.testing.readings import scrape
from provider.testing.stage import DemoServer
from tests.faults.soak_attack import attacking
from tests.faults.soak_faults import answer, check_refusal, next_fault, replay, seen_all
from tests.faults.soak_stage import DYING, SIZES, WORKERS, Buyer, Stage, staged, workers
from tests.support.footprint import Footprint, footprint, held_too_long
from tests.support.origin import pattern_sha256

FAULT_SECONDS = (0.2, 1.5)
SETTLE_SECONDS = 60.0
# Without the time in which the machine has no free processor: a server needs a tenth of a second of one to end.
STOP_SECONDS = 1.0
# Six consumers at once, any of whom may be at the one worker; a reloaded worker has not served what the old one had.
MORE_DESCRIPTORS, MORE_BYTES = 20, 48 << 20


class Broken(Exception):
    """An invariant does not hold."""


def whole(stage: Stage, buyer: Buyer, dice: random.Random) -> None:
    """A file, whole or in part; now and then the same URL again."""
    index = dice.randrange(len(SIZES) + len(DYING))
    url = buyer.url(index)
    part = index < len(SIZES) and SIZES[index] > 1000 and dice.random() < 0.3
    done = answer(lambda: download(url, headers={"Range": "bytes=0-999"} if part else None))
    buyer.outcomes[outcome(done)] += 1
    if done is None:
        return
    check_refusal(stage, done)
    if done.status not in (200, 206):
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
    url = buyer.url(len(SIZES) - 1)

    def go(_: int) -> None:
        if dice.random() < 0.2:
            raise ConnectionAbortedError

    answer(lambda: download(url, progress=go))
    buyer.outcomes["left"] += 1


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


def settle(stage: Stage) -> None:
    """Wait until the workers of all servers serve and old ones have gone."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while unsettled := [state for server in stage.servers if (state := unquiet(server))]:
        if time.monotonic() > deadline:
            raise Broken("; ".join(unsettled))
        time.sleep(0.05)


def unquiet(server: DemoServer) -> str:
    """What keeps this server from being as it was at the start; empty when nothing does."""
    try:
        ready = request("GET", f"{server.admin_url}/readyz")
    except (OSError, http.client.HTTPException):
        return "/readyz does not answer"
    if ready.status != 200:
        return f"/readyz says {ready.body.decode()}"
    running = len(workers(server))
    return "" if running == WORKERS else f"{running} workers run"


def run(seconds: float, seed: int, say: Callable[[str], None] = print) -> Counter[str]:
    """Run it all, until every kind of fault has been; the outcomes. Raises Broken."""
    with staged(seed) as stage, ThreadPoolExecutor(len(stage.buyers)) as pool:
        for buyer in stage.buyers:
            whole(stage, buyer, random.Random(0))
        settle(stage)
        before = [footprint(server.child.pid) for server in stage.servers]
        lives = [pool.submit(load, stage, buyer, seed + i) for i, buyer in enumerate(stage.buyers)]
        try:
            break_things(stage, seconds, say)
        finally:
            stage.stop.set()
            stage.proxy.up = True
        for life in lives:
            life.result()
        say(report(stage))
        settle(stage)
        check_end(stage, before)
        if stage.broken:
            raise Broken("; ".join(sorted(set(stage.broken))))
        return all_outcomes(stage)


def run_attack(seconds: float, seed: int, say: Callable[[str], None] = print) -> Counter[str]:
    """The same load under attack, without faults; the outcomes. Raises Broken."""
    with staged(seed, silent_names=True) as stage, ThreadPoolExecutor(len(stage.buyers)) as pool:
        for buyer in stage.buyers:
            whole(stage, buyer, random.Random(0))
        say("names are silent" if stage.names_are_silent else "names do not exist: no silent name server here")
        with attacking(stage) as attack:
            attack.start()
            lives = [pool.submit(load, stage, buyer, seed + i) for i, buyer in enumerate(stage.buyers)]
            # What is warm after a fifth of the time must be enough for the rest of it.
            stage.stop.wait(seconds / 5)
            before = [footprint(server.child.pid) for server in stage.servers]
            end = time.monotonic() + seconds * 4 / 5
            while (left := end - time.monotonic()) > 0 and not stage.broken:
                stage.stop.wait(min(10, left))
                held = ", ".join(str(footprint(server.child.pid)) for server in stage.servers)
                say(f"{max(left, 0):.0f} s left: {report(stage)}; {dict(attack.done)}; {held}")
            stage.stop.set()
            attack.join()
        for life in lives:
            life.result()
        settle(stage)
        check_gauges(stage)
        check_end(stage, before)
        check_stop(stage, say)
        if stage.broken:
            raise Broken("; ".join(sorted(set(stage.broken))))
        return all_outcomes(stage)


def check_gauges(stage: Stage) -> None:
    """Nothing may be under way when nobody asks for anything."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while drifted := [f"{name} is {value:g}" for server in stage.servers for name, value in under_way(server) if value]:
        if time.monotonic() > deadline:
            stage.broken.append(", ".join(drifted))
            return
        time.sleep(0.1)


def under_way(server: DemoServer) -> list[tuple[str, float]]:
    """The gauges of work under way."""
    readings = scrape(server.admin_url)
    names = {name for name, _ in readings.samples if re.search(r"_(in_progress|in_use|under_way)$", name)}
    return [(name, readings.total(name)) for name in sorted(names)]


def check_stop(stage: Stage, say: Callable[[str], None]) -> None:
    """SIGTERM when no connection is open: a server waits for those that had no answer yet."""
    for server in stage.servers:
        deadline = time.monotonic() + SETTLE_SECONDS
        while left := connections(server):
            if time.monotonic() > deadline:
                stage.broken.append(f"{left} connections are open, and their clients have gone")
                return
            time.sleep(0.05)
        began, waited = time.monotonic(), processor_wait_seconds()
        server.child.ask_to_stop()
        status = server.child._process.wait(SETTLE_SECONDS)
        took = time.monotonic() - began - (processor_wait_seconds() - waited)
        say(f"SIGTERM took {took:.2f} s, exit status {status}")
        if took > STOP_SECONDS or status != 0:
            stage.broken.append(f"SIGTERM took {took:.1f} s, exit status {status}")


def processor_wait_seconds() -> float:
    """For how long, since the system's start, anything has waited for a processor; 0 where the system does not tell."""
    try:
        # "some … total=N": microseconds (Documentation/accounting/psi.rst of Linux).
        return int(Path("/proc/pressure/cpu").read_text().split("total=")[1].split()[0]) / 1e6
    except (OSError, IndexError):
        return 0.0


def connections(server: DemoServer) -> int:
    """How many the workers have from consumers."""
    port = urlsplit(server.url).port
    held = [held for worker in workers(server) for held in worker.net_connections("tcp") if held.laddr.port == port]
    return sum(one.status != psutil.CONN_LISTEN for one in held)


def break_things(stage: Stage, seconds: float, say: Callable[[str], None]) -> None:
    """One fault after the other, until the time is over or an invariant is broken."""
    end, told = time.monotonic() + seconds, time.monotonic()
    while (time.monotonic() < end or not seen_all(stage)) and not stage.broken:
        stage.stop.wait(stage.dice.uniform(*FAULT_SECONDS))
        next_fault(stage)
        if time.monotonic() - told > 10:
            told = time.monotonic()
            say(f"{max(end - told, 0):.0f} s left: {report(stage)}")


def check_end(stage: Stage, before: list[Footprint]) -> None:
    """What must hold when all is quiet again."""
    for buyer in stage.everybody():
        for url in buyer.served[-20:]:
            replay(stage, url)
    for server, first in zip(stage.servers, before, strict=True):
        held = held_too_long(first, server.child.pid, more_descriptors=MORE_DESCRIPTORS, more_bytes=MORE_BYTES)
        if held:
            stage.broken.append(held)
        if "raceback" in server.child.stderr_tail(1 << 24):
            stage.broken.append("there is a traceback in the log")


def all_outcomes(stage: Stage) -> Counter[str]:
    """Of all consumers."""
    return sum((buyer.outcomes for buyer in stage.everybody()), Counter())


def report(stage: Stage) -> str:
    """What happened so far, in one line."""
    shown = (f"{name} {count}" for name, count in sorted((*all_outcomes(stage).items(), *stage.faults.items())))
    return ", ".join(shown)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--attack", action="store_true", help="attackers instead of faults")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}")
    try:
        (run_attack if options.attack else run)(options.minutes * 60, options.seed)
    except Broken as broken:
        print(f"broken: {broken}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
