"""The command line: `python -m benchmarks list | run NAME`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import scripts
from benchmarks.options import DEFAULT_LARGE_BYTES, MIN_LARGE_BYTES, Options

EXIT_OK, EXIT_FAILED, EXIT_INTERRUPTED = 0, 1, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the process's exit status."""
    given = _parser().parse_args(arguments)
    if given.command == "list":
        for name in scripts.names():
            print(f"{name:<20} {scripts.load(name).QUESTION}")
        return EXIT_OK
    options = Options(
        rounds=given.rounds, seconds=given.seconds, large_bytes=given.size, only=given.only, storage=given.storage
    )
    return _run(given.name, options, given.json)


def _run(name: str, options: Options, json_path: Path | None) -> int:
    # Not at the top: the load generator's process imports this module again and needs none of it.
    from benchmarks import failures, report  # noqa: PLC0415
    from provider.demo.child import first_stop_signal_interrupts  # noqa: PLC0415

    script = scripts.load(name)
    try:
        with first_stop_signal_interrupts():
            result = script.run(options)
    except KeyboardInterrupt:
        print("Interrupted; everything was shut down.", file=sys.stderr)
        return EXIT_INTERRUPTED
    except failures.expected() as error:
        print(f"benchmarks: {name}: {error}", file=sys.stderr)
        return EXIT_FAILED
    print(report.as_text(result))
    if json_path is not None:
        print(f"\nwritten: {report.write(result, json_path)}")
    return EXIT_OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("list", help="name every script and its question")
    run = commands.add_parser("run", help="run one script", formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    run.add_argument("name", choices=scripts.names(), metavar="NAME", help="a name from `list`")
    run.add_argument(
        "--rounds", metavar="N", type=_positive_int, default=5, help="measured runs of each variant and case"
    )
    run.add_argument(
        "--seconds", metavar="S", type=_positive_float, default=1.0, help="length of one run of small requests"
    )
    run.add_argument(
        "--size", metavar="BYTES", type=_large_bytes, default=DEFAULT_LARGE_BYTES, help="bytes moved by one large run"
    )
    run.add_argument("--only", default="", metavar="TEXT", help="only the cases whose name contains this")
    run.add_argument("--storage", type=Path, metavar="DIR", help="where the nonce store lies (a real disk)")
    run.add_argument(
        "--json", type=_result_file, metavar="FILE", help="write the result here, and as Markdown next to it"
    )
    return parser


def _positive_int(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _positive_float(text: str) -> float:
    value = float(text)
    if not 0 < value <= 600:
        raise argparse.ArgumentTypeError("must be over 0 and at most 600")
    return value


def _large_bytes(text: str) -> int:
    value = int(text)
    if value < MIN_LARGE_BYTES or value % MIN_LARGE_BYTES:
        raise argparse.ArgumentTypeError(f"must be a multiple of {MIN_LARGE_BYTES}, so that 64 parts are whole")
    return value


def _result_file(text: str) -> Path:
    path = Path(text)
    if not path.parent.is_dir() or path.suffix == ".md":
        raise argparse.ArgumentTypeError("must lie in a folder that exists, and not end with .md")
    return path


if __name__ == "__main__":
    sys.exit(main())
