"""The command line: `provider serve | demo | check | health | import-nonces | version`."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from provider import __version__

if TYPE_CHECKING:
    from provider.config import Settings

    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]

EXIT_SETTINGS = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the process's exit status."""
    options = _parser().parse_args(arguments)
    # Each command imports what it needs: `version` and `--help` must not wait for a web framework.
    if options.command == "version":
        print(__version__)
        return 0
    if options.command == "demo":
        from provider.demo.command import run  # noqa: PLC0415

        return run(size=options.size, keep=options.keep, compute=options.compute)
    if options.command == "import-nonces" and options.target is not None:
        return _import_nonces(options, None)
    return _with_settings(options)


def _import_nonces(options: argparse.Namespace, settings: "Settings | None") -> int:
    from provider.commands.import_nonces import import_nonces  # noqa: PLC0415

    return import_nonces(options.source, target=options.target, settings=settings, dry_run=options.dry_run)


def _with_settings(options: argparse.Namespace) -> int:
    from provider.config import SettingsError, admin_listener, from_environment  # noqa: PLC0415

    try:
        if options.command == "health":
            from provider.commands.health import health  # noqa: PLC0415

            return health(admin_listener(options.config))
        settings = from_environment(options.config, options.workers)
    except SettingsError as error:
        count = len(error.faults)
        print(f"provider: {count} {'setting is' if count == 1 else 'settings are'} wrong:", file=sys.stderr)
        for fault in error.faults:
            print(f"  - {fault}", file=sys.stderr)
        for warning in error.warnings:
            print(f"provider: beside that: {warning}", file=sys.stderr)
        return EXIT_SETTINGS
    if options.command == "check":
        from provider.commands.check import check  # noqa: PLC0415

        return check(settings)
    if options.command == "import-nonces":
        return _import_nonces(options, settings)
    from provider.process.server import serve  # noqa: PLC0415

    return serve(settings, lambda: from_environment(options.config, options.workers))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="provider",
        description="The data-serving proxy of Ocean Protocol: checks orders on chain, streams remote bytes, "
        "never reveals their URL.",
    )
    parser.add_argument("--version", action="version", version=__version__, help="print the version and exit")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_serve(commands)
    _add_check(commands)
    _add_health(commands)
    _add_import_nonces(commands)
    _add_demo(commands)
    commands.add_parser("version", help="print the version")
    return parser


def _add_serve(commands: "_Commands") -> None:
    serve = commands.add_parser(
        "serve",
        help="run the server",
        description="Run the server until SIGTERM or SIGINT. Settings come from the environment, then from the file, "
        "then from defaults; conf/provider.toml lists every one. Required: NETWORK_URL and PROVIDER_PRIVATE_KEY "
        "(or PROVIDER_PRIVATE_KEY_FILE). With several workers SIGHUP replaces them one by one with the settings file "
        "of that moment; the old ones finish what they serve. Exit status: 0 stopped, all requests finished; 1 the "
        "start failed, or a worker died while it stopped; 2 a setting is wrong; 3 stopped, but the drain deadline "
        "passed and requests were cut.",
    )
    _add_config(serve)
    serve.add_argument(
        "--workers", metavar="N|auto", help="processes on one port; auto: one a core (default: $PROVIDER_WORKERS or 1)"
    )


def _add_check(commands: "_Commands") -> None:
    check = commands.add_parser(
        "check",
        help="try everything that is configured and print what works",
        description="Try each RPC endpoint, contract address, key, metadata store, service and store of the settings, "
        "and print a table. Exit status 1 if anything required fails, 2 if the settings are wrong.",
    )
    _add_config(check)
    check.set_defaults(workers=None)


def _add_health(commands: "_Commands") -> None:
    health = commands.add_parser(
        "health",
        help="ask the running server whether it is alive",
        description="Ask /healthz on the admin listener (PROVIDER_ADMIN_URL) and print the answer. Exit status: 0 the "
        "server is alive; 1 it is not, or the admin listener is off; 2 a setting is wrong.",
    )
    _add_config(health)


def _add_import_nonces(commands: "_Commands") -> None:
    imports = commands.add_parser(
        "import-nonces",
        help="take over used nonces from an SQLite file",
        description="Take over the nonces of an SQLite file, of Provider 2.1 or of this one, and revoked tokens of "
        "this one, into the store of the settings (STORAGE_PATH, or Redis with REDIS_CONNECTION). Nothing is lowered "
        "or removed, and a second run changes nothing. Exit status: 0 all of it is in the store; 1 the file cannot be "
        "read or the store fails, and what was taken over until then stays; 2 a setting is wrong.",
    )
    imports.add_argument("--from", dest="source", metavar="FILE", required=True, help="the SQLite file to read")
    imports.add_argument("--to", dest="target", metavar="FILE", help="an SQLite file, instead of the settings' store")
    imports.add_argument("--dry-run", action="store_true", help="only count what would be taken over")
    _add_config(imports)
    imports.set_defaults(workers=None)


def _add_demo(commands: "_Commands") -> None:
    demo = commands.add_parser(
        "demo",
        help="publish, buy and stream a dataset on a local chain",
        description="Start a local chain with the Ocean contracts, an origin and a server; publish two datasets, buy "
        "them, stream them, and show what a stranger, a replay and a forged order get. With --compute: publish a "
        "dataset that only jobs can read and an algorithm, buy both, run a job, fetch its results, and show what is "
        "refused. Needs the extra `demo`.",
    )
    demo.add_argument("--size", default="1GiB", metavar="SIZE", help="size of the large file (default: 1GiB)")
    demo.add_argument(
        "--compute",
        action="store_true",
        help="show compute-to-data instead: a job on a purchased dataset, run by an operator service that is part of "
        "the demo, in a sandboxed process without network (Linux namespaces); for trying things out only",
    )
    demo.add_argument("--keep", action="store_true", help="leave everything running and print a ready curl line")


def _add_config(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config", metavar="FILE", help="settings file (default: $PROVIDER_CONFIG_FILE)")


if __name__ == "__main__":
    sys.exit(main())
