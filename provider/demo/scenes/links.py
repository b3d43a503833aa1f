"""The scene of links: a plain URL for what was bought, and `provider get`.

`provider get` runs as a program: the demo imports nothing of the server.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from provider.demo.scenes.download import Cast, Dataset
from provider.demo.scenes.report import Report, duration, size
from provider.testing.chain.keys import CONSUMER_KEY
from provider.testing.child import bare_environ
from provider.testing.http_client import download, request

GET_SECONDS = 600.0
RANGE_BYTES = 1000


def play_links(cast: Cast, report: Report, large: Dataset, folder: Path) -> None:
    """Play the scene; large files go into `folder`."""
    report.heading("Links")
    _plain_url(cast, report, large)
    _get(cast, report, large, folder)


def link_of(cast: Cast, dataset: Dataset) -> str:
    """A link to the only file of a dataset."""
    files = cast.consumer.create_links(dataset.asset, dataset.order_tx)["files"]
    return str(files[0]["url"])


def get_arguments(cast: Cast, dataset: Dataset, key_file: Path, output: str) -> list[str]:
    """The arguments of `provider get`, which finds the order and the service on the chain itself."""
    return [
        *("get", dataset.asset.did, "--key-file", str(key_file)),
        *("--provider", cast.provider_url, "--rpc", cast.chain.url, "-o", output),
    ]


def write_key(folder: Path) -> Path:
    """Write the consumer's key to a file that only this user reads."""
    path = folder / "consumer.key"
    write_private(path, CONSUMER_KEY)
    return path


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user reads."""
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def _plain_url(cast: Cast, report: Report, large: Dataset) -> None:
    """One signature, then HEAD and a range as often as wanted, without any header."""
    url = link_of(cast, large)
    head = request("HEAD", url)
    last = large.size_bytes - 1
    part = download(url, headers={"Range": f"bytes={max(0, last - RANGE_BYTES + 1)}-{last}"})
    holds = head.status == 200 and head.headers.get("content-length") == str(large.size_bytes) and part.status == 206
    text = f"one signature for a URL of {len(url)} characters, good for a day: HEAD {head.status}, range {part.status}"
    report.check(holds and cast.hides_origin(url.encode()), "link", text, otherwise="200, then 206")


def _get(cast: Cast, report: Report, large: Dataset, folder: Path) -> None:
    if shutil.disk_usage(folder).free < 2 * large.size_bytes:
        report.line("provider get", f"skipped: {folder} has too little room for the large file")
        return
    target = folder / "large.bin"
    arguments = get_arguments(cast, large, write_key(folder), str(target))
    began = time.monotonic()
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "provider", *arguments, "--json"],
        env=bare_environ(str(folder)),
        stdout=subprocess.PIPE,
        stderr=None if report.is_terminal else subprocess.PIPE,
        timeout=GET_SECONDS,
        check=False,
    )
    seconds = time.monotonic() - began
    if done.returncode != 0:
        report.check(False, "provider get", (done.stderr or b"").decode("utf-8", "replace").strip()[-400:])
        return
    checked = ", ".join(json.loads(done.stdout)["files"][0]["checked"])
    with target.open("rb") as file:
        is_right = hashlib.file_digest(file, "sha256").hexdigest() == large.sha256
    target.unlink()
    text = f"{size(large.size_bytes)} in {duration(seconds)}, found by its DID; it checked {checked}"
    report.check(is_right, "provider get", text, otherwise=f"sha256 {large.sha256[:12]}")
