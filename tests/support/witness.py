"""Reads every reply and every log line of the whole session, and fails it if one contains a secret.

Planted secrets: the server's keys, the URLs, headers and S3 access data of all files that tests publish, all signatures
of their consumers, and all tokens that the server issues. It reads the replies that come through `http.client` or
`raw_http`, but not what a test takes from a socket itself. Tests need do nothing.
"""

import http.client
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_to_bytes, urlsplit

import pytest

from provider.testing.chain import keys
from provider.testing.chain.wallet import Wallet
from provider.testing.market.publisher import Publisher

# Of a long body only the beginning is read: a file's bytes are the origin's business.
LOOK_BYTES = 64 * 1024
# What a secret can look like: long hex (keys, signatures), a URL, a token (RFC 7519), a planted mark. Patterns stay
# linear in the length of what is read.
HEX = re.compile(rb"[0-9a-fA-F]{64,}")
LINK = re.compile(
    rb"[a-zA-Z][a-zA-Z0-9+.-]{1,15}(?::|%3[aA])(?://|%2[fF]%2[fF]|\\u002[fF]\\u002[fF]|\\/\\/)[^\s\"'<>]{4,}"
)
TOKEN = re.compile(rb"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
MARK = re.compile(rb"planted-[0-9a-zA-Z]+")
# Shorter texts in a file's headers and access data may be anybody's words.
MIN_VALUE_CHARS = 9
# Where a reply begins in what a connection carried.
STATUS_LINE = re.compile(rb"(?=HTTP/1\.[01] [1-5][0-9]{2} )")


@dataclass
class Witness:
    """The secrets that must never be seen, and where one was."""

    hexes: set[bytes] = field(default_factory=set)
    links: set[str] = field(default_factory=set)
    tokens: set[bytes] = field(default_factory=set)
    values: set[bytes] = field(default_factory=set)
    found: list[str] = field(default_factory=list)
    replies: int = 0
    lines: int = 0
    test: str = ""
    elsewhere: int = 0

    def plant_hex(self, text: str) -> None:
        """Plant a key or a signature, with or without `0x`. A signature without its last byte is as good."""
        self.hexes.add(text.removeprefix("0x").lower()[:128].encode())

    def plant_files(self, files: Sequence[Mapping[str, Any]]) -> None:
        """File objects before they are encrypted."""
        for file in files:
            url = file.get("url")
            # An origin without a path is no secret of one file.
            if isinstance(url, str) and "://" in url and len(_path(url)) > 1:
                self.links.add(url)
            for text in (*_texts_in(file.get("headers")), *_texts_in(file.get("s3Access"))):
                if len(text) >= MIN_VALUE_CHARS:
                    self.values.add(text.encode("utf-8", "replace"))

    def secrets_in(self, data: bytes, *, marks: bool = True) -> Iterator[str]:
        """Return the names of the secrets in these bytes. `marks`: planted marks count."""
        for match in HEX.finditer(data):
            run = match[0].lower()
            if run[:64] in self.hexes or run[:128] in self.hexes:
                yield "a key or signature"
        for match in LINK.finditer(data):
            text = unquote(match[0].decode("latin-1").replace("\\/", "/"))
            if any(text.startswith(link) for link in self.links):
                yield "the URL of a file"
        for match in TOKEN.finditer(data):
            if match[0] in self.tokens:
                yield "a token"
        shown = unquote_to_bytes(data.replace(b"\\/", b"/"))
        if any(value in data or value in shown for value in self.values):
            yield "a header or access data of a file"
        if marks and MARK.search(data):
            yield "a planted mark"

    def look(self, data: bytes, where: str, *, marks: bool = True) -> None:
        """Note the secrets in `data`."""
        self.found.extend(f"{name} in {where} ({self.test})" for name in self.secrets_in(data, marks=marks))

    def look_at_connection(self, data: bytes) -> None:
        """Check everything that a connection carried, including the server's replies in order."""
        for piece in STATUS_LINE.split(data):
            head, _, body = piece.partition(b"\r\n\r\n")
            if b"\r\nx-request-id:" not in head.lower():
                continue
            self.replies += 1
            self.look(head, "the headers of a reply")
            # As for other replies: a good one may hold what was planted in a document or file.
            self.look(body[:LOOK_BYTES], "the body of a reply", marks=int(piece[9:12]) >= 400)


def _texts_in(value: object) -> Iterator[str]:
    """All texts in a JSON value, names left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts_in(item)
    elif isinstance(value, Sequence):
        for item in value:
            yield from _texts_in(item)


def _path(url: str) -> str:
    """Return the path of a URL; empty if it is not one."""
    try:
        return urlsplit(url).path
    except ValueError:
        return ""


witness = Witness()


def _is_ours(response: http.client.HTTPResponse) -> bool:
    # Every reply of the server carries one; those of chain and stores do not, and they may tell what they hold.
    return response.getheader("X-Request-ID") is not None


def _look_at_head(response: http.client.HTTPResponse) -> None:
    if _is_ours(response):
        witness.replies += 1
        head = "\n".join(f"{name}: {value}" for name, value in response.getheaders())
        witness.look(head.encode("latin-1", "replace"), "the headers of a reply")


def _look_at_body(response: http.client.HTTPResponse, data: bytes) -> None:
    if not _is_ours(response):
        return
    data = data[:LOOK_BYTES]
    handed_out = {} if b'"token"' not in data else {match[0] for match in TOKEN.finditer(data)}
    if handed_out and data.lstrip().startswith(b'{"token"'):
        witness.tokens.update(handed_out)
    else:
        # A decrypted document or a downloaded file may hold what was planted in it.
        witness.look(data, "the body of a reply", marks=response.status >= 400)


def pytest_configure(config: pytest.Config) -> None:
    """Hook the places through which every reply, signature and published file of this process passes."""
    for name in ("PROVIDER_KEY", "CONSUMER_KEY"):
        witness.plant_hex(getattr(keys, name))
    begin, read = http.client.HTTPResponse.begin, http.client.HTTPResponse.read
    sign, publish = Wallet.sign_text, Publisher.publish

    def looked_begin(self: http.client.HTTPResponse) -> None:
        begin(self)
        _look_at_head(self)

    def looked_read(self: http.client.HTTPResponse, amt: int | None = None) -> bytes:
        data = read(self, amt)
        _look_at_body(self, data)
        return data

    def planted_sign(self: Wallet, text: str) -> str:
        signature = sign(self, text)
        witness.plant_hex(signature)
        return signature

    def planted_publish(self: Publisher, *services: Any, **more: Any) -> Any:
        for files in services:
            witness.plant_files(files)
        return publish(self, *services, **more)

    config.pluginmanager.register(Gatherer())
    patch = pytest.MonkeyPatch()
    patch.setattr(http.client.HTTPResponse, "begin", looked_begin)
    patch.setattr(http.client.HTTPResponse, "read", looked_read)
    patch.setattr(Wallet, "sign_text", planted_sign)
    patch.setattr(Publisher, "publish", planted_publish)
    config.add_cleanup(patch.undo)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Remember whose replies these are."""
    witness.test = item.nodeid


def _read_logs(folder: Path) -> None:
    for path in folder.rglob("*.stderr"):
        witness.test = path.name
        for line in path.read_bytes().splitlines():
            witness.lines += 1
            witness.look(line, "a log line")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Read the logs of all processes; one secret anywhere fails the session."""
    factory = getattr(session.config, "_tmp_path_factory", None)
    if factory is not None and witness.replies:
        _read_logs(factory.getbasetemp())
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        # One of several processes that share the tests: the first one tells of all.
        counts = {"hexes": len(witness.hexes), "links": len(witness.links), "tokens": 0, "values": len(witness.values)}
        output["witness"] = asdict(witness) | counts
    if witness.found and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


class Gatherer:
    """In the process that distributes the tests: adds up what the others saw."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """One of them has ended."""
        seen = getattr(node, "workeroutput", {}).get("witness")
        if seen is not None:
            witness.replies += seen["replies"]
            witness.lines += seen["lines"]
            witness.found.extend(seen["found"])
            witness.elsewhere += seen["hexes"]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Report what was read, and what was found."""
    if witness.replies:
        planted = len(witness.hexes) + witness.elsewhere
        read = f"{witness.replies} replies, {witness.lines} log lines, {planted} keys and signatures planted"
        terminalreporter.write_line(f"secrets: {len(witness.found)} found in {read}")
    for line in sorted(set(witness.found))[:50]:
        terminalreporter.write_line(f"SECRET {line}", red=True)
