"""`python -m benchmarks against`: puts a bounded load on a deployment, as a consumer who bought a file there.

It uses HTTP of the standard library and verified TLS, requests only downloads, and uses the key only to sign.
"""

import http.client
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

from coincurve import PrivateKey

from benchmarks.plans import percentile
from benchmarks.signing import Purchase, Signer
from benchmarks.target import Target
from provider.testing.http_client import ReplyRefused, error_text, get_json

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130
TIMEOUT_SECONDS = 30.0  # between two pieces of data
PIECE_BYTES = 256 << 10
MAX_ERROR_KINDS = 8
# After more refusals than this in a row, the run ends: to continue would only fill the deployment's log.
MAX_ERRORS_IN_A_ROW = 5


class KeyUnusable(Exception):
    """The key file cannot be read or has no key. The message never shows the content of the file."""


@dataclass(slots=True)
class Tally:
    """The totals of all connections. A download that was cut by the end of the run only adds its bytes."""

    latencies: list[float] = field(default_factory=list)
    first_bytes: list[float] = field(default_factory=list)
    body_bytes: int = 0
    cut: int = 0
    errors: Counter[str] = field(default_factory=Counter)


def run(target: Target) -> int:
    """Measure and print. Returns 0 if every download was answered."""
    try:
        signer = _signer(target)
    except KeyUnusable as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return EXIT_USAGE
    except (OSError, HTTPException, ReplyRefused, ValueError, KeyError, ArithmeticError) as error:
        print(f"benchmarks: {target.url} does not answer as a Provider: {error}", file=sys.stderr)
        return EXIT_FAILED
    print(_announcement(target, signer.address), flush=True)
    load = _Load(target, Purchase(signer, target.did, target.service_id, target.order_tx))
    try:
        seconds = load.run()
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return EXIT_INTERRUPTED
    print(_summary(load.tally, seconds))
    return EXIT_OK if load.tally.first_bytes and not load.tally.errors else EXIT_FAILED


def read_key(path: Path) -> PrivateKey:
    """Read the key from a file with 64 hex digits. Raises KeyUnusable."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError as exc:
        raise KeyUnusable(f"cannot read {path}: {exc.strerror}") from exc
    except UnicodeDecodeError:
        raise KeyUnusable(f"{path} does not hold 64 hex digits") from None
    try:
        secret = bytes.fromhex(text.removeprefix("0x"))
        if len(secret) != 32:
            raise ValueError
        return PrivateKey(secret)
    except ValueError:
        # Without the cause, which might quote the file.
        raise KeyUnusable(f"{path} does not hold 64 hex digits") from None


def _signer(target: Target) -> Signer:
    """Make the signer of the consumer. Its nonces are above the last one that the deployment knows."""
    signer = Signer(read_key(target.key_file))
    known = get_json(f"{target.url}/api/services/nonce", {"userAddress": signer.address})["nonce"]
    signer.nonce = max(signer.nonce, int(Decimal(known)) if known else 0)
    return signer


class _Load:
    """Connections in threads, until a bound is reached."""

    def __init__(self, target: Target, purchase: Purchase) -> None:
        self.tally = Tally()
        self._target = target
        self._purchase = purchase
        self._lock = threading.Lock()
        # The nonces of one consumer must arrive in order, so a request begins when the one before was answered. Only
        # the bodies overlap.
        self._turn = threading.Lock()
        self._begun = 0
        self._errors_in_a_row = 0
        self._deadline = 0.0
        self._stop = threading.Event()

    def run(self) -> float:
        """Run, and return the seconds that it took."""
        began = time.perf_counter()
        self._deadline = began + self._target.seconds
        threads = [threading.Thread(target=self._consume, daemon=True) for _ in range(self._target.connections)]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        finally:
            self._stop.set()
        return time.perf_counter() - began

    def _consume(self) -> None:
        connection = self._connection()
        buffer = memoryview(bytearray(PIECE_BYTES))
        try:
            while self._may_begin():
                try:
                    self._download(connection, buffer)
                except (OSError, HTTPException) as exc:
                    self._failed(_kind(exc))
                    connection.close()
        finally:
            connection.close()

    def _connection(self) -> HTTPConnection:
        parts = urlsplit(self._target.url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        return kind(parts.netloc, timeout=TIMEOUT_SECONDS)

    def _may_begin(self) -> bool:
        with self._lock:
            if self._over() or self._begun >= self._target.requests:
                return False
            self._begun += 1
            return True

    def _over(self) -> bool:
        return (
            self._stop.is_set()
            or time.perf_counter() >= self._deadline
            or self.tally.body_bytes >= self._target.total_bytes
            or self._errors_in_a_row >= MAX_ERRORS_IN_A_ROW
        )

    def _download(self, connection: HTTPConnection, buffer: memoryview) -> None:
        prefix = urlsplit(self._target.url).path
        with self._turn:
            if self._over():
                return
            began = time.perf_counter()
            connection.request("GET", prefix + self._purchase.target(self._target.file_index))
            response = connection.getresponse()
        if response.status not in (200, 206):
            said = error_text(response.read(PIECE_BYTES))
            connection.close()
            self._failed(f"{response.status}: {said[:200]}")
            return
        self._drain(connection, response, buffer, began)

    def _drain(
        self, connection: HTTPConnection, response: http.client.HTTPResponse, buffer: memoryview, began: float
    ) -> None:
        announced, received, first_byte_seconds = response.length, 0, 0.0
        while count := response.readinto1(buffer):
            first_byte_seconds = first_byte_seconds or time.perf_counter() - began
            received += count
            with self._lock:
                self.tally.body_bytes += count
            if self._over() and received != announced:
                connection.close()
                with self._lock:
                    self.tally.cut += 1
                    self.tally.first_bytes.append(first_byte_seconds)
                return
        response.read()  # nothing is left; this is what tells the connection so
        if announced is not None and received != announced:
            raise http.client.IncompleteRead(b"", announced - received)
        total = time.perf_counter() - began
        with self._lock:
            self._errors_in_a_row = 0
            self.tally.latencies.append(total)
            self.tally.first_bytes.append(first_byte_seconds or total)

    def _failed(self, what: str) -> None:
        with self._lock:
            self._errors_in_a_row += 1
            if what in self.tally.errors or len(self.tally.errors) < MAX_ERROR_KINDS:
                self.tally.errors[what] += 1
            else:
                self.tally.errors["others"] += 1


def _kind(error: Exception) -> str:
    if isinstance(error, http.client.IncompleteRead):
        return "the transfer was cut"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return type(error).__name__


def _announcement(target: Target, address: str) -> str:
    return (
        f"{target.url}, file {target.file_index} of {target.did}, as {address}: at most {target.requests} downloads, "
        f"{target.seconds:g} s, {target.total_bytes / 1e9:g} GB, over {target.connections} connections"
    )


def _summary(tally: Tally, seconds: float) -> str:
    latencies, first_bytes = sorted(tally.latencies), sorted(tally.first_bytes)
    failed = sum(tally.errors.values())
    lines = [
        ("downloads", f"{len(latencies)} whole, {tally.cut} cut off at a bound, {failed} failed, in {seconds:.2f} s"),
        ("rate", f"{tally.body_bytes / 1e6 / seconds:.1f} MB/s, {len(latencies) / seconds:.1f} requests/s"),
        ("bytes", f"{tally.body_bytes / 1e6:.3f} MB"),
        ("last byte", _percentiles(latencies)),
        ("first byte", _percentiles(first_bytes)),
        *(("error", f"{count} × {what}") for what, count in tally.errors.most_common()),
    ]
    return "\n".join(f"{name:<12}{value}" for name, value in lines)


def _percentiles(ascending: Sequence[float]) -> str:
    if not ascending:
        return "none"
    return f"p50 {percentile(ascending, 0.5) * 1000:.2f} ms, p99 {percentile(ascending, 0.99) * 1000:.2f} ms"
