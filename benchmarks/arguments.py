"""Parses the arguments of every command."""

import argparse
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks import scripts
from benchmarks.options import DEFAULT_LARGE_BYTES, MIN_LARGE_BYTES, QUICK_ROUNDS, QUICK_SECONDS, Options
from benchmarks.target import MAX_CONNECTIONS, MAX_REQUESTS, MAX_SECONDS, MAX_TOTAL_BYTES, Target

FOLDER = Path(__file__).resolve().parent
RESULTS = FOLDER / "results"
# Beside the tracked results, and not tracked.
QUICK_RESULTS = FOLDER / "results-quick"
PAGE = FOLDER / "RESULTS.md"


def parser() -> argparse.ArgumentParser:
    """Make the parser of all commands."""
    whole = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the server next to rivals.")
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("list", help="list the scripts and their questions")
    kind = argparse.ArgumentDefaultsHelpFormatter
    _add_run(commands.add_parser("run", help="run scripts", formatter_class=kind))
    report = commands.add_parser("report", help="make a page with tables and plots from results", formatter_class=kind)
    report.add_argument("--results", type=Path, metavar="DIR", default=RESULTS, help="directory of the results")
    report.add_argument("--output", type=Path, metavar="FILE", default=PAGE, help="the page to write")
    _add_against(commands.add_parser("against", help="measure your own deployment", formatter_class=kind))
    return whole


def _add_run(run: argparse.ArgumentParser) -> None:
    run.add_argument(
        "names", nargs="+", choices=[*scripts.names(), "all"], metavar="NAME", help="names from `list`, or `all`"
    )
    run.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds, runs of {QUICK_SECONDS} s")
    run.add_argument("--rounds", metavar="N", type=_whole(1, 100), help="measured runs of each variant and case (5)")
    run.add_argument(
        "--seconds", metavar="S", type=_real(0.01, 600), help="length of one run of small requests (1 second)"
    )
    run.add_argument(
        "--size", metavar="BYTES", type=_large_bytes, default=DEFAULT_LARGE_BYTES, help="bytes that one large run moves"
    )
    run.add_argument("--only", default="", metavar="TEXT", help="only the cases whose name contains this")
    run.add_argument(
        "--variants", nargs="+", default=[], metavar="TEXT", help="only the variants whose name contains one of these"
    )
    run.add_argument("--storage", type=_folder, metavar="DIR", help="directory of the nonce store (on a real disk)")
    run.add_argument("--consumers", type=_whole(1, 50_000), default=1000, metavar="N", help="number of slow consumers")
    run.add_argument("--hold", type=_real(0.1, 3600), default=60.0, metavar="S", help="seconds to hold them")
    run.add_argument(
        "--interpreter",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="another Python in which Provider is installed, for `interpreters`; repeatable",
    )
    run.add_argument(
        "--results",
        type=Path,
        metavar="DIR",
        default=argparse.SUPPRESS,
        help=f"directory for NAME.json (default: {RESULTS.name}/ of this package, {QUICK_RESULTS.name}/ with --quick)",
    )


def _add_against(against: argparse.ArgumentParser) -> None:
    against.add_argument("url", type=_base_url, metavar="URL", help="base URL of the Provider, http or https")
    against.add_argument(
        "--signer-key-file",
        type=Path,
        required=True,
        metavar="FILE",
        help="file with the consumer's key, 64 hex digits",
    )
    against.add_argument("--did", required=True, metavar="D", help="the asset")
    against.add_argument("--service", required=True, metavar="S", help="id of the service in its DDO")
    against.add_argument("--order", required=True, metavar="TX", help="transaction of the consumer's order")
    against.add_argument("--file-index", type=_whole(0, 9999), default=0, metavar="I", help="index of the file")
    against.add_argument(
        "--connections", type=_whole(1, MAX_CONNECTIONS), default=1, metavar="N", help="number of connections"
    )
    against.add_argument(
        "--seconds", type=_real(0.1, MAX_SECONDS), default=10.0, metavar="S", help="stop after this time"
    )
    against.add_argument(
        "--requests", type=_whole(1, MAX_REQUESTS), default=100, metavar="N", help="stop after this number"
    )
    against.add_argument(
        "--bytes",
        type=_whole(1, MAX_TOTAL_BYTES),
        default=10 * 10**9,
        metavar="N",
        help="stop after this number, in all",
    )


def results_folder(given: argparse.Namespace) -> Path:
    """Return the folder to which `run` writes. A quick run does not replace the results from which the page is made."""
    chosen: Path | None = getattr(given, "results", None)
    return chosen or (QUICK_RESULTS if given.quick else RESULTS)


def options(given: argparse.Namespace) -> Options:
    """Make the options of `run`. Explicit arguments take precedence over `--quick`."""
    defaults = Options(rounds=QUICK_ROUNDS, seconds=QUICK_SECONDS) if given.quick else Options()
    return Options(
        rounds=given.rounds or defaults.rounds,
        seconds=given.seconds or defaults.seconds,
        large_bytes=given.size,
        only=given.only,
        variants=tuple(given.variants),
        storage=given.storage,
        consumers=given.consumers,
        hold_seconds=given.hold,
        interpreters=tuple(given.interpreter),
    )


def target(given: argparse.Namespace) -> Target:
    """Make the target of `against`."""
    return Target(
        url=given.url,
        key_file=given.signer_key_file,
        did=given.did,
        service_id=given.service,
        order_tx=given.order,
        file_index=given.file_index,
        connections=given.connections,
        seconds=given.seconds,
        requests=given.requests,
        total_bytes=given.bytes,
    )


class _Bounded:
    """A number within bounds, for argparse, which shows the name of the class if the text is not a number."""

    def __init__(self, kind: type[int] | type[float], low: float, high: float) -> None:
        self._kind, self._low, self._high = kind, low, high
        self.__name__ = "number"

    def __call__(self, text: str) -> float:
        value = self._kind(text)
        if not self._low <= value <= self._high:
            raise argparse.ArgumentTypeError(f"must be from {self._low:g} to {self._high:g}")
        return value


def _whole(low: int, high: int) -> _Bounded:
    return _Bounded(int, low, high)


def _real(low: float, high: float) -> _Bounded:
    return _Bounded(float, low, high)


def _large_bytes(text: str) -> int:
    value = int(text)
    if value < MIN_LARGE_BYTES or value % MIN_LARGE_BYTES:
        raise argparse.ArgumentTypeError(f"must be a multiple of {MIN_LARGE_BYTES}, so that all parts are whole")
    return value


def _folder(text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError("must be a folder that exists")
    return path


def _base_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
        raise argparse.ArgumentTypeError("must be http://… or https://…, without user and query")
    return text.rstrip("/")
