"""What the soak breaks, and what must hold meanwhile: each fault is over when its function returns."""

import http.client
import os
import signal
import time
from collections.abc import Callable

import psutil

from provider.testing.http_client import Downloaded, download
from tests.faults.soak_stage import Buyer, SharedStore, Stage, workers

GONE_SECONDS = 2.0
PATIENCE_SECONDS = 60.0
SMALL = 0
REFUSALS = (429, 503)


def answer(call: Callable[[], Downloaded]) -> Downloaded | None:
    """None when there was no answer at all."""
    try:
        return call()
    except (OSError, http.client.HTTPException):
        return None


def replay(stage: Stage, url: str) -> Downloaded | None:
    """A request that was served must not be served again."""
    again = answer(lambda: download(url))
    if again is not None and again.status in (200, 206):
        stage.broken.append("a nonce was served twice")
    return again


def check_refusal(stage: Stage, done: Downloaded) -> None:
    """A client that is refused temporarily is told when to come back."""
    if done.status in REFUSALS and not int(done.headers.get("retry-after", "0")):
        stage.broken.append(f"a {done.status} without Retry-After")


def next_fault(stage: Stage) -> None:
    """One fault; every kind has its turn, in random order, before one comes again."""
    kinds = {"kill a worker": _kill_a_worker, "reload": _reload, "node away": _node_away}
    if stage.shared is not None:
        kinds |= {"Redis killed": _redis_killed, "Redis silent": _redis_silent}
    fewest = min(stage.faults[kind] for kind in kinds)
    kind = stage.dice.choice([kind for kind in kinds if stage.faults[kind] == fewest])
    kinds[kind](stage)
    stage.faults[kind] += 1


def seen_all(stage: Stage) -> bool:
    """Has every kind had its turn?"""
    return len(stage.faults) == (3 if stage.shared is None else 5)


def _kill_a_worker(stage: Stage) -> None:
    running = workers(stage.dice.choice(stage.servers))
    if running:
        stage.dice.choice(running).kill()


def _reload(stage: Stage) -> None:
    os.kill(stage.dice.choice(stage.servers).child.pid, signal.SIGHUP)


def _node_away(stage: Stage) -> None:
    stage.proxy.up = False
    stage.stop.wait(GONE_SECONDS)
    stage.proxy.up = True


def _redis_killed(stage: Stage) -> None:
    """Its process dies; the next one has the data of its append-only file."""
    shared = _shared(stage)
    _serves(stage, shared.buyer)
    shared.redis.kill()
    _refuses(stage, shared.buyer)
    shared.redis.start()
    _serves(stage, shared.buyer)


def _redis_silent(stage: Stage) -> None:
    """It takes connections and questions, and answers nothing."""
    shared = _shared(stage)
    _serves(stage, shared.buyer)
    process = shared.process()
    process.suspend()
    try:
        _until(stage, "Redis stops", lambda: process.status() == psutil.STATUS_STOPPED)
        _refuses(stage, shared.buyer)
    finally:
        process.resume()
    _serves(stage, shared.buyer)


def _shared(stage: Stage) -> SharedStore:
    assert stage.shared is not None
    return stage.shared


def _refuses(stage: Stage, buyer: Buyer) -> None:
    """What needs a nonce is refused for as long as Redis is away, and what was served before is not served again."""
    end, refused = time.monotonic() + GONE_SECONDS, 0
    while not stage.broken and (time.monotonic() < end or not refused):
        url = buyer.url(SMALL)
        done = answer(lambda url=url: download(url))  # type: ignore[misc]
        if done is not None:
            refused += 1
            buyer.outcomes[f"{done.status} without Redis"] += 1
            check_refusal(stage, done)
            if done.status not in REFUSALS:
                stage.broken.append(f"a {done.status} while Redis was away")
        replay(stage, buyer.served[-1])
        if time.monotonic() > end + PATIENCE_SECONDS:
            stage.broken.append("no answer while Redis was away")
        time.sleep(0.05)


def _serves(stage: Stage, buyer: Buyer) -> None:
    """The service is there, or comes back; and it knows what it served before.

    That is asked first: a new nonce that is served would refuse all smaller ones by itself.
    """
    if buyer.served:
        _until(stage, "a nonce of before is refused", lambda: _is_refused(stage, buyer.served[-1]))

    def is_served() -> bool:
        url = buyer.url(SMALL)
        done = answer(lambda: download(url))
        if done is None or done.status != 200:
            return False
        buyer.served.append(url)
        return True

    _until(stage, "the service comes back", is_served)


def _is_refused(stage: Stage, url: str) -> bool:
    again = replay(stage, url)
    return again is not None and again.status == 400


def _until(stage: Stage, what: str, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if stage.broken or time.monotonic() > deadline:
            stage.broken.append(f"not in time: {what}")
            return
        time.sleep(0.05)
