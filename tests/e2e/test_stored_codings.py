"""Files that are stored coded: one URL has one byte space, that of the stored file. With Apache and curl."""

import gzip
import hashlib
import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from provider.testing.http_client import request
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, url_file
from provider.testing.stage import DemoServer
from tests.e2e.conftest import Sell
from tests.support.web_servers import APACHE, apache

CURL = shutil.which("curl")
pytestmark = pytest.mark.skipif(APACHE is None or CURL is None, reason="needs Apache and curl")
TEXT = "".join(f"{n},{random.Random(n).random()}\n" for n in range(8000)).encode()
STORED = gzip.compress(TEXT, mtime=0)
HELD = 20_000


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Apache, which labels `.gz` with `Content-Encoding: x-gzip`."""
    # Apache's workers may be of another user than the tests, who keep their own folders to themselves.
    with tempfile.TemporaryDirectory() as files:
        Path(files).chmod(0o755)
        (Path(files) / "table.csv.gz").write_bytes(STORED)
        with apache(Path(files), tmp_path_factory.mktemp("apache")) as running:
            yield f"{running}/table.csv.gz"


@pytest.fixture(scope="module")
def sold(sell: Sell, url: str) -> tuple[Published, str]:
    """The order for the coded file."""
    return sell(url_file(url))


def test_a_coded_file_arrives_as_it_is_stored(consumer: Consumer, sold: tuple[Published, str], url: str) -> None:
    direct = request("GET", url)
    got = consumer.download(*sold)
    assert (got.status, got.complete, got.sha256) == (200, True, hashlib.sha256(STORED).hexdigest())
    for name in ("content-encoding", "content-length", "content-type", "etag", "last-modified", "accept-ranges"):
        assert got.headers[name] == direct.headers[name], name
    assert got.headers["content-encoding"] == "x-gzip"
    assert got.filename == "table.csv.gz"


@pytest.mark.parametrize("held_bytes", [HELD, len(STORED) - 1, len(STORED)])
def test_curl_goes_on_where_it_was_cut(
    consumer: Consumer, sold: tuple[Published, str], tmp_path: Path, held_bytes: int
) -> None:
    part = tmp_path / "table.csv.gz"
    part.write_bytes(request("GET", consumer.download_url(*sold)).body[:held_bytes])
    command = [str(CURL), "-sS", "-f", "-C", "-", "-o", str(part), consumer.download_url(*sold)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # A file that is complete already is 416, which curl takes for done (0) or for a failure (22, 33), by its version.
    assert done.returncode == 0 or held_bytes == len(STORED), done.stderr
    assert part.read_bytes() == STORED
    assert gzip.decompress(part.read_bytes()) == TEXT


def test_the_checksum_is_of_the_content(server: DemoServer, url: str) -> None:
    """wire: as Provider 2.1 has it, whose sums publishers of trusted algorithms have signed."""
    body = f'{{"type":"url","url":"{url}","checksum":true}}'.encode()
    reply = request(
        "POST", f"{server.url}/api/services/fileinfo", body=body, headers={"Content-Type": "application/json"}
    )
    (told,) = reply.json()
    assert (told["valid"], told["contentLength"], told["checksum"]) == (
        True, str(len(STORED)), hashlib.sha256(TEXT).hexdigest(),
    )  # fmt: skip
