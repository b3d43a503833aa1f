"""The command line: `python -m benchmarks list | run NAME… | report | against URL …`."""

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import arguments, scripts
from benchmarks.options import Options

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    parser = arguments.parser()
    given = parser.parse_args(argv)
    if given.command == "list":
        for name in scripts.names():
            print(f"{name:<16} {scripts.load(name).QUESTION}")
        return EXIT_OK
    if given.command == "report":
        return _report(given.results, given.output)
    if given.command == "against":
        from benchmarks import against  # noqa: PLC0415

        return against.run(arguments.target(given))
    names = scripts.names() if "all" in given.names else list(dict.fromkeys(given.names))
    folder = arguments.results_folder(given)
    folder.mkdir(parents=True, exist_ok=True)
    return _run(names, arguments.options(given), folder)


def _run(names: Sequence[str], options: Options, folder: Path) -> int:
    """Run the scripts one after the other. If one fails, the others still run."""
    # Imported here because the load generator's process imports this module again and does not need it.
    from benchmarks import failures, report  # noqa: PLC0415
    from provider.testing.child import first_stop_signal_interrupts  # noqa: PLC0415

    status = EXIT_OK
    for name in names:
        began = time.monotonic()
        try:
            with first_stop_signal_interrupts():
                result = scripts.load(name).run(options)
        except KeyboardInterrupt:
            print("Interrupted; everything was shut down.", file=sys.stderr)
            return EXIT_INTERRUPTED
        except failures.expected() as error:
            print(f"benchmarks: {name}: {error}", file=sys.stderr)
            status = EXIT_FAILED
            continue
        took = f"{time.monotonic() - began:.0f} s"
        result = replace(result, facts=(*result.facts, ("measured", f"{time.strftime('%Y-%m-%d %H:%M')}, in {took}")))
        print(report.as_text(result))
        print(f"\nwritten: {report.write(result, folder)}", flush=True)
    return status


def _report(folder: Path, output: Path) -> int:
    from benchmarks import page, report  # noqa: PLC0415

    paths = sorted(folder.glob("*.json")) if folder.is_dir() else []
    if not paths:
        print(f"benchmarks: there is no result in {folder}; run something first", file=sys.stderr)
        return EXIT_FAILED
    try:
        results = [report.read(path) for path in paths]
        page.write(results, folder=folder, output=output)
    except (report.NotAResult, OSError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return EXIT_FAILED
    print(f"written: {output}, from {len(results)} results in {folder}")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
