"""`provider demo` from start to end: start processes, play the scenes, read the metrics, stop everything.

The exit status is the verdict: 0 only if every expectation held.
"""

import hashlib
import shlex
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path
from typing import TextIO

from web3.exceptions import Web3Exception

from provider import __version__
from provider.demo.scenes.download import Cast, Dataset, buy, fetch, fetch_range, fetch_warm, publish, refusals
from provider.demo.scenes.home import FOLDER_SOURCE, Home, play_home
from provider.demo.scenes.links import get_arguments, link_of, play_links, write_key
from provider.demo.scenes.report import Report, duration, size
from provider.program import program
from provider.testing import pattern
from provider.testing.chain.keys import PUBLISHER_KEY
from provider.testing.chain.wallet import TransactionReverted
from provider.testing.child import ChildFailed, Children, first_stop_signal_interrupts
from provider.testing.http_client import Downloaded, ReplyRefused
from provider.testing.origin import small_csv
from provider.testing.readings import Readings, scrape, session_cpu_seconds
from provider.testing.stage import (
    READY_SECONDS,
    DemoServer,
    chain_ready,
    launch_chain,
    launch_origin,
    launch_server,
)

EXIT_OK, EXIT_FAILED, EXIT_INTERRUPTED = 0, 1, 130
SETTLE_SECONDS = 3.0  # counters are published when a stream ends, which the consumer may notice first
RANGE_BYTES = 1000
WARM_DOWNLOADS = 5


def run_demo(
    *,
    size_bytes: int,
    keep: bool,
    out: TextIO,
    terminal: bool | None = None,
    environ: Mapping[str, str] | None = None,
) -> int:
    """Run the demo and return its exit status.

    `size_bytes`: size of the large file.
    `keep`: stay up until Ctrl-C.
    `terminal`: None asks `out`.
    `environ`: added to the bare environment of every process.
    """
    return perform(
        lambda report, children, folder: _play(report, children, folder, size_bytes, keep=keep),
        out=out,
        terminal=terminal,
        environ=environ,
    )


def perform(
    play: Callable[[Report, Children, Path], None],
    *,
    out: TextIO,
    terminal: bool | None,
    environ: Mapping[str, str] | None,
) -> int:
    """Call `play` with a report, children and a folder; then stop everything and return the exit status."""
    report = Report(out, terminal=terminal)
    interrupted = False
    with (
        first_stop_signal_interrupts(),
        tempfile.TemporaryDirectory(prefix="provider-demo-") as folder,
        Children(folder, environ) as children,
    ):
        try:
            play(report, children, Path(folder))
        except KeyboardInterrupt:
            interrupted = True
        except (ChildFailed, ReplyRefused, TransactionReverted, Web3Exception, HTTPException, OSError) as error:
            report.error(f"The demo cannot go on: {error}")
    if interrupted:
        report.plain("Interrupted; everything was shut down.")
        return EXIT_INTERRUPTED
    return EXIT_FAILED if report.failures else EXIT_OK


def _play(report: Report, children: Children, folder: Path, size_bytes: int, *, keep: bool) -> None:
    began = time.monotonic()
    report.plain(f"Provider {__version__} demo: a local chain, an origin, one server; large file {size(size_bytes)}")
    cast, server = _set_up(report, children, folder, began)
    before = scrape(server.admin_url)
    large_sum = _in_background(lambda: pattern.sha256(size_bytes))
    csv = small_csv()
    report.heading("Publish and buy")
    small = publish(cast, "small", "/data.csv", len(csv), hashlib.sha256(csv).hexdigest())
    large = publish(cast, "large", f"/pattern/{size_bytes}.bin", size_bytes, "")
    datasets = [small, replace(large, sha256=large_sum.result())]
    for position, dataset in enumerate(datasets):
        report.line(dataset.label, f"{dataset.asset.did}, {size(dataset.size_bytes)}")
        datasets[position] = buy(cast, dataset)
        report.line("", f"ordered with the server's signed fee in {datasets[position].order_tx}")
    _after_purchase(report, cast, server, datasets, before=before, folder=folder)
    report.line("whole run", duration(time.monotonic() - began))
    verdict(report)
    if keep:
        _stay(report, cast, server, datasets, folder)


def _in_background(work: Callable[[], str]) -> Future[str]:
    """Compute a result in a daemon thread, which, unlike an executor's, does not hold up an interrupted demo."""
    future: Future[str] = Future()
    threading.Thread(target=lambda: future.set_result(work()), daemon=True).start()
    return future


def _set_up(report: Report, children: Children, folder: Path, began: float) -> tuple[Cast, DemoServer]:
    home = Home(folder)
    home.prepare()
    chain_child, origin_child = launch_chain(children), launch_origin(children, bucket_key=home.bucket_key)
    chain = chain_ready(chain_child)
    origin_url = str(origin_child.read_ready_line(READY_SECONDS)["url"])
    report.heading("Start")
    report.line("chain", f"{chain.url}, id {chain.contracts.chain_id}, Ocean contracts deployed")
    report.line("origin", f"{origin_url}, where the publisher's files are stored")
    settings = home.settings(origin_url, chain.wallet(PUBLISHER_KEY).address)
    server = launch_server(children, chain, folder, settings)
    server.wait_ready()
    report.line("server", f"{server.url}, metrics on {server.admin_url}/metrics")
    report.line("ready", f"after {duration(time.monotonic() - began)}")
    return Cast(chain, server.url, origin_url), server


def _after_purchase(
    report: Report, cast: Cast, server: DemoServer, datasets: list[Dataset], *, before: Readings, folder: Path
) -> None:
    small, large = datasets
    report.heading("Download")
    cold = fetch(cast, report, small, "small, cold")
    warm_bytes, warm_seconds = fetch_warm(cast, report, small, WARM_DOWNLOADS)
    cpu_before = session_cpu_seconds(server.child.pid)
    bulk = fetch(cast, report, large, "large", show_progress=True)
    cpu_after = session_cpu_seconds(server.child.pid)
    start = large.size_bytes // 2
    expected = b"".join(pattern.pieces(start, min(large.size_bytes, start + RANGE_BYTES)))
    ranged_bytes = fetch_range(cast, report, large, expected, start)

    report.heading("Who gets nothing")
    refusals(cast, report, small)

    # one more small file: the first, accepted use of the URL that was then replayed
    received = cold.size_bytes + warm_bytes + bulk.size_bytes + ranged_bytes + small.size_bytes
    moved = _settled(server, before, received)
    _show_metrics(report, moved, received)
    play_links(cast, report, large, folder)
    play_home(cast, report, Home(folder))
    cpu = None if cpu_before is None or cpu_after is None else cpu_after - cpu_before
    _summary(report, bulk, cpu, cold_seconds=cold.first_byte_seconds, warm_seconds=warm_seconds)


def _settled(server: DemoServer, before: Readings, received_bytes: int) -> Readings:
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        moved = scrape(server.admin_url).since(before)
        if moved.total("provider_streamed_bytes_total") >= received_bytes or time.monotonic() > deadline:
            return moved
        time.sleep(0.05)


def _show_metrics(report: Report, moved: Readings, received_bytes: int) -> None:
    report.heading("Metrics moved")
    streamed = moved.total("provider_streamed_bytes_total")
    report.check(
        streamed == received_bytes,
        "streamed",
        f"{streamed:.0f} bytes, as the consumer received",
        otherwise=f"{received_bytes}",
    )
    for (kind,), count in moved.by("provider_decrypt_seconds_count", "kind").items():
        mean = moved.total("provider_decrypt_seconds_sum", kind=kind) / count
        report.line("decrypt", f"{kind}: {count:.0f} times, {duration(mean)} on average")
    caches = sorted({cache for cache, _ in moved.by("provider_cache_requests_total", "cache", "result")})
    for cache in caches:
        hits, misses = (
            moved.total("provider_cache_requests_total", cache=cache, result=result) for result in ("hit", "miss")
        )
        report.line("cache", f"{cache}: {hits:.0f} hits, {misses:.0f} misses")
    for (endpoint, status), count in moved.by("provider_requests_total", "endpoint", "status").items():
        report.line("requests", f"{endpoint} {status}: {count:.0f}")


def _summary(report: Report, bulk: Downloaded, cpu: float | None, *, cold_seconds: float, warm_seconds: float) -> None:
    report.heading("Summary")
    report.line("throughput", f"{bulk.size_bytes / 1e6 / max(bulk.total_seconds, 1e-9):.0f} MB/s, one consumer")
    if cpu is None:
        report.line("server CPU", "not measurable here (no /proc)")
    else:
        per_gb = cpu / (max(bulk.size_bytes, 1) / 1e9)
        # The kernel counts CPU in ticks of 10 ms: a small file cannot be measured this way.
        note = "" if bulk.size_bytes >= 100_000_000 else " (too small a file to be precise)"
        report.line("server CPU", f"{per_gb:.2f} s/GB{note}")
    first_bytes = f"{duration(cold_seconds)} cold, {duration(warm_seconds)} warm"
    report.line("first byte", f"{first_bytes}, {duration(bulk.first_byte_seconds)} large")


def verdict(report: Report) -> None:
    """Print the last line, or the list of failed expectations."""
    if not report.failures:
        report.check(True, "result", "every expectation held")
        return
    report.plain("")
    report.error(f"{len(report.failures)} expectation(s) did not hold:")
    for failure in report.failures[:-1]:
        report.plain(f"  - {failure}")


def _stay(report: Report, cast: Cast, server: DemoServer, datasets: list[Dataset], folder: Path) -> None:
    contracts, large = cast.chain.contracts, datasets[-1]
    link = link_of(cast, large)  # first: its nonce must not be one of those below
    report.heading("Everything stays up until Ctrl-C")
    for label, value in (
        ("provider", server.url),
        ("dashboard", f"{server.admin_url}/dashboard/"),
        ("metrics", f"{server.admin_url}/metrics"),
        ("JSON-RPC", f"{cast.chain.url} (chain id {contracts.chain_id})"),
        ("origin", cast.origin_url),
        ("folder", f"{Home(folder).data}, source {FOLDER_SOURCE!r}"),
        ("factory", contracts.factory),
        ("OCEAN", contracts.ocean),
        ("consumer", cast.consumer.address),
        *((dataset.label, f"{dataset.asset.did}, order {dataset.order_tx}") for dataset in datasets),
    ):
        report.line(label, value)
    report.plain("\nSigned downloads, each good once, in this order. With --fail, an error leaves the file as it is:\n")
    first_nonce = int(cast.consumer.next_nonce())
    for position, (dataset, name) in enumerate(zip(datasets, ("data.csv", "large.bin"), strict=True)):
        url = cast.consumer.download_url(dataset.asset, dataset.order_tx, nonce=str(first_nonce + position))
        report.plain(f"curl --fail --output {name} '{url}'\n")
    report.plain("A link to the large file, good for a day in any tool that reads URLs:\n")
    report.plain(f"curl --fail --continue-at - --remote-name '{link}'\n")
    report.plain(
        "The same for a buyer who knows only the DID. To continue a download that was stopped, run it again:\n"
    )
    report.plain(shlex.join([*program(), *get_arguments(cast, large, write_key(folder), "large.bin")]) + "\n")
    stay_up(report, server)


def stay_up(report: Report, server: DemoServer) -> None:
    """Wait for Ctrl-C. Raises ChildFailed if the server ends."""
    try:
        while True:
            server.child.check()
            time.sleep(0.5)
    except KeyboardInterrupt:
        report.plain("\nShutting down.")
