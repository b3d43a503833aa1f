"""The scene of data at home: files of named sources, one in a folder and one in a bucket whose key is rotated."""

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path

from provider.demo import trips
from provider.demo.scenes.download import Cast, Dataset, buy
from provider.demo.scenes.links import write_private
from provider.demo.scenes.report import Report, duration, size
from provider.testing.chain.keys import STRANGER_KEY
from provider.testing.http_client import ReplyRefused, download, error_text
from provider.testing.market.consumer import first_quote
from provider.testing.market.publisher import Publisher
from provider.testing.origin import BUCKET, IN_BUCKET, small_csv

FOLDER_SOURCE, BUCKET_SOURCE = "folder", "bucket"
PREFIX, _, OBJECT = IN_BUCKET.rpartition("/")
FIRST_KEY, SECOND_KEY = ("demo-key-1", "demo-secret-1"), ("demo-key-2", "demo-secret-2")


@dataclass(frozen=True, slots=True)
class Home:
    """What the owner and the S3 store keep in a folder of the demo."""

    folder: Path

    @property
    def data(self) -> Path:
        """Folder of the files that are sold."""
        return self.folder / "data"

    @property
    def secrets(self) -> tuple[Path, Path]:
        """Files from which the server reads id and secret of the key."""
        return self.folder / "s3-key-id", self.folder / "s3-secret-key"

    @property
    def bucket_key(self) -> Path:
        """File from which the store reads its key."""
        return self.folder / "store.key"

    def prepare(self) -> None:
        """Make the folder, and one key on both sides."""
        self.data.mkdir()
        self.rotate_at_store(FIRST_KEY)
        self.rotate_in_files(FIRST_KEY)

    def rotate_at_store(self, key: tuple[str, str]) -> None:
        """From now on the store takes this key only."""
        write_private(self.bucket_key, " ".join(key))

    def rotate_in_files(self, key: tuple[str, str]) -> None:
        """From now on the server signs with this key."""
        for path, text in zip(self.secrets, key, strict=True):
            write_private(path, text)

    def settings(self, store_url: str, publisher: str) -> dict[str, str]:
        """The server's sources, for assets of this publisher."""
        key_id, secret = self.secrets
        sources = {
            FOLDER_SOURCE: {"path": str(self.data), "publishers": [publisher]},
            BUCKET_SOURCE: {
                "url": f"s3://{BUCKET}/{PREFIX}",
                "endpoint": store_url,
                "path_style": True,
                "access_key_id_file": str(key_id),
                "secret_access_key_file": str(secret),
                "publishers": [publisher],
            },
        }
        return {"PROVIDER_SOURCES": json.dumps(sources)}


def play_home(cast: Cast, report: Report, home: Home) -> None:
    """Play the scene."""
    report.heading("Data at home: published files name a source of the server, where address and key stay")
    body = trips.parquet() if trips.is_readable() else small_csv()
    name = "trips.parquet" if trips.is_readable() else "data.csv"
    (home.data / name).write_bytes(body)
    files = [_file(FOLDER_SOURCE, name), _file(BUCKET_SOURCE, OBJECT)]
    asset = cast.publisher.publish(files, name="Demo at home")
    dataset = buy(cast, Dataset("at home", asset, len(body), hashlib.sha256(body).hexdigest()))
    report.line("asset", f"{asset.did}: {name} in a folder, {OBJECT} in an S3 bucket")
    report.line("", f"ordered in {dataset.order_tx}")
    in_folder, in_bucket = (file["url"] for file in cast.consumer.create_links(asset, dataset.order_tx)["files"])
    if trips.is_readable():
        _one_column(report, in_folder)
    else:
        _whole(report, "folder", in_folder, body, "from the folder, over a link")
        report.line("columns", f"skipped: install {trips.TOOL} to read one column of a Parquet file over a link")
    _rotated_key(cast, report, in_bucket, home)
    _stranger(cast, report, files)


def _file(source: str, path: str) -> dict[str, object]:
    return {"type": "source", "source": source, "path": path}


def _one_column(report: Report, link: str) -> None:
    began = time.monotonic()
    got = trips.read_column(link)
    seconds = time.monotonic() - began
    text = (
        f"sum of {trips.COLUMN!r} over {trips.ROWS} rows of the Parquet file in the folder, over a link: "
        f"{size(got.read_bytes)} of {size(got.length)} in {got.reads} reads, {duration(seconds)} (pyarrow)"
    )
    holds = got.total == sum(trips.fares()) and got.read_bytes < got.length // 4
    report.check(holds, "one column", text, otherwise="the right sum, from a small part of the file")


def _rotated_key(cast: Cast, report: Report, link: str, home: Home) -> None:
    """The store takes another key; then the owner writes it into the files. Asset, order and link stay as they are."""
    csv = small_csv()
    _whole(report, "first key", link, csv, "from the bucket, over a link")
    home.rotate_at_store(SECOND_KEY)
    refused = download(link)
    holds = refused.status == 400 and cast.hides_origin(refused.error_body)
    text = f"the store has another key now: {refused.status} {error_text(refused.error_body)}"
    report.check(holds, "old key", text, otherwise="400")
    home.rotate_in_files(SECOND_KEY)
    _whole(report, "new key", link, csv, "over the same link, once the key's files held it: no new asset, no restart")


def _whole(report: Report, label: str, link: str, body: bytes, text: str) -> None:
    got = download(link)
    holds = got.status == 200 and got.complete and got.sha256 == hashlib.sha256(body).hexdigest()
    told = f"{size(got.size_bytes)} {text}" if holds else f"{got.status} {error_text(got.error_body)}"
    report.check(holds, label, told, otherwise=f"{len(body)} bytes")


def _stranger(cast: Cast, report: Report, files: list[dict[str, object]]) -> None:
    """Anybody can encrypt the name of a source and publish it, but only the source's publishers can sell its files."""
    stranger = Publisher(cast.chain.wallet(STRANGER_KEY), cast.chain.contracts, cast.provider_url)
    asset = stranger.publish(files, name="Demo theft")
    try:
        first_quote(cast.stranger, asset)
    except ReplyRefused as refused:
        holds = refused.reply.status == 403 and "may not be sold" in str(refused)
        told = f"a stranger's own asset with the same files: {refused.reply.status} {refused.reply.error_text()}"
    else:
        holds, told = False, "sells the same files"
    report.check(holds, "stranger", told, otherwise="403 with 'may not be sold'")
