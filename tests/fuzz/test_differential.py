"""Other readers of HTTP/1.1 beside ours, on edited messages: what two accept means the same; and fronts stay in step.

`EXPLAINED_…` list what we take and another reader refuses. The other way round is harmless: what we refuse ends its
connection, so nothing behind it is read.
"""

import asyncio
import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.conftest import tool
from tests.fuzz.proxies import PROXIES, proxy
from tests.fuzz.readings import (
    Reading,
    aiohttp_reply,
    aiohttp_requests,
    edits,
    h11_reply,
    h11_requests,
    llhttp_reply,
    llhttp_requests,
    our_reply,
)
from tests.fuzz.recorder import Recorder, recording

REPLY_EDITS = 6000
REQUEST_EDITS = 1500
FRONT_EDITS = 250

OK = b"HTTP/1.1 200 OK\r\n"
REPLIES = (
    OK + b"Content-Length: 5\r\n\r\nhello",
    OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;a=b\r\n...\r\n0\r\nX: y\r\n\r\n",
    OK + b"Content-Type: text/csv\r\nConnection: close\r\n\r\nhello to the end",
    b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK + b'Content-Length: 2\r\nETag: "v"\r\n\r\nok',
    b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-4/9\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc",
)
# Becomes the number of the case; as long, so that lengths remain true.
TAG = b"case-@@@@-"
INNER = b"GET /case-@@@@-smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /case-@@@@-"
REQUESTS = (
    POST + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    POST + b" HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;x=y\r\n...\r\n0\r\n\r\n",
    b"GET /case-@@@@-?x=1 HTTP/1.1\r\nHost: a\r\nX-A: b\r\n\r\n",
    b"GET /case-@@@@- HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"PUT /case-@@@@- HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(INNER), INNER),
    POST + b" HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(INNER), INNER),
    POST + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + INNER,
    POST + b" HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + INNER,
    POST + b" HTTP/1.0\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n0\r\n\r\n" + INNER,
    b"DELETE /case-@@@@- HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
)
MARKER = b"GET /case-@@@@-marker HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

BARE_LF = re.compile(rb"(?<!\r)\n")
OBS_TEXT = re.compile(rb"[\x80-\xff]")
FRAMING = re.compile(rb"(?i)(content-length|transfer-encoding|content-range|content-encoding|connection)[ \t]*:")
FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")


def drops_a_line(data: bytes) -> bool:
    """Does a head hold a malformed line that decides nothing? Interim replies have heads of their own."""
    rest = data.replace(b"\r\n", b"\n")
    while True:
        head, _, rest = rest.partition(b"\n\n")
        status, *lines = head.split(b"\n")
        if any(line and not FIELD.fullmatch(line) and not FRAMING.match(line) for line in lines):
            return True
        if not re.match(rb"HTTP/1\.[01] 1", status):
            return False


Explained = dict[str, Callable[[bytes], object]]
EXPLAINED_REPLIES: dict[str, Explained] = {
    "h11": {
        "a malformed line that decides nothing is dropped; it would cost a whole file": drops_a_line,
        "a blank before the colon is removed, as RFC 9112 section 5.1 wants of a proxy": re.compile(
            rb"\n[!#-'*+.^-`|~0-9A-Za-z-]+[ \t]+:"
        ).search,
        "101 is an interim reply like any other: nobody asked for an upgrade": re.compile(rb"HTTP/1\.[01] 101").search,
    },
}
EXPLAINED_REPLIES["llhttp"] = EXPLAINED_REPLIES["aiohttp"] = {
    **EXPLAINED_REPLIES["h11"],
    "LF alone ends a line of the head: RFC 9112 section 2.2": lambda data: BARE_LF.search(data.partition(b"\n\r\n")[0]),
    "LF alone ends the head: RFC 9112 section 2.2": re.compile(rb"\n\n|\n\r\n").search,
}
READERS_OF_REPLIES = {"h11": h11_reply, "llhttp": llhttp_reply, "aiohttp": aiohttp_reply}


@pytest.mark.parametrize("name", READERS_OF_REPLIES)
def test_a_reply_that_two_readers_take_is_one_reply(name: str) -> None:
    """Never two statuses or two bodies out of the same bytes; and what only we take is explained."""
    read, explained = READERS_OF_REPLIES[name], EXPLAINED_REPLIES[name]
    taken = 0
    for data in edits(REPLIES, REPLY_EDITS, seed=9112):
        ours, theirs = our_reply(data), read(data)
        if ours is None or (ours.to_the_end and name == "llhttp"):
            continue
        taken += 1
        if theirs is None:
            assert any(holds(data) for holds in explained.values()), data
        else:
            assert ours == theirs, data
    assert taken > REPLY_EDITS // 10


# Requests


def method_of(reading: Reading) -> str:
    return reading.start[0] if isinstance(reading.start, tuple) else ""


def target_of(reading: Reading) -> str:
    return reading.start[1] if isinstance(reading.start, tuple) else ""


def follows_an_empty_line(data: bytes, seen: Sequence[Reading]) -> bool:
    """Is there a line end before the last of these requests that ends no head and no body?"""
    *earlier, request = seen
    before = data[: data.find(f"{method_of(request)} {target_of(request)} ".encode("latin-1"))]
    body = earlier[-1].body if earlier else b""
    if body:
        return before.endswith((body + b"\n", body + b"\r\n"))
    return before.endswith(b"\n") and not re.search(rb"[^\r\n]\r?\n\r?\n\Z", before)


KNOWN = {"DELETE", "GET", "HEAD", "POST", "PUT", "CONNECT", "OPTIONS", "TRACE", "PATCH", "LINK", "COPY", "LOCK", "MOVE"}
ExplainedRequest = dict[str, Callable[[bytes, Sequence[Reading]], object]]
EXPLAINED_REQUESTS: dict[str, ExplainedRequest] = {
    "h11": {
        "LF alone ends a line: RFC 9112 section 2.2": lambda data, _: BARE_LF.search(data),
        "an empty line before a request is skipped: RFC 9112 section 2.2": follows_an_empty_line,
        "octets above 127 in a target or value reach the router, which knows no such path": lambda data, _: (
            OBS_TEXT.search(data)
        ),
        "HTTP/1.0 keeps its connection when it asks for that; h11 never does": lambda data, _: b"HTTP/1.0" in data,
    },
}
EXPLAINED_REQUESTS["llhttp"] = EXPLAINED_REQUESTS["aiohttp"] = {
    **EXPLAINED_REQUESTS["h11"],
    "a method that nobody knows is answered 405": lambda _, seen: method_of(seen[-1]) not in KNOWN,
    "a target that is no path is answered 404": lambda _, seen: not target_of(seen[-1]).startswith("/"),
}
READERS_OF_REQUESTS = {"h11": h11_requests, "llhttp": llhttp_requests, "aiohttp": aiohttp_requests}


@dataclass
class Asked:
    """Return the bytes that came back until the connection ended, and the port that the request came from."""

    raw: bytes
    client_port: int


async def ask(port: int, data: bytes, *, step: int = 1 << 20) -> Asked:
    """Send it in pieces of `step` bytes while what comes back is read."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    asked = Asked(b"", writer.get_extra_info("sockname")[1])

    async def read() -> None:
        while piece := await reader.read(65536):
            asked.raw += piece

    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(10):
            reading = asyncio.create_task(read())
            try:
                for at in range(0, len(data), step):
                    writer.write(data[at : at + step])
                    await asyncio.sleep(0)
                await reading
            finally:
                reading.cancel()
    writer.transport.abort()
    return asked


async def ask_all(port: int, cases: Sequence[bytes], at_once: int, *, step: int = 1 << 20) -> list[Asked]:
    """The answers to each."""
    places = asyncio.Semaphore(at_once)

    async def one(data: bytes) -> Asked:
        async with places:
            return await ask(port, data, step=step)

    return await asyncio.gather(*(one(data) for data in cases))


def numbered(count: int, seed: int) -> Iterator[bytes]:
    """Edited requests with their numbers, and behind each a last one that ends the connection."""
    for number, data in enumerate(edits(REQUESTS, count, seed)):
        if TAG in data and b"@" not in data.replace(TAG, b""):
            yield (data + MARKER).replace(TAG, b"case-%04d-" % number)


def answered(raw: bytes, recorder: Recorder) -> list[Reading]:
    """The requests that these answers belong to."""
    return [recorder.seen[int(number)] for number in re.findall(rb"<seen (\d+)>", raw)]


@pytest.fixture(scope="module")
def exchanged() -> list[tuple[bytes, list[Reading]]]:
    """Edited requests, and what our server read."""
    cases = list(numbered(REQUEST_EDITS, seed=9110))
    with recording(idle_seconds=5.0) as recorder:
        answers = asyncio.run(ask_all(recorder.port, cases, 64))
        return [
            (data, recorder.by_client.get(asked.client_port, [])) for data, asked in zip(cases, answers, strict=True)
        ]


@pytest.mark.parametrize("name", READERS_OF_REQUESTS)
def test_requests_that_two_readers_take_are_the_same_requests(
    exchanged: list[tuple[bytes, list[Reading]]], name: str
) -> None:
    read, explained = READERS_OF_REQUESTS[name], EXPLAINED_REQUESTS[name]
    for data, seen in exchanged:
        # aiohttp tells methods in upper case.
        ours = [Reading((method_of(one).upper(), target_of(one)), one.body) for one in seen]
        theirs = [Reading((method_of(one).upper(), target_of(one)), one.body) for one in read(data)]
        shared = min(len(ours), len(theirs))
        assert ours[:shared] == theirs[:shared], data
        if len(ours) > shared:
            assert any(holds(data, seen[: shared + 1]) for holds in explained.values()), data


def test_requests_that_come_a_byte_at_a_time_are_the_same(exchanged: list[tuple[bytes, list[Reading]]]) -> None:
    """In pieces of one byte: the ordinary way, whatever the short ways make of the whole."""
    some = exchanged[:120]
    with recording(idle_seconds=4.0) as recorder:
        answers = asyncio.run(ask_all(recorder.port, [data for data, _ in some], 30, step=1))
        for (data, seen), asked in zip(some, answers, strict=True):
            assert recorder.by_client.get(asked.client_port, []) == seen, data


# Fronts

EXPLAINED_FRONTS: dict[str, dict[str, Callable[[bytes, bytes], object]]] = {
    "Varnish": {
        "a chunked request that breaks is ended for the server as if it were whole, and the client gets 503": (
            lambda data, raw: b"chunked" in data and raw.startswith(b"HTTP/1.1 503")
        ),
        "a method that it does not know makes a pipe: bytes go through until one side closes": (
            lambda data, _: data.split(b" ")[0].decode("latin-1") not in KNOWN
        ),
    },
}
"""Where the server saw a request whose answer its client did not get. Nobody else got it, which is never excused."""


@pytest.mark.parametrize("name", PROXIES)
def test_a_front_and_the_server_stay_in_step(name: str, tmp_path: Path) -> None:
    """Each answer reaches the client whose request it is, in order, one for one; others are served all the while."""
    cases = list(numbered(FRONT_EDITS, seed=len(name)))
    with recording(idle_seconds=5.0) as recorder, proxy(name, tool(PROXIES[name]), tmp_path, recorder.port) as front:
        port = int(front.url.rpartition(":")[2])
        answers, others = asyncio.run(_among_others(port, cases))
    assert others
    for number, asked in enumerate(others):
        assert [target_of(one) for one in answered(asked.raw, recorder)] == [f"/other-{number}"], asked
    for data, asked in zip(cases, answers, strict=True):
        tag = re.findall(rb"case-\d{4}-", data)[0].decode()
        got = answered(asked.raw, recorder)
        # An edit may have made a request without the number of its case; it is nobody else's.
        assert not [one for one in got if re.search(r"case-|other-", target_of(one)) and tag not in target_of(one)], (
            data
        )
        got = [one for one in got if tag in target_of(one)]
        seen = [one for one in recorder.seen if tag in target_of(one)]
        if got != seen:
            explained = EXPLAINED_FRONTS.get(name, {})
            assert got == seen[: len(got)], (data, asked.raw)
            assert any(holds(data, asked.raw) for holds in explained.values()), (data, asked.raw)
    # The edits leave most requests as they were.
    assert sum(1 for asked in answers if answered(asked.raw, recorder)) > len(cases) // 4


async def _among_others(port: int, cases: Sequence[bytes]) -> tuple[list[Asked], list[Asked]]:
    others: list[Asked] = []
    asking = asyncio.create_task(ask_all(port, cases, 8))
    while not asking.done():
        request = b"GET /other-%d HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % len(others)
        others.append(await _ask_patiently(port, request))
        await asyncio.sleep(0.005)
    return await asking, others


async def _ask_patiently(port: int, request: bytes) -> Asked:
    """As `ask`, but a front that meets a connection which the server just closes is asked again.

    haproxy, which reuses connections for first requests here, answers 502 then, and does not ask again itself. A client
    may (RFC 9110 section 9.2.2).
    """
    for _ in range(3):
        asked = await ask(port, request)
        if not asked.raw.startswith(b"HTTP/1.1 502 "):
            break
    return asked
