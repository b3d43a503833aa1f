"""The command `provider get`: from its arguments to files and an exit status."""

import asyncio
import getpass
import json
import re
import shlex
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from provider.assets.ddo import Asset
from provider.assets.did import is_did
from provider.commands.get.failures import GetFailed, Misuse, TargetExists, printable
from provider.commands.get.fetch import Fetched, FileFetch
from provider.commands.get.links import LinkedFile, Links, Wanted, open_session
from provider.commands.get.names import local_names
from provider.commands.get.order import Node, OrderSearch, stored_asset
from provider.commands.get.part_file import is_unfinished
from provider.commands.get.progress import shown, size, tell
from provider.crypto.accounts import Account
from provider.program import program
from provider.wire.json import read_json

EXIT_OK, EXIT_STOPPED = 0, 130
MAX_CONNECTIONS = 16
_TX_ID = re.compile(r"0x[0-9a-fA-F]{64}")
_MAX_KEY_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of the command. Those that are None were not given."""

    did: str
    key_file: Path
    password_file: Path | None = None
    provider: str | None = None
    metadata: str | None = None
    rpc: str | None = None
    order_tx_id: str | None = None
    service_id: str | None = None
    file_index: int | None = None
    userdata: str | None = None
    output: str | None = None
    connections: int = 4
    force: bool = False
    quiet: bool = False
    as_json: bool = False


def get(options: Options, given: Sequence[str]) -> int:
    """Run the command and return the exit status. `given`: the arguments as typed, for a hint how to continue."""
    try:
        _check(options)
        account = _open_key(options)
        return _run(_Run(options, account))
    except GetFailed as failure:
        print(f"provider get: {failure}", file=sys.stderr)
        return failure.status
    except KeyboardInterrupt:
        print(f"\nprovider get: stopped. To continue:\n{shlex.join([*program(), *given])}", file=sys.stderr)
        return EXIT_STOPPED


def _run(run: "_Run") -> int:
    async def main() -> int:
        task = asyncio.current_task()
        if task is not None:
            # Treated as SIGINT: the bytes that arrived are recorded, so that another run can continue.
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await run.get()

    try:
        return asyncio.run(main())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def _check(options: Options) -> None:
    """Raise Misuse for an argument that cannot work."""
    if not is_did(options.did):
        raise Misuse("the first argument must be a DID: did:op: and 64 hex digits")
    if options.order_tx_id is not None and _TX_ID.fullmatch(options.order_tx_id) is None:
        raise Misuse("--tx must be a transaction id: 0x and 64 hex digits")
    if not 1 <= options.connections <= MAX_CONNECTIONS:
        raise Misuse(f"--connections must be between 1 and {MAX_CONNECTIONS}")
    if options.provider is None and options.metadata is None:
        raise Misuse("give --provider URL, or --metadata URL to find the Provider in the asset's document")
    if options.userdata is not None and not isinstance(_json(options.userdata), dict):
        raise Misuse("--userdata must be a JSON object")
    for name, url in (("--provider", options.provider), ("--metadata", options.metadata), ("--rpc", options.rpc)):
        if url is not None and not _is_http(url):
            raise Misuse(f"{name} must be a URL that begins with http:// or https://")


def _json(text: str) -> object:
    try:
        return read_json(text)
    except ValueError:
        return None


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def _open_key(options: Options) -> Account:
    """Read the buyer's key from hex text or a keystore. Raises Misuse, which never shows the content of the file."""
    content = _read(options.key_file).strip()
    try:
        if not content.startswith("{"):
            return Account.from_hex(content)
        return Account.from_keystore(content, _password(options))
    except ValueError as error:
        raise Misuse(f"{options.key_file}: {error}") from None


def _password(options: Options) -> str:
    if options.password_file is not None:
        return _read(options.password_file).rstrip("\r\n")
    if not sys.stdin.isatty():
        raise Misuse("the key file is encrypted: give --password-file, or run it in a terminal")
    return getpass.getpass(f"Password of {options.key_file}: ")


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(_MAX_KEY_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise Misuse(f"{path} cannot be read: {reason}") from None


class _Run:
    """One run with its session."""

    def __init__(self, options: Options, account: Account) -> None:
        self._options = options
        self._account = account
        self._began = time.monotonic()

    async def get(self) -> int:
        """Find the order, ask for links, download, report. Raises GetFailed."""
        async with open_session() as session:
            asset = await self._stored_asset(session)
            links = Links(session, self._provider_url(asset), self._account, pause=self._pause)
            wanted = await self._wanted(links, asset)
            files = await links.create(wanted)
            targets = self._targets(files)
            reports = []
            for file, target in zip(files, targets, strict=True):
                if len(files) > 1 and not self._options.force and _is_there(file, target):
                    tell(f"{target} exists already", quiet=self._options.quiet)
                    reports.append({"index": file.index, "path": str(target), "kept": True})
                else:
                    reports.append(_report(file, await self._fetch(links, wanted, file, target)))
        if self._options.as_json:
            self._print_summary(links, wanted, reports)
        return EXIT_OK

    async def _stored_asset(self, session: aiohttp.ClientSession) -> Asset | None:
        url, did = self._options.metadata, self._options.did
        return await stored_asset(session, url, did, self._pause) if url is not None else None

    def _provider_url(self, asset: Asset | None) -> str:
        if self._options.provider is not None:
            return self._options.provider.rstrip("/")
        wanted = self._options.service_id
        services = asset.services if asset is not None else ()
        found = {
            service.endpoint.rstrip("/")
            for service in services
            if service.type == "access" and wanted in (None, service.id)
        }
        if len(found) != 1 or not _is_http(url := found.pop()):
            raise Misuse("the asset's document does not name one Provider: give --provider, or --service")
        tell(f"the asset's document names the Provider {printable(url)}", quiet=self._options.quiet)
        return url

    async def _wanted(self, links: Links, asset: Asset | None) -> Wanted:
        options = self._options
        node = Node(links, options.rpc) if options.rpc is not None else None
        search = OrderSearch(
            links,
            options.did,
            service_id=options.service_id,
            order_tx_id=options.order_tx_id,
            node=node,
            asset=asset,
        )
        purchase = await search.run()
        if options.order_tx_id is None:
            tell(f"found the order {purchase.order_tx_id}", quiet=options.quiet)
        return Wanted(
            options.did, purchase.service_id, purchase.order_tx_id, options.file_index, userdata=options.userdata
        )

    def _targets(self, files: Sequence[LinkedFile]) -> list[Path]:
        """Return where each file goes. Raises GetFailed if the folder cannot be created."""
        names = local_names([file.name for file in files], [file.index for file in files])
        output = self._options.output
        path = Path(output) if output is not None else Path()
        is_folder = output is None or output.endswith("/") or path.is_dir() or len(files) > 1
        if not is_folder:
            return [path]
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise GetFailed(f"{path} is not a folder and cannot be created: {error.strerror}") from None
        return [path / name for name in names]

    async def _fetch(self, links: Links, wanted: Wanted, file: LinkedFile, target: Path) -> Fetched:
        options = self._options
        only = replace(wanted, file_index=file.index)

        async def another() -> LinkedFile:
            return (await links.create(only))[0]

        began = time.monotonic()
        with shown(target.name, sys.stderr, quiet=options.quiet) as progress:
            fetch = FileFetch(
                links,
                file,
                target,
                source=f"{wanted.did} {wanted.service_id} {file.index}",
                another=another,
                connections=options.connections,
                force=options.force,
                progress=progress,
                pause=self._pause,
            )
            try:
                fetched = await fetch.run()
            except GetFailed:
                if is_unfinished(target):
                    tell(
                        f"the received part of {target.name} is kept; run the same command again to continue",
                        quiet=options.quiet,
                    )
                raise
        if not options.quiet and not options.as_json:
            print(_line(fetched, time.monotonic() - began))
        return fetched

    async def _pause(self, seconds: float, why: str) -> None:
        if seconds >= 1:
            tell(f"{why}; trying again in {seconds:.0f} s", quiet=self._options.quiet)
        await asyncio.sleep(seconds)

    def _print_summary(self, links: Links, wanted: Wanted, reports: Sequence[Mapping[str, object]]) -> None:
        summary = {
            "documentId": wanted.did,
            "serviceId": wanted.service_id,
            "transferTxId": wanted.order_tx_id,
            "provider": links.url,
            "seconds": round(time.monotonic() - self._began, 3),
            "files": reports,
        }
        print(json.dumps(summary))


def _is_there(file: LinkedFile, target: Path) -> bool:
    """True if an earlier run of several files finished this one. Raises TargetExists if the file looks like another."""
    try:
        found = target.stat().st_size if target.is_file() else None
    except OSError:
        return False
    if found is not None and found != file.facts.length:
        raise TargetExists(f"{target} exists and has another length; --force replaces it")
    return found is not None


def _report(file: LinkedFile, fetched: Fetched) -> dict[str, object]:
    return {
        "index": file.index,
        "path": str(fetched.path),
        "bytes": fetched.size_bytes,
        "resumedBytes": fetched.resumed_bytes,
        "etag": fetched.etag,
        "checked": fetched.checked,
    }


def _line(fetched: Fetched, seconds: float) -> str:
    resumed = f", {size(fetched.resumed_bytes)} of them from an earlier run" if fetched.resumed_bytes else ""
    checked = f"; checked: {', '.join(fetched.checked)}" if fetched.checked else "; its length is unknown"
    return f"{fetched.path}: {size(fetched.size_bytes)} in {seconds:.1f} s{resumed}{checked}"
