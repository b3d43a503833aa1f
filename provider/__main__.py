"""The command line: `provider serve`, and the commands of operators, owners, publishers and buyers."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from provider import __version__
from provider.commands.arguments import parser

if TYPE_CHECKING:
    from provider.config import Settings

EXIT_SETTINGS = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the process's exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = parser().parse_args(given)
    # Each command imports what it needs: `version` and `--help` must not wait for a web framework.
    if options.command == "version":
        print(__version__)
        return 0
    if options.command == "demo":
        from provider.demo.command import run  # noqa: PLC0415

        return run(size=options.size, keep=options.keep, compute=options.compute)
    if options.command == "get":
        return _get(options, given)
    if options.command == "import-nonces" and options.target is not None:
        return _import_nonces(options, None)
    return _with_settings(options)


def _get(options: argparse.Namespace, given: Sequence[str]) -> int:
    from provider.commands.get.command import Options, get  # noqa: PLC0415

    named = {name: value for name, value in vars(options).items() if name != "command"}
    return get(Options(**named), given)


def _run_without_key(options: argparse.Namespace) -> int | None:
    """Run a command that needs a few settings and no key; None if it is another one. Raises SettingsError."""
    from provider.config import admin_listener, file_settings  # noqa: PLC0415

    if options.command == "health":
        from provider.commands.health import health  # noqa: PLC0415

        return health(admin_listener(options.config))
    if options.command == "usage":
        return _usage(options)
    if options.command == "file" and options.action == "check":
        from provider.commands.file.check import check_file  # noqa: PLC0415

        return check_file(options.object, file_settings(options.config))
    return None


def _usage(options: argparse.Namespace) -> int:
    """Raises SettingsError."""
    from provider.commands.usage import export, usage  # noqa: PLC0415
    from provider.config import books_file  # noqa: PLC0415

    files = options.files or [books_file(options.config)]
    if options.parquet is not None:
        return export(files, options.parquet, since=options.since, did=options.did)
    return usage(
        files,
        since=options.since,
        by=options.by,
        did=options.did,
        every_record=options.records,
        form=options.form,
    )


def _backup(options: argparse.Namespace, settings: "Settings") -> int:
    if options.command == "restore":
        from provider.commands.backup.load import restore  # noqa: PLC0415

        return restore(options.folder, settings, overwrite=options.overwrite)
    from provider.commands.backup.save import backup  # noqa: PLC0415
    from provider.config import without_secrets  # noqa: PLC0415

    plain, left_out = without_secrets(options.config)
    return backup(options.folder, settings, plain, left_out, with_keys=options.with_keys)


def _explain(options: argparse.Namespace, settings: "Settings") -> int:
    from provider.commands.explain import Options, explain  # noqa: PLC0415

    named = Options(
        options.did, options.service, options.order_tx_id, options.consumer, options.file_index, options.form
    )
    return explain(named, settings)


def _import_nonces(options: argparse.Namespace, settings: "Settings | None") -> int:
    from provider.commands.import_nonces import import_nonces  # noqa: PLC0415

    return import_nonces(options.source, target=options.target, settings=settings, dry_run=options.dry_run)


def _with_settings(options: argparse.Namespace) -> int:
    from provider.config import SettingsError  # noqa: PLC0415

    try:
        return _run(options)
    except SettingsError as error:
        count = len(error.faults)
        print(f"provider: {count} {'setting is' if count == 1 else 'settings are'} wrong:", file=sys.stderr)
        for fault in error.faults:
            print(f"  - {fault}", file=sys.stderr)
        for warning in error.warnings:
            print(f"provider: beside that: {warning}", file=sys.stderr)
        return EXIT_SETTINGS


def _run(options: argparse.Namespace) -> int:
    """Run a command that reads settings. Raises SettingsError."""
    from provider.config import from_environment, names_file  # noqa: PLC0415

    if (status := _run_without_key(options)) is not None:
        return status
    settings = from_environment(options.config, options.workers)
    if options.command == "serve":
        from provider.process.server import serve  # noqa: PLC0415

        can_change = names_file(options.config)
        return serve(settings, lambda: from_environment(options.config, options.workers), can_change=can_change)
    return _run_with(options, settings)


def _run_with(options: argparse.Namespace, settings: "Settings") -> int:
    """Run a command that takes all settings and reads them once."""
    if options.command == "check":
        from provider.commands.check import check  # noqa: PLC0415

        return check(settings, options.form)
    if options.command == "explain":
        return _explain(options, settings)
    if options.command == "file":
        from provider.commands.file.encrypt import encrypt_files  # noqa: PLC0415

        return encrypt_files(
            options.files,
            data_nft=options.nft,
            datatoken=options.datatoken,
            chain_id=options.chain,
            settings=settings,
        )
    return _run_on_state(options, settings)


def _run_on_state(options: argparse.Namespace, settings: "Settings") -> int:
    """Run a command about the files of this host."""
    if options.command in ("backup", "restore"):
        return _backup(options, settings)
    if options.command == "index":
        from provider.commands.index import run_index  # noqa: PLC0415

        return run_index(options.action, options.file, settings)
    if options.command == "cache":
        from provider.commands.cache import cache  # noqa: PLC0415

        return cache(settings, action=options.action, did=options.did)
    return _import_nonces(options, settings)


if __name__ == "__main__":
    sys.exit(main())
