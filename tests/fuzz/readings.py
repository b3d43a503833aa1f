"""One message, read by us and by other parsers: `Reading` is what a reader makes of the bytes."""

import asyncio
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import h11
import httptools
from aiohttp.http_parser import HttpRequestParserPy, HttpResponseParserPy

from provider.errors import UpstreamError
from provider.upstream.body import ChunkedDecoder
from provider.upstream.response_head import find_head_end, parse_head
from tests.fuzz.mutation import WORDS


@dataclass(frozen=True)
class Reading:
    """A message that was read to its end; `None` in its place stands for a refusal or for one that has no end."""

    start: object
    body: bytes
    to_the_end: bool = field(default=False, compare=False)
    """Does the body end with the connection?"""


def edits(seeds: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """The seeds themselves, then `count` of them with one to three edits; the same for the same `seed`."""
    yield from seeds
    dice = random.Random(seed)
    for _ in range(count):
        data = dice.choice(seeds)
        for _ in range(dice.randint(1, 3)):
            at = dice.randrange(len(data) + 1)
            piece = dice.choice((b"", b"", dice.randbytes(1), dice.choice(WORDS), data[at : at + dice.randrange(20)]))
            data = data[:at] + piece + data[at + dice.choice((0, 1, 1, 2, 4)) :]
        yield data


# Replies to GET


def our_reply(data: bytes) -> Reading | None:
    """As `HttpOrigin` reads it, the connection ending behind `data`."""
    try:
        while True:
            end = find_head_end(data)
            if end < 0:
                return None
            head = parse_head(data[:end], method="GET")
            data = data[end:]
            if not head.is_interim:
                break
        if head.status == 101:
            return None
        if head.framing == "close":
            return Reading(head.status, data, to_the_end=True)
        if head.framing == "length":
            length = head.length_bytes or 0
            return Reading(head.status, data[:length]) if len(data) >= length else None
        decoder, buffer = ChunkedDecoder(), memoryview(bytearray(data))
        count = decoder.decode(buffer, len(data))
        return Reading(head.status, bytes(buffer[:count])) if decoder.done else None
    except UpstreamError:
        return None


def h11_reply(data: bytes) -> Reading | None:
    """As h11's client reads it."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    try:
        client.receive_data(data)
        client.receive_data(b"")
        status, body = 0, b""
        while True:
            event = client.next_event()
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return Reading(status, body)
            elif not isinstance(event, h11.InformationalResponse):
                return None
    except h11.RemoteProtocolError:
        return None


class _Heard:
    """What llhttp calls back; the first message only."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.done: list[bytes] = []
        self.starts: list[object] = []
        self.parser: Any = None
        self.url = b""

    def on_message_begin(self) -> None:
        self.bodies.append(b"")
        self.url = b""

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_headers_complete(self) -> None:
        code = self.parser.get_status_code() if hasattr(self.parser, "get_status_code") else None
        self.starts.append(
            code if code is not None else (self.parser.get_method().decode(), self.url.decode("latin-1"))
        )

    def on_body(self, body: bytes) -> None:
        self.bodies[-1] += body

    def on_message_complete(self) -> None:
        self.done.append(self.bodies[-1])


def llhttp_reply(data: bytes) -> Reading | None:
    """As httptools (llhttp) reads it. It knows no end of the connection, so a body without length never ends."""
    heard = _Heard()
    heard.parser = httptools.HttpResponseParser(heard)
    try:
        heard.parser.feed_data(data)
    except httptools.HttpParserError:
        pass
    except httptools.HttpParserUpgrade:
        return None
    final = [(start, body) for start, body in zip(heard.starts, heard.done, strict=False) if int(str(start)) >= 200]
    return Reading(*final[0]) if final else None


def aiohttp_reply(data: bytes) -> Reading | None:
    """As aiohttp's parser in Python reads it."""
    loop = asyncio.new_event_loop()
    try:
        parser = HttpResponseParserPy(_no_protocol(), loop, limit=1 << 16, response_with_body=True, read_until_eof=True)
        return _first_of_aiohttp(parser, data, lambda message: message.code)
    finally:
        loop.close()


def _first_of_aiohttp(parser: Any, data: bytes, start: Any) -> Reading | None:
    found = _all_of_aiohttp(parser, data, start)
    final = [reading for reading in found if not isinstance(reading.start, int) or reading.start >= 200]
    return final[0] if final else None


def _all_of_aiohttp(parser: Any, data: bytes, start: Any) -> list[Reading]:
    """A byte at a time: what is wrong behind a message does not make it wrong."""
    messages: list[Any] = []
    try:
        for at in range(len(data)):
            messages += parser.feed_data(data[at : at + 1])[0]
        parser.feed_eof()
    except Exception:
        pass
    readings = []
    for message, payload in messages:
        if payload.exception() is not None or not payload.is_eof():
            break
        body = b"".join(bytes(piece) for piece in getattr(payload, "_buffer", ()))
        readings.append(Reading(start(message), body))
    return readings


def _octets(text: str) -> str:
    """Octets as latin-1, as Tornado has them."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def _no_protocol() -> Any:
    def ignore(*_: object, **__: object) -> None:
        pass

    return SimpleNamespace(_reading_paused=False, connected=True, pause_reading=ignore, resume_reading=ignore)


# Requests; a reading has method and target as its start


def h11_requests(data: bytes) -> list[Reading]:
    """As h11's server reads them, up to the first that is refused."""
    server, found = h11.Connection(h11.SERVER), []
    try:
        server.receive_data(data)
        start, body = None, b""
        while True:
            event = server.next_event()
            if isinstance(event, h11.Request):
                start, body = (event.method.decode(), event.target.decode("latin-1")), b""
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                found.append(Reading(start, body))
                server.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
                server.send(h11.EndOfMessage())
                if server.our_state is not h11.DONE or server.their_state is not h11.DONE:
                    return found
                server.start_next_cycle()
            else:
                return found
    except (h11.RemoteProtocolError, h11.LocalProtocolError):
        return found


def llhttp_requests(data: bytes) -> list[Reading]:
    """As httptools reads them."""
    heard = _Heard()
    heard.parser = httptools.HttpRequestParser(heard)
    try:
        heard.parser.feed_data(data)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        pass
    return [Reading(start, body) for start, body in zip(heard.starts, heard.done, strict=False)]


def aiohttp_requests(data: bytes) -> list[Reading]:
    """As aiohttp's parser in Python reads them."""
    loop = asyncio.new_event_loop()
    try:
        parser = HttpRequestParserPy(_no_protocol(), loop, limit=1 << 16)
        return _all_of_aiohttp(parser, data, lambda message: (message.method, _octets(message.path)))
    finally:
        loop.close()
