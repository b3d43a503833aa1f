"""The demo's origin serves what its pattern says, with ranges, HEAD and keep-alive."""

import hashlib
import http.client
import io
from concurrent.futures import ThreadPoolExecutor

import pytest

from provider.testing import pattern
from provider.testing.child import Children
from provider.testing.http_client import download, get_json, request
from provider.testing.origin import BUCKET, IN_BUCKET, small_csv

SIZE = 5 * pattern.BLOCK_BYTES + 12345
WHOLE = b"".join(bytes(piece) for piece in pattern.pieces(0, SIZE))


@pytest.fixture(scope="module")
def origin(children: Children) -> str:
    child = children.start("origin", ["-m", "provider.testing.origin", "--watch-stdin"])
    return str(child.read_ready_line(20)["url"])


def test_blocks_of_the_pattern_all_differ() -> None:
    blocks = {hashlib.sha256(piece).digest() for piece in pattern.pieces(0, 64 * pattern.BLOCK_BYTES)}
    assert len(blocks) == 64
    assert len({pattern.locate(i * pattern.BLOCK_BYTES, 1 << 62)[0] for i in range(4096)}) == 4096


def test_sha256_of_the_pattern_is_that_of_its_bytes() -> None:
    assert len(WHOLE) == SIZE
    assert pattern.sha256(SIZE) == hashlib.sha256(WHOLE).hexdigest()


def test_generated_file_arrives_whole(origin: str) -> None:
    sink = io.BytesIO()
    seen: list[int] = []
    got = download(f"{origin}/pattern/{SIZE}.bin?token=x", sink=sink, progress=seen.append)
    assert (got.status, got.size_bytes, got.complete) == (200, SIZE, True)
    assert got.sha256 == pattern.sha256(SIZE)
    assert sink.getvalue() == WHOLE
    assert sum(seen) == SIZE


def test_csv_arrives_with_its_type(origin: str) -> None:
    reply = request("GET", f"{origin}/data.csv")
    assert reply.body == small_csv()
    assert reply.headers["content-type"] == "text/csv; charset=utf-8"
    assert reply.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [
        pytest.param("bytes=0-0", 0, 1, id="first_byte"),
        pytest.param("bytes=1048570-1048590", 1048570, 1048591, id="over_a_block_edge"),
        pytest.param("bytes=5000000-", 5000000, SIZE, id="open_end"),
        pytest.param("bytes=-10", SIZE - 10, SIZE, id="suffix"),
        pytest.param("bytes=100-99999999999", 100, SIZE, id="end_beyond_size"),
        pytest.param("bytes=-99999999999", 0, SIZE, id="suffix_beyond_size"),
    ],
)
def test_range_gets_exactly_its_bytes(origin: str, header: str, start: int, end: int) -> None:
    reply = request("GET", f"{origin}/pattern/{SIZE}.bin", headers={"Range": header})
    assert reply.status == 206
    assert reply.headers["content-range"] == f"bytes {start}-{end - 1}/{SIZE}"
    assert reply.body == WHOLE[start:end]


@pytest.mark.parametrize("header", ["bytes=1-2,4-5", "lines=1-2", "bytes=-", "bytes=9-3", "nonsense"])
def test_unusable_range_is_ignored(origin: str, header: str) -> None:
    assert request("GET", f"{origin}/data.csv", headers={"Range": header}).status == 200


def test_range_beyond_the_end_is_416(origin: str) -> None:
    reply = request("GET", f"{origin}/pattern/{SIZE}.bin", headers={"Range": f"bytes={SIZE}-"})
    assert (reply.status, reply.body) == (416, b"")
    assert reply.headers["content-range"] == f"bytes */{SIZE}"


@pytest.mark.parametrize(("validator", "status"), [(f'"pattern-{SIZE}"', 206), ('"other"', 200)])
def test_if_range_decides_by_etag(origin: str, validator: str, status: int) -> None:
    headers = {"Range": "bytes=5-9", "If-Range": validator}
    assert request("GET", f"{origin}/pattern/{SIZE}.bin", headers=headers).status == status


def test_head_has_the_length_and_no_body_and_the_connection_stays(origin: str) -> None:
    connection = http.client.HTTPConnection(origin.removeprefix("http://"))
    for method in ("HEAD", "GET", "HEAD"):
        connection.request(method, f"/pattern/{SIZE}.bin")
        response = connection.getresponse()
        assert response.getheader("Content-Length") == str(SIZE)
        assert response.read() == (WHOLE if method == "GET" else b"")
    connection.close()


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("POST", "/data.csv", 405)])
def test_other_requests_are_refused(origin: str, method: str, path: str, status: int) -> None:
    assert request(method, origin + path).status == status


def test_nobody_reads_a_bucket_without_a_key(origin: str) -> None:
    for path in (f"{BUCKET}/{IN_BUCKET}", f"{BUCKET}/none"):
        reply = request("GET", f"{origin}/{path}")
        assert (reply.status, reply.body) == (403, b"")


def test_many_consumers_at_once_each_get_the_whole(origin: str) -> None:
    before = get_json(f"{origin}/stats")["requests"]
    with ThreadPoolExecutor(32) as pool:
        sums = list(pool.map(lambda _: download(f"{origin}/pattern/{SIZE}.bin").sha256, range(64)))
    assert set(sums) == {pattern.sha256(SIZE)}
    assert get_json(f"{origin}/stats")["requests"] == before + 64
