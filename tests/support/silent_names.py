"""Anonymous requests for names whose servers never answer, and downloads meanwhile that need new connections."""

import itertools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event, Thread

from provider.testing.http_client import Reply, request
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published

_numbers = itertools.count()


@dataclass
class Attack:
    """Runs `clients` threads, each naming one silent host after another, until `left` requests are sent or it ends."""

    url: str
    clients: int
    left: int
    pause_seconds: float = 0.0
    statuses: list[int] = field(default_factory=list)
    _end: Event = field(default_factory=Event)
    _threads: list[Thread] = field(default_factory=list)

    def __enter__(self) -> "Attack":
        self._threads = [Thread(target=self._run, daemon=True) for _ in range(self.clients)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(60)

    @property
    def is_over(self) -> bool:
        """Tell whether all requests have been answered."""
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        while self.left > 0 and not self._end.is_set():
            self.left -= 1
            self.statuses.append(ask_silent(self.url))
            self._end.wait(self.pause_seconds)


def ask_silent(url: str) -> int:
    """Return the status of one anonymous `fileinfo` about a name that nobody answers for."""
    return file_info(url, f"http://n{next(_numbers)}.slow.test/").status


def file_info(url: str, file_url: str, *, client: str | None = None) -> Reply:
    """Return the answer about one file, asked by `client` as reported by a trusted proxy."""
    body = json.dumps({"type": "url", "url": file_url, "method": "GET"}).encode()
    headers = {"Content-Type": "application/json"} | ({"X-Forwarded-For": client} if client else {})
    return request("POST", f"{url}/api/services/fileinfo", body=body, headers=headers)


def timed_downloads(
    consumer: Consumer, bought: tuple[Published, str], files: int, goes_on: Callable[[], bool]
) -> list[float]:
    """Return the seconds of each download in a series, all answered 200."""
    seconds: list[float] = []
    while goes_on():
        began = time.perf_counter()
        answer = consumer.download(*bought, file_index=len(seconds) % files)
        seconds.append(time.perf_counter() - began)
        assert answer.status == 200, (answer.status, answer.error_body)
    return seconds
