"""File info without reading the whole file: length, type, name, and a checksum up to a limit."""

import asyncio
import gzip
import hashlib
import zlib

import pytest

from provider.errors import UnsafeAddress
from provider.upstream.http_source import HttpSource
from provider.upstream.inspect import inspect
from provider.upstream.wish import Wish
from tests.support.http_sources import DATA, TO_THE_END, WITH_LENGTH, get, opener
from tests.support.raw_origin import Exchange, answering, raw_origin


@pytest.mark.gen_test
async def test_inspecting_tells_length_type_and_name_without_the_body() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/csv; charset=utf-8\r\nContent-Length: 123456789\r\n\r\n"
    async with raw_origin(answering(answer, keep=True)) as origin, opener() as opened:
        info = await inspect(opened.open(get(origin.url + "/a/my%20data.csv?token=secret")))
        assert (info.valid, info.content_length, info.content_type) == (True, "123456789", "text/csv")
        assert (info.filename, info.checksum) == ("my data.csv", None)
        info = await inspect(opened.open(get(origin.url + "/a/data.csv")), name_from_url=False)
        assert info.filename == ""


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("head", "max_bytes", "expected"),
    [
        (WITH_LENGTH, len(DATA), True),
        (WITH_LENGTH, len(DATA) - 1, False),
        (TO_THE_END, len(DATA), True),
        (TO_THE_END, len(DATA) - 1, False),
        (WITH_LENGTH, 0, False),
    ],
)
async def test_a_checksum_is_made_up_to_the_limit(head: bytes, max_bytes: int, expected: bool) -> None:
    async with raw_origin(answering(head + DATA)) as origin, opener() as opened:
        info = await inspect(opened.open(get(origin.url)), want_checksum=True, max_checksum_bytes=max_bytes)
    assert info.valid == (head is WITH_LENGTH)
    assert info.checksum == (hashlib.sha256(DATA).hexdigest() if expected else None)


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize("void", [gzip.compress(b""), bytes(20)], ids=["empty members", "padding"])
async def test_coded_bytes_that_stand_for_nothing_have_an_end(void: bytes) -> None:
    """No limit counts them, as nothing comes out of them."""
    coded = gzip.compress(DATA)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Type: text/csv\r\n\r\n"
    for count, is_read in ((1000, True), (100_000, False)):
        answer = answering(head + coded + void * count)
        async with raw_origin(answer) as origin, opener() as opened:
            info = await inspect(opened.open(get(origin.url)), want_checksum=True, max_checksum_bytes=len(DATA))
        assert (info.checksum is not None) == is_read


@pytest.mark.gen_test
async def test_a_client_that_leaves_during_a_checksum_ends_the_transfer() -> None:
    left = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.send(WITH_LENGTH + DATA[:100])
        await exchange.gone()
        left.set()

    async with raw_origin(script) as origin, opener() as opened:
        source = await opened.open(get(origin.url))

        async def opening() -> HttpSource:
            return source

        work = inspect(opening(), want_checksum=True, max_checksum_bytes=len(DATA))
        inspecting = asyncio.create_task(work)
        while source._connection._waiting is None:  # noqa: ASYNC110 - of another task
            await asyncio.sleep(0)
        inspecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await inspecting
        await left.wait()


@pytest.mark.gen_test
async def test_the_length_of_the_whole_is_told_for_a_part() -> None:
    answer = b"HTTP/1.1 206 Part\r\nContent-Range: bytes 0-1/999\r\nContent-Length: 2\r\n\r\nok"
    async with raw_origin(answering(answer)) as origin, opener() as opened:
        wish = Wish("bytes=0-1", of_file_object=True)
        info = await inspect(opened.open(get(origin.url, ("Range", "bytes=0-1"))), wish=wish)
        assert (info.valid, info.content_length) == (True, "999")
        assert not (await inspect(opened.open(get(origin.url)))).valid


@pytest.mark.gen_test
@pytest.mark.parametrize("status", [b"404 Not Found", b"500 Oops", b"206 Part", b"301 Moved"])
async def test_only_200_is_a_good_file(status: bytes) -> None:
    answer = b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\nok"
    async with raw_origin(answering(answer)) as origin, opener() as opened:
        info = await inspect(opened.open(get(origin.url)))
    assert not info.valid
    assert "127.0.0.1" not in repr(info)


@pytest.mark.gen_test
async def test_an_origin_that_fails_is_an_invalid_file() -> None:
    async with opener(allow_non_public_ip=False) as opened:
        info = await inspect(opened.open(get("http://127.0.0.1:9/")))
    assert (info.valid, type(info.failure)) == (False, UnsafeAddress)


CODED = {
    "gzip": gzip.compress(DATA), "x-gzip": gzip.compress(DATA), "deflate": zlib.compress(DATA), "br": b"whatever",
}  # fmt: skip


@pytest.mark.gen_test
@pytest.mark.parametrize("coding", list(CODED))
async def test_a_checksum_is_of_the_content_and_the_length_of_what_a_download_brings(coding: str) -> None:
    """Trusted algorithms are compared by the sha256 that Provider 2.1 made, of decoded bytes."""
    data = CODED[coding]
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(data)}\r\n\r\n".encode()
    async with raw_origin(answering(head + data)) as origin, opener() as opened:
        info = await inspect(opened.open(get(origin.url)), want_checksum=True, max_checksum_bytes=len(DATA))
        less = await inspect(opened.open(get(origin.url)), want_checksum=True, max_checksum_bytes=len(DATA) - 1)
    expected = data if coding == "br" else DATA
    assert (info.content_length, info.checksum) == (str(len(data)), hashlib.sha256(expected).hexdigest())
    assert (less.valid, less.checksum is None) == (True, coding != "br")


@pytest.mark.gen_test
async def test_a_broken_coding_is_no_file() -> None:
    data = CODED["gzip"][:-8]
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(data)}\r\n\r\n".encode()
    async with raw_origin(answering(head + data)) as origin, opener() as opened:
        assert not (await inspect(opened.open(get(origin.url)), want_checksum=True, max_checksum_bytes=9**9)).valid


@pytest.mark.gen_test
@pytest.mark.parametrize(("stated", "valid"), [(b"0-1/2", True), (b"0-1/999", False)])
async def test_a_part_that_nobody_asked_for_is_a_file_only_when_it_is_everything(stated: bytes, valid: bool) -> None:
    answer = b"HTTP/1.1 206 Part\r\nContent-Range: bytes " + stated + b"\r\nContent-Length: 2\r\n\r\nok"
    async with raw_origin(answering(answer)) as origin, opener() as opened:
        assert (await inspect(opened.open(get(origin.url)))).valid is valid
