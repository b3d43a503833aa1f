"""`provider backup` and `provider restore`: what a restored host refuses, knows and never holds."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from provider.testing.chain.keys import CONSUMER_KEY, PROVIDER_KEY, STRANGER_KEY
from provider.testing.http_client import request
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, url_file
from provider.testing.stage import DemoChain
from tests.e2e.conftest import LaunchServer, Sell
from tests.e2e.test_usage import records, wait_for_records
from tests.support.measured import MeasuredChildren
from tests.support.origin import CSV, Origin
from tests.support.witness import witness

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def command(children: MeasuredChildren, chain: DemoChain, tmp_path: Path) -> Command:
    """Run `provider backup` or `restore` with the settings of a host whose files are in a folder."""
    (tmp_path / "address.json").write_text(chain.contracts.address_file(), encoding="utf-8")

    def run(action: str, folder: Path, host: Path, *more: str, **settings: str) -> "subprocess.CompletedProcess[str]":
        environ = {
            "NETWORK_URL": chain.url,
            "PROVIDER_PRIVATE_KEY": chain.provider_key,
            "ADDRESS_FILE": str(tmp_path / "address.json"),
            "STORAGE_PATH": str(host / "provider.db"),
            **settings,
        }
        done = children.run(action, str(folder), *more, **environ)
        assert list(witness.secrets_in((done.stdout + done.stderr).encode())) == []
        return done

    return run


@pytest.fixture
def host(tmp_path: Path) -> Path:
    (tmp_path / "host").mkdir()
    return tmp_path / "host"


@pytest.fixture
def other(tmp_path: Path) -> Path:
    (tmp_path / "other").mkdir()
    return tmp_path / "other"


def on(folder: Path) -> dict[str, str]:
    return {"STORAGE_PATH": str(folder / "provider.db")}


def test_a_restored_host_knows_what_the_old_one_knew(
    launch: LaunchServer,
    chain: DemoChain,
    bought: tuple[Published, str],
    command: Command,
    host: Path,
    other: Path,
    tmp_path: Path,
) -> None:
    asset, tx = bought
    folder = tmp_path / "backup"
    server = launch(**on(host))
    buyer = Consumer(chain.wallet(CONSUMER_KEY), server.url)
    used = buyer.download_url(asset, tx)
    assert request("GET", used).body == CSV
    wait_for_records(host / "provider.db.books", 1)
    # The server goes on meanwhile.
    done = command("backup", folder, host, PROVIDER_BOOKS_MAX_AGE_DAYS="30", USE_HTTP_PROOF="http://u:p@127.0.0.1/x")
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in folder.iterdir()} == {"manifest.json", "settings.json", "nonces.db", "books.db"}
    assert folder.stat().st_mode & 0o777 == 0o700
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        assert list(witness.secrets_in(path.read_bytes())) == []
        assert PROVIDER_KEY.removeprefix("0x").encode() not in path.read_bytes()
    given = json.loads((folder / "settings.json").read_text())
    assert given["settings"]["PROVIDER_BOOKS_MAX_AGE_DAYS"] == "30"
    assert {"PROVIDER_PRIVATE_KEY", "USE_HTTP_PROOF"} <= set(given["left_out"])
    server.child.stop()

    done = command("restore", folder, other)
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in other.iterdir()} == {"provider.db", "provider.db.books"}
    assert {path.stat().st_mode & 0o777 for path in other.iterdir()} == {0o600}
    again = launch(**on(other))
    replayed = request("GET", used.replace(server.url, again.url))
    assert (replayed.status, "nonce" in replayed.error_text()) == (400, True)
    assert request("GET", Consumer(chain.wallet(CONSUMER_KEY), again.url).download_url(asset, tx)).body == CSV
    assert len(wait_for_records(other / "provider.db.books", 2)) == 2


def test_counts_of_quotas_are_restored(
    launch: LaunchServer, chain: DemoChain, sell: Sell, origin: Origin, command: Command, host: Path, other: Path
) -> None:
    asset, tx = sell(url_file(f"{origin.url}/data.csv"))
    quota = {"PROVIDER_QUOTA_DOWNLOADS_PER_ORDER": "1"}
    server = launch(**on(host), **quota)
    assert request("GET", Consumer(chain.wallet(CONSUMER_KEY), server.url).download_url(asset, tx)).status == 200
    # Counts what the download has sent.
    server.child.stop()
    folder = host.parent / "backup"
    assert command("backup", folder, host).returncode == 0
    assert command("restore", folder, other).returncode == 0
    again = launch(**on(other), **quota)
    refused = request("GET", Consumer(chain.wallet(CONSUMER_KEY), again.url).download_url(asset, tx))
    assert (refused.status, "used up" in refused.error_text()) == (429, True)


def test_what_is_there_is_kept_unless_asked_and_nonces_are_never_lowered(
    launch: LaunchServer,
    chain: DemoChain,
    sell: Sell,
    origin: Origin,
    command: Command,
    host: Path,
    tmp_path: Path,
) -> None:
    asset, tx = sell(url_file(f"{origin.url}/data.csv"))
    folder = tmp_path / "backup"
    server = launch(**on(host))
    buyer = Consumer(chain.wallet(CONSUMER_KEY), server.url)
    assert request("GET", buyer.download_url(asset, tx)).status == 200
    wait_for_records(host / "provider.db.books", 1)
    assert command("backup", folder, host).returncode == 0
    later = buyer.download_url(asset, tx)
    assert request("GET", later).status == 200
    wait_for_records(host / "provider.db.books", 2)

    kept = {path.name for path in host.iterdir()}
    done = command("restore", folder, host)
    assert (done.returncode, "exists already" in done.stderr) == (1, True)
    done = command("restore", folder, host, "--overwrite")
    assert (done.returncode, "a server is using it" in done.stderr) == (1, True)
    assert {path.name for path in host.iterdir()} == kept
    server.child.stop()

    done = command("restore", folder, host, "--overwrite")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(records(host / "provider.db.books")) == 1
    again = launch(**on(host))
    assert request("GET", later.replace(server.url, again.url)).status == 400
    assert request("GET", Consumer(chain.wallet(CONSUMER_KEY), again.url).download_url(asset, tx)).status == 200


def test_a_backup_that_is_not_whole_or_not_ours_is_refused(
    launch: LaunchServer, command: Command, host: Path, other: Path, tmp_path: Path
) -> None:
    launch(**on(host)).child.stop()
    folder = tmp_path / "backup"
    assert command("backup", folder, host, "--with-keys").returncode == 0
    assert (folder / "keys.env").read_text().splitlines()[
        0
    ] == f"PROVIDER_PRIVATE_KEY={PROVIDER_KEY.removeprefix('0x')}"
    assert command("backup", folder, host).returncode == 1

    def refused(reason: str, **settings: str) -> bool:
        done = command("restore", folder, other, **settings)
        assert (done.returncode, reason in done.stderr) == (1, True), done.stderr
        return not list(other.iterdir())

    assert refused("the key of", PROVIDER_PRIVATE_KEY=STRANGER_KEY)
    nonces = folder / "nonces.db"
    whole = nonces.read_bytes()
    nonces.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert refused("not the file that was backed up")
    nonces.write_bytes(whole)
    manifest = folder / "manifest.json"
    text = manifest.read_text()
    for broken in (
        "",
        "[]",
        "{}",
        text.replace('"format": 1', '"format": 2'),
        text.replace("nonces.db", "../nonces.db"),
        json.dumps({**json.loads(text), "chain_addresses": []}),
    ):
        manifest.write_text(broken)
        assert refused("not the manifest of a backup")
    manifest.unlink()
    assert refused("this is not a backup, or an unfinished one")
    manifest.write_text(text)
    if os.geteuid() != 0:
        other.chmod(0o500)
        assert refused("Permission denied")
        other.chmod(0o700)
    assert command("restore", folder, other).returncode == 0
    shutil.rmtree(other)
    assert command("restore", folder, other).returncode == 1
