"""The arguments of every command, with their help."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from provider import __version__

if TYPE_CHECKING:
    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(
        prog="provider",
        description="Access gateway for Ocean Protocol datasets: checks orders on chain and streams files without "
        "revealing their URLs.",
    )
    top.add_argument("--version", action="version", version=__version__, help="print the version and exit")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_serve(commands)
    _add_check(commands)
    _add_explain(commands)
    _add_file(commands)
    _add_health(commands)
    _add_usage(commands)
    _add_import_nonces(commands)
    _add_backup(commands)
    _add_restore(commands)
    _add_index(commands)
    _add_cache(commands)
    _add_demo(commands)
    _add_get(commands)
    commands.add_parser("version", help="print the version")
    return top


def _add_serve(commands: "_Commands") -> None:
    serve = commands.add_parser(
        "serve",
        help="run the server",
        description="Run the server until SIGTERM or SIGINT. The environment takes precedence over the settings file, "
        "and the file over defaults; conf/provider.toml lists every setting. Required: NETWORK_URL and "
        "PROVIDER_PRIVATE_KEY (or PROVIDER_PRIVATE_KEY_FILE). With a settings file or several workers, SIGHUP reads "
        "the settings again and replaces the workers one by one; the old workers finish their requests. Exit status: "
        "0 stopped, all requests finished; 1 the start failed, or a worker died while it stopped; 2 a setting is "
        "wrong; 3 stopped, but requests were cut at the drain deadline.",
    )
    _add_config(serve)
    serve.add_argument(
        "--workers",
        metavar="N|auto",
        help="processes on one port; auto: one per core (default: $PROVIDER_WORKERS or 1)",
    )


def _add_check(commands: "_Commands") -> None:
    check = commands.add_parser(
        "check",
        help="try everything that is configured and say what works",
        description="Try each RPC endpoint, contract address, key, metadata store, service and store of the settings, "
        "and print a table. Exit status: 0 ready to serve; 1 something required fails; 2 a setting is wrong.",
    )
    _add_form(check)
    _add_config(check)


def _add_explain(commands: "_Commands") -> None:
    explain = commands.add_parser(
        "explain",
        help="say why an order is accepted or refused",
        description="Run each check of a download against the chain, as the server would now, and print what each saw: "
        "the asset, its state, credentials and access lists, the order's transaction, its fee and events, the timeout, "
        "the file list, and whether the file's origin answers. An RBAC or policy server is asked as well. No nonce is "
        "spent and no signature is needed, so a signature that was refused is not explained. Exit status: 0 it would "
        "be served; 1 it would be refused; 2 an argument or a setting is wrong.",
    )
    explain.add_argument("--did", metavar="DID", required=True, help="the dataset: did:op:...")
    explain.add_argument("--tx", dest="order_tx_id", metavar="TX", required=True, help="the transaction of the order")
    explain.add_argument("--consumer", metavar="ADDRESS", required=True, help="the address that asks for the file")
    explain.add_argument("--service", metavar="ID", help="the service that was ordered (default: the only one)")
    explain.add_argument("--file-index", type=int, default=0, metavar="N", help="the file, from 0 (default: 0)")
    _add_form(explain)
    _add_config(explain)


def _add_form(command: argparse.ArgumentParser) -> None:
    form = command.add_mutually_exclusive_group()
    form.add_argument(
        "--json", dest="form", action="store_const", const="json", default="table", help="print one JSON object"
    )
    form.add_argument(
        "--quiet", dest="form", action="store_const", const="quiet", help="print failures and warnings only"
    )


def _add_file(commands: "_Commands") -> None:
    file = commands.add_parser(
        "file",
        help="for publishers: try a file, and encrypt a file list",
        description="Before publishing: try a file as a download would, and make the encrypted file list of a DDO. "
        "docs/files.md describes file objects.",
    )
    actions = file.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = actions.add_parser(
        "check",
        help="say what a download would meet",
        description="Open the file of a file object and print what a download would meet: name, connection, status, "
        "length, type, validator, ranges and redirects, with a remedy for each fault. Of the settings only those for "
        "files are read. Exit status: 0 it can be downloaded; 1 it cannot; 2 it is no file object, or a setting is "
        "wrong.",
    )
    check.add_argument("object", metavar="OBJECT.json", help="a file object; - for standard input")
    _add_config(check)
    encrypt = actions.add_parser(
        "encrypt",
        help="print the encrypted file list of a service",
        description="Encrypt a list of file objects for one service of an asset, with the key of the settings, and "
        "print it in hex, as `files` of the service in a DDO. Exit status: 0 printed; 2 the list, or a setting, is "
        "wrong.",
    )
    encrypt.add_argument("files", metavar="FILES.json", help="a list of file objects; - for standard input")
    encrypt.add_argument("--nft", metavar="ADDRESS", required=True, help="the asset's data NFT")
    encrypt.add_argument("--datatoken", metavar="ADDRESS", required=True, help="the service's datatoken")
    encrypt.add_argument("--chain", metavar="ID", type=int, help="the asset's chain, if the settings name several")
    _add_config(encrypt)


def _add_health(commands: "_Commands") -> None:
    health = commands.add_parser(
        "health",
        help="ask the running server whether it is alive",
        description="Ask /healthz on the admin listener (PROVIDER_ADMIN_URL) and print the answer. Exit status: 0 the "
        "server is alive; 1 it is not, or the admin listener is off; 2 a setting is wrong.",
    )
    _add_config(health)


def _add_usage(commands: "_Commands") -> None:
    usage = commands.add_parser(
        "usage",
        help="show who took what",
        description="Sum up the uses of datasets that this server has recorded, by dataset, consumer, day or outcome. "
        "Give the files of several hosts to sum them up together. Only settings that name the file are read. See "
        "docs/usage.md. Exit status: 0 done; 1 a file cannot be read; 2 a setting is wrong.",
    )
    usage.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="files of the books (default: that of the settings)"
    )
    _add_config(usage)
    usage.add_argument(
        "--since",
        default="7d",
        metavar="TIME",
        help="start of the period: a number of days ago (7d) or a date (2026-11-30), from 00:00 UTC (default: 7d)",
    )
    what = usage.add_mutually_exclusive_group()
    what.add_argument(
        "--by",
        choices=("dataset", "consumer", "day", "outcome"),
        default="dataset",
        help="sum up by this (default: dataset)",
    )
    what.add_argument("--records", action="store_true", help="print every record instead of sums")
    usage.add_argument("--did", default="", metavar="DID", help="only this dataset")
    form = usage.add_mutually_exclusive_group()
    form.add_argument("--csv", dest="form", action="store_const", const="csv", default="table", help="print CSV")
    form.add_argument("--json", dest="form", action="store_const", const="json", help="print one JSON object per line")
    form.add_argument(
        "--parquet", type=Path, metavar="FILE", help="write every record to a Parquet file (needs the extra `parquet`)"
    )


def _add_import_nonces(commands: "_Commands") -> None:
    imports = commands.add_parser(
        "import-nonces",
        help="import used nonces from an SQLite file",
        description="Import used nonces from an SQLite file of Provider 2.1 or of this version, and revoked tokens "
        "from a file of this version. They go to the store in the settings (STORAGE_PATH, or Redis with "
        "REDIS_CONNECTION). Existing nonces are never lowered; safe to run again. Exit status: 0 everything is in the "
        "store; 1 the file cannot be read or the store fails (nonces imported until then stay); 2 a setting is wrong.",
    )
    imports.add_argument("--from", dest="source", metavar="FILE", required=True, help="the SQLite file to read")
    imports.add_argument(
        "--to", dest="target", metavar="FILE", help="an SQLite file to write to, instead of the store in the settings"
    )
    imports.add_argument(
        "--dry-run", action="store_true", help="only count the nonces and tokens that would be imported"
    )
    _add_config(imports)


def _add_backup(commands: "_Commands") -> None:
    backup = commands.add_parser(
        "backup",
        help="copy the state of this host into a folder",
        description="Copy nonces, revoked tokens, counts of quotas, the books, the metadata index and waiting proofs "
        "into a new folder that only its owner can read, together with the settings that are no secret. The server may "
        "run. With Redis, nonces, revoked tokens and counts of quotas are in Redis and not in the backup. See "
        "docs/deploy.md. Exit status: 0 done; 1 something cannot be read or written, and the folder is no backup; 2 a "
        "setting is wrong.",
    )
    backup.add_argument("folder", type=Path, metavar="DIR", help="a folder that is new or empty")
    backup.add_argument("--with-keys", action="store_true", help="write the private keys too")
    _add_config(backup)


def _add_restore(commands: "_Commands") -> None:
    restore = commands.add_parser(
        "restore",
        help="restore a backup",
        description="Check a backup and put its files where the settings say. The key of the settings must be "
        "that of the backup, and no server may run. Everything is checked before anything is changed. See "
        "docs/deploy.md. Exit status: 0 done; 1 it cannot be restored; 2 a setting is wrong.",
    )
    restore.add_argument("folder", type=Path, metavar="DIR", help="the backup")
    restore.add_argument(
        "--overwrite",
        action="store_true",
        help="replace files that exist; existing nonces stay used, and those of the backup are added",
    )
    _add_config(restore)


def _add_index(commands: "_Commands") -> None:
    index = commands.add_parser(
        "index",
        help="copy the metadata index to another host",
        description="Export the metadata index of this host to a file, or import such a file. An import takes over "
        "each chain that the file has read farther than this host. The server may run. It continues from there, and "
        "compares the last blocks with the node's. Import only files of your own hosts. Exit status: 0 done; 1 a file "
        "cannot be read or written; 2 a setting is wrong.",
    )
    index.add_argument("action", choices=("export", "import"), help="export writes FILE, import reads it")
    index.add_argument("file", metavar="FILE", help="the copy")
    _add_config(index)


def _add_cache(commands: "_Commands") -> None:
    cache = commands.add_parser(
        "cache",
        help="list or purge the slice cache",
        description="List what the slice cache (PROVIDER_CACHE_DIR) holds by dataset, or remove it. A server may run: "
        "streams in progress keep their bytes. Exit status: 0 done; 1 there is no cache, or its directory cannot be "
        "used; 2 a setting is wrong.",
    )
    cache.add_argument("action", choices=("list", "purge"))
    cache.add_argument("did", nargs="?", metavar="DID", help="only this dataset (default: all)")
    _add_config(cache)


def _add_demo(commands: "_Commands") -> None:
    demo = commands.add_parser(
        "demo",
        help="publish, buy and stream a dataset on a local chain",
        description="Start a local chain with the Ocean contracts, an origin and a server. Publish, buy and stream two "
        "datasets. Show how a stranger, a replay and a forged order are refused. With --compute: publish an algorithm "
        "and a dataset that only jobs can read, buy both, run a job, fetch its results, and show what is refused. "
        "Needs the extra `demo`.",
    )
    demo.add_argument("--size", default="1GiB", metavar="SIZE", help="size of the large file (default: 1GiB)")
    demo.add_argument(
        "--compute",
        action="store_true",
        help="show compute-to-data instead: run a job on a purchased dataset. The operator service is part of the demo "
        "and runs the job in a sandboxed process without network (Linux namespaces); for demonstrations only",
    )
    demo.add_argument("--keep", action="store_true", help="leave everything running and print commands to try")


def _add_get(commands: "_Commands") -> None:
    get = commands.add_parser(
        "get",
        help="download what you bought",
        description="Download the files of a dataset that you ordered. The order is given with --tx, or found on the "
        "chain of --rpc. The Provider is given with --provider, or found in the asset's document at --metadata. A file "
        "comes in several ranges at once. If the download is cut or stopped, the same command goes on where it ended: "
        "until then the bytes are in NAME.part, and NAME.part.json says which. A file gets its name when it is whole: "
        "its length, its validator and, where known, its sha256 are right. Of several files, those that are there "
        "with the right length are kept. Exit status: 0 everything is there; 1 it failed, and may be tried again; 2 an "
        "argument is wrong; 3 there is no valid order, or the Provider refuses; 4 a file with this name exists; 130 "
        "stopped by a signal.",
    )
    get.add_argument("did", metavar="DID", help="the dataset: did:op:...")
    _add_buyer(get)
    _add_where(get)
    get.add_argument("--file", dest="file_index", type=int, metavar="N", help="only this file, from 0 (default: all)")
    get.add_argument("--userdata", metavar="JSON", help="what the publisher asks for, as a JSON object")
    get.add_argument(
        "-o",
        "--output",
        metavar="PATH",
        help="the file to write; a folder for several files, or if it ends with / (default: this folder, and the names "
        "that the Provider gives)",
    )
    get.add_argument(
        "--connections", type=int, default=4, metavar="N", help="ranges of one file at once, 1 to 16 (default: 4)"
    )
    get.add_argument("--force", action="store_true", help="replace files that exist")
    get.add_argument("--quiet", action="store_true", help="print errors only")
    get.add_argument("--json", dest="as_json", action="store_true", help="print a summary as JSON at the end")


def _add_buyer(get: argparse.ArgumentParser) -> None:
    get.add_argument(
        "--key-file",
        type=Path,
        required=True,
        metavar="FILE",
        help="the key of the account that ordered: hex, or an encrypted keystore (Web3 secret storage)",
    )
    get.add_argument(
        "--password-file", type=Path, metavar="FILE", help="the keystore's password (default: asked in the terminal)"
    )


def _add_where(get: argparse.ArgumentParser) -> None:
    get.add_argument("--provider", metavar="URL", help="the Provider that serves the dataset")
    get.add_argument("--metadata", metavar="URL", help="Aquarius or an ocean-node, for the asset's document")
    get.add_argument("--rpc", metavar="URL", help="a node of the dataset's chain, to find the order")
    get.add_argument("--tx", dest="order_tx_id", metavar="TX", help="the transaction that ordered the dataset")
    get.add_argument("--service", dest="service_id", metavar="ID", help="the service that was ordered")


def _add_config(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config", metavar="FILE", help="settings file (default: $PROVIDER_CONFIG_FILE)")
    # Only `serve` has the option; all commands read the settings in one way.
    command.set_defaults(workers=None)
