"""SIGKILL in the middle of a system call: of the commit, of the reply, of the body, of the way to the origin.

strace delivers it at the chosen call, so that every step of a download is hit, not only those that last long.
"""

import http.client
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from provider.testing.chain.keys import CONSUMER_KEY
from provider.testing.child import Children
from provider.testing.http_client import Downloaded, download
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, url_file
from provider.testing.stage import DemoChain, launch_server
from tests.e2e.conftest import Sell
from tests.support.footprint import footprint, held_too_long
from tests.support.metadata_store import MetadataStore
from tests.support.origin import Origin, pattern_sha256, wait_until

STRACE = shutil.which("strace")
# Large enough to be spliced.
SIZE = 700_000
STEPS = [
    ("pwrite64", 1), ("pwrite64", 2), ("fdatasync", 1), ("fdatasync", 2), ("fdatasync", 3), ("connect", 1),
    ("splice", 1), ("splice", 4), ("sendto", 1), ("sendto", 2), ("sendto", 3), ("epoll_ctl", 3), ("recvfrom", 4),
    ("futex", 5),
]  # fmt: skip
MAX_REQUESTS = 12


@dataclass
class Seen:
    """What became of each nonce: whole and right, visibly broken, or refused."""

    urls: dict[str, str] = field(default_factory=dict)
    served: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)


def ask(url: str) -> Downloaded | None:
    """None when there was no answer."""
    try:
        return download(url)
    except (OSError, http.client.HTTPException):
        return None


@contextmanager
def killed_at(pid: int, call: str, count: int) -> Iterator[None]:
    """The process is killed when any of its threads makes this call for the `count`-th time from here on."""
    assert STRACE is not None
    tracer = subprocess.Popen(
        [STRACE, "-f", "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={count}", "-p", str(pid)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert tracer.stderr is not None
    line = tracer.stderr.readline()
    if "attached" not in line:
        tracer.kill()
        pytest.skip("no right to trace a process")
    try:
        yield
    finally:
        tracer.kill()
        tracer.communicate()


@pytest.mark.skipif(STRACE is None, reason="strace is not installed")
@pytest.mark.skipif(sys.platform != "linux", reason="system calls of Linux")
@pytest.mark.parametrize(("call", "count"), STEPS, ids=[f"{call} {count}" for call, count in STEPS])
def test_killed_at_this_call_no_nonce_serves_twice_and_no_cut_body_looks_whole(
    children: Children,
    chain: DemoChain,
    metadata_store: MetadataStore,
    sold: tuple[Published, str],
    tmp_path: Path,
    call: str,
    count: int,
) -> None:
    settings = {"AQUARIUS_URL": metadata_store.url}
    name = re.sub(r"\W", "-", f"kill-{call}-{count}")
    first = launch_server(children, chain, tmp_path, settings, name=name)
    first.wait_ready()
    consumer = Consumer(chain.wallet(CONSUMER_KEY), first.url)
    seen = Seen()
    with killed_at(first.child.pid, call, count):
        for number in range(1, MAX_REQUESTS + 1):
            nonce = str(number)
            seen.urls[nonce] = consumer.download_url(*sold, nonce=nonce)
            done = ask(seen.urls[nonce])
            if done is not None and done.complete:
                assert (done.status, done.sha256) == (200, pattern_sha256(SIZE))
                seen.served.add(nonce)
            else:
                seen.broken.add(nonce)
                break
        assert seen.broken, f"{call} was not called {count} times in {MAX_REQUESTS} downloads"
        wait_until(lambda: not is_alive(first.child.pid))
    second = launch_server(children, chain, tmp_path, settings, name=name)
    second.wait_ready()
    for nonce, url in seen.urls.items():
        again = ask(url.replace(first.url, second.url))
        assert again is not None
        if nonce in seen.served:
            assert again.status == 400, f"nonce {nonce} was served before the kill and again after it"
        else:
            assert again.status in (200, 400)
    consumer = Consumer(chain.wallet(CONSUMER_KEY), second.url)
    fresh = consumer.download(*sold, nonce=str(MAX_REQUESTS + 1))
    assert (fresh.status, fresh.sha256) == (200, pattern_sha256(SIZE))
    before = footprint(second.child.pid)
    # It is another process than before the kill, so all that can be asked of it is to hold no more from here on.
    for number in range(2, 5):
        assert consumer.download(*sold, nonce=str(MAX_REQUESTS + number)).complete
    held = held_too_long(before, second.child.pid, more_descriptors=2, more_bytes=None)
    second.child.stop()
    assert not held, held


def is_alive(pid: int) -> bool:
    """Neither gone nor waiting to be collected."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(scope="module")
def sold(sell: Sell, origin: Origin) -> tuple[Published, str]:
    """A file that is spliced, and the order for it."""
    return sell(url_file(f"{origin.url}/bytes/{SIZE}"))
