"""The scenes of the demo: publish, buy, download, and three attempts that must be refused."""

import io
import re
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from provider.demo.scenes.report import Report, duration, size
from provider.testing.chain.keys import CONSUMER_KEY, PUBLISHER_KEY, STRANGER_KEY
from provider.testing.http_client import Downloaded, download, error_text
from provider.testing.market import forge
from provider.testing.market.consumer import Consumer, fee_tuple, first_quote
from provider.testing.market.publisher import Published, Publisher, url_file
from provider.testing.stage import DemoChain


@dataclass(frozen=True, slots=True)
class Dataset:
    """One published file, the bytes it must have, and the order that pays for it."""

    label: str
    asset: Published
    size_bytes: int
    sha256: str
    order_tx: str = ""


@dataclass(slots=True)
class Cast:
    """The roles: publisher, consumer and stranger, all using one server."""

    chain: DemoChain
    provider_url: str
    origin_url: str
    publisher: Publisher = field(init=False)
    consumer: Consumer = field(init=False)
    stranger: Consumer = field(init=False)

    def __post_init__(self) -> None:
        self.publisher = Publisher(self.chain.wallet(PUBLISHER_KEY), self.chain.contracts, self.provider_url)
        self.consumer = Consumer(self.chain.wallet(CONSUMER_KEY), self.provider_url)
        self.stranger = Consumer(self.chain.wallet(STRANGER_KEY), self.provider_url)

    def hides_origin(self, body: bytes) -> bool:
        """Tell whether a reply hides where the bytes are stored."""
        host = urlsplit(self.origin_url).netloc.encode()
        return host not in body and b"/pattern/" not in body and b"demo-secret" not in body


def publish(cast: Cast, label: str, path: str, size_bytes: int, sha256: str) -> Dataset:
    """Publish one file of the origin. The server encrypts its URL and the DDO."""
    # The query string stands for the secrets in real publishers' URLs: no reply may show it.
    url = f"{cast.origin_url}{path}?token=demo-secret"
    asset = cast.publisher.publish([url_file(url)], name=f"Demo {label}")
    return Dataset(label, asset, size_bytes, sha256)


def buy(cast: Cast, dataset: Dataset) -> Dataset:
    """Get a datatoken and order with the fee that the server signed."""
    asset = dataset.asset
    cast.publisher.mint(asset.datatokens[0], cast.consumer.address)
    fee = first_quote(cast.consumer, asset)
    order_tx = cast.consumer.order(asset, fee=fee)
    return replace(dataset, order_tx=order_tx)


def fetch(cast: Cast, report: Report, dataset: Dataset, label: str, *, show_progress: bool = False) -> Downloaded:
    """Download a whole dataset and compare it with the origin's."""
    if show_progress:
        with report.progress(label, dataset.size_bytes) as progress:
            got = cast.consumer.download(dataset.asset, dataset.order_tx, progress=progress)
    else:
        got = cast.consumer.download(dataset.asset, dataset.order_tx)
    text = f"{size(got.size_bytes)} in {duration(got.total_seconds)}, first byte after "
    text += f"{duration(got.first_byte_seconds)}, sha256 {got.sha256[:12] or 'none'}{_problem(got)}"
    report.check(_is_whole(got, dataset), label, text, otherwise=_expectation(dataset))
    return got


def fetch_warm(cast: Cast, report: Report, dataset: Dataset, times: int) -> tuple[int, float]:
    """Download a dataset repeatedly. Returns the bytes received and the median time to first byte (seconds)."""
    replies = [cast.consumer.download(dataset.asset, dataset.order_tx) for _ in range(times)]
    wrong = [got for got in replies if not _is_whole(got, dataset)]
    median = statistics.median(got.first_byte_seconds for got in replies)
    text = f"{times} more times, median first byte after {duration(median)}{_problem(wrong[0]) if wrong else ''}"
    report.check(not wrong, f"{dataset.label}, warm", text, otherwise=_expectation(dataset))
    return sum(got.size_bytes for got in replies), median


def _is_whole(got: Downloaded, dataset: Dataset) -> bool:
    return got.status == 200 and got.complete and got.sha256 == dataset.sha256


def _problem(got: Downloaded) -> str:
    if got.status != 200:
        return f", status {got.status}: {error_text(got.error_body)}"
    return "" if got.complete else ", the transfer was cut"


def _expectation(dataset: Dataset) -> str:
    return f"{dataset.size_bytes} bytes, sha256 {dataset.sha256[:12]}"


def fetch_range(cast: Cast, report: Report, dataset: Dataset, expected: bytes, start: int) -> int:
    """Download a part from the middle and return the number of bytes received."""
    headers = {"Range": f"bytes={start}-{start + len(expected) - 1}"}
    sink = io.BytesIO()
    got = cast.consumer.download(dataset.asset, dataset.order_tx, headers=headers, sink=sink)
    holds = got.status == 206 and sink.getvalue() == expected
    text = f"{got.status}, {got.headers.get('content-range', 'no Content-Range')}"
    report.check(holds, "range", text, otherwise=f"206 and bytes {start}-{start + len(expected) - 1}")
    return got.size_bytes


def refusals(cast: Cast, report: Report, dataset: Dataset) -> None:
    """Check that a stranger, a replay and a forged order get a clear 400 that reveals nothing about the origin."""
    attempts: tuple[tuple[str, str, Callable[[], Downloaded]], ...] = (
        ("stranger", "consumer/payer", lambda: cast.stranger.download(dataset.asset, dataset.order_tx)),
        ("replay", "nonce", lambda: _replayed(cast, dataset)),
        ("forged order", "Cannot find the event", lambda: _forged(cast, dataset)),
    )
    for label, reason, attempt in attempts:
        got = attempt()
        text = error_text(got.error_body) if got.status >= 400 else f"{got.size_bytes} bytes"
        holds = got.status == 400 and reason in text and cast.hides_origin(got.error_body)
        readable = re.sub(r"(0x[0-9a-f]{8})[0-9a-f]{56}", r"\1...", text)
        report.check(holds, label, f"{got.status} {readable}", otherwise=f"400 with '{reason}'")


def _replayed(cast: Cast, dataset: Dataset) -> Downloaded:
    url = cast.consumer.download_url(dataset.asset, dataset.order_tx)
    first = download(url)
    return download(url) if first.status == 200 else first


def _forged(cast: Cast, dataset: Dataset) -> Downloaded:
    """Make a free order: a contract of the stranger repeats the fee that the server signed."""
    stranger = cast.stranger
    fee = fee_tuple(stranger.initialize(dataset.asset)["providerFee"])
    started = forge.order_started(stranger.address, payer=stranger.address, service_index=0, timestamp=int(time.time()))
    forged_tx, _ = forge.emit(stranger.wallet, [forge.provider_fee(fee), started])
    return stranger.download(dataset.asset, forged_tx)
