"""The Provider's side of a download: asks for links, renews them, and reads what the answers say about the files.

Every request is signed anew, so a repetition is not a replay. Links are secrets: they appear in no text.
"""

import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

import aiohttp

from provider import USER_AGENT
from provider.commands.get.failures import GetFailed, LinkEnded, NoAccess, TryLater, printable
from provider.commands.get.plan import Facts, Verdict, judge, retry_after_seconds
from provider.commands.get.retries import Pause, patiently, wait
from provider.crypto.accounts import Account
from provider.crypto.signature import sign_message
from provider.upstream.validators import is_strong_tag
from provider.wire.json import read_json

CREATE_LINKS = "createLinks"
DECRYPT = "decryptDDO"
_MAX_ANSWER_BYTES = 16 << 20
_MAX_NONCE_DIGITS = 107
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TIMEOUT = aiohttp.ClientTimeout(total=120, connect=30)
_CONNECT_SECONDS, _SILENCE_SECONDS = 30.0, 60.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LinkedFile:
    """One file of a manifest. `name` is the server's own; `sha256` lower-case hex, None if unknown."""

    index: int
    name: str
    url: str = field(repr=False)
    facts: Facts
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer of a service, and the text of its error."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> object:
        """The body as JSON; None if it is not JSON."""
        try:
            return read_json(self.body)
        except ValueError:
            return None

    def reason(self) -> str:
        """The error that the answer carries, on one line (`docs/errors.md` shows its shapes)."""
        value = self.json()
        found = value.get("error") or value.get("errors") or value if isinstance(value, Mapping) else None
        try:
            text = found if isinstance(found, str) else json.dumps(found) if found else ""
        except RecursionError:
            # Nested too deeply for anybody to read.
            text = ""
        return printable(text or f"status {self.status}")


def open_session() -> aiohttp.ClientSession:
    """Return a session for all requests of a run. Proxies come from the environment. Call it in a running loop."""
    return aiohttp.ClientSession(
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS),
        read_bufsize=1 << 20,
        trust_env=True,
    )


async def ask(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    *,
    query: Mapping[str, str] | None = None,
    body: object = None,
    who: str = "the Provider",
) -> Reply:
    """Run one exchange with a short answer. Raises TryLater if there is none, or if the server cannot answer now."""
    try:
        # A redirect could carry the signature to another host.
        async with session.request(
            method,
            url,
            params=query,
            json=body,
            headers={"Accept": "application/json"},
            timeout=_TIMEOUT,
            allow_redirects=False,
        ) as response:
            reply = Reply(response.status, response.headers, await _bounded(response))
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
        raise GetFailed(f"the address of {who} is not a URL") from None
    except aiohttp.ClientSSLError:
        raise GetFailed(f"the certificate of {who} is not trusted, or TLS failed") from None
    except (aiohttp.ClientError, OSError) as error:
        # Their texts may hold the URL.
        raise TryLater(f"{who} does not answer ({type(error).__name__})") from None
    if judge(reply.status) is Verdict.LATER:
        raise TryLater(reply.reason(), retry_after_seconds(reply.headers))
    return reply


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > _MAX_ANSWER_BYTES:
            raise GetFailed(f"an answer is longer than {_MAX_ANSWER_BYTES} bytes")
    return bytes(body)


def parse_manifest(value: object, base_url: str) -> list[LinkedFile]:
    """Read a manifest (`docs/links.md`). Raises GetFailed if it is not valid.

    If the Provider was asked over TLS, a link without TLS is refused: anyone reading it could download the file.
    """
    files = value.get("files") if isinstance(value, Mapping) else None
    if not isinstance(files, list) or not files:
        raise GetFailed("the Provider's answer names no files")
    return [_linked_file(item, base_url) for item in files]


def _linked_file(item: object, base_url: str) -> LinkedFile:
    fields = item if isinstance(item, Mapping) else {}
    index, url, name = fields.get("index"), fields.get("url"), fields.get("name")
    if type(index) is not int or not isinstance(url, str):
        raise GetFailed("the Provider's answer has a file without index or url")
    try:
        url = urljoin(base_url, url)
    except ValueError:
        raise GetFailed("the Provider's answer has a link that is no URL") from None
    scheme, asked = urlsplit(url).scheme, urlsplit(base_url).scheme
    if scheme not in ("http", "https") or (asked == "https" and scheme != "https"):
        raise GetFailed("the Provider's links do not use TLS, although it does; tell its operator")
    length, etag, sha256 = fields.get("length"), fields.get("etag"), fields.get("sha256")
    known = Facts(
        length=length if type(length) is int and length >= 0 else None,
        etag=etag if isinstance(etag, str) and is_strong_tag(etag) else None,
        has_ranges=fields.get("ranges") is True,
    )
    digest = sha256.lower() if isinstance(sha256, str) else ""
    return LinkedFile(
        index, name if isinstance(name, str) else "", url, known, digest if _SHA256.fullmatch(digest) else None
    )


@dataclass(frozen=True, slots=True)
class Wanted:
    """The purchase that links are requested for. `file_index` None: all files."""

    did: str
    service_id: str
    order_tx_id: str
    file_index: int | None = None
    userdata: str | None = None


def _origin(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port (RFC 6454 section 4)."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _after(nonce: object) -> int:
    """Return the next whole number after a server's nonce; 0 if it is not a number."""
    try:
        told = Decimal(str(nonce))
        # `1E999999999` is a number too. Writing its digits would take hours and gigabytes.
        return int(told) + 1 if told.adjusted() < _MAX_NONCE_DIGITS else 0
    except (InvalidOperation, ValueError, OverflowError):
        return 0


class Links:
    """Asks one Provider, as one buyer. `url` has no trailing slash."""

    def __init__(self, session: aiohttp.ClientSession, url: str, account: Account, *, pause: Pause = wait) -> None:
        self.session = session
        self.url = url
        self.account = account
        self.pause = pause

    async def create(self, wanted: Wanted) -> list[LinkedFile]:
        """Ask for links with a new signature. Raises NoAccess with the Provider's reason, and GetFailed."""
        fields: dict[str, object] = {
            "documentId": wanted.did,
            "serviceId": wanted.service_id,
            "transferTxId": wanted.order_tx_id,
        }
        if wanted.file_index is not None:
            fields["fileIndex"] = wanted.file_index
        if wanted.userdata is not None:
            fields["userdata"] = wanted.userdata

        async def post() -> Reply:
            return await self._ask("POST", "links", body={**fields, **await self.signed(CREATE_LINKS)})

        reply = await self.patiently(post)
        if reply.status in (404, 405):
            raise GetFailed("the Provider gives no links: it is older than version 3, or they are turned off")
        if reply.status != 200:
            raise NoAccess(f"the Provider refuses: {reply.reason()}")
        return parse_manifest(reply.json(), self.url)

    async def renew(self, file: LinkedFile) -> LinkedFile:
        """Return a new link to the same file, without a signature. Raises LinkEnded if it cannot be renewed.

        Only the Provider is asked. Its manifest may name any other host, where a POST may do something else.
        """
        if _origin(file.url) != _origin(self.url):
            raise LinkEnded("the link ended", file.url)

        async def post() -> Reply:
            return await ask(self.session, "POST", file.url)

        reply = await self.patiently(post)
        if reply.status != 200:
            raise LinkEnded(reply.reason(), file.url)
        fresh = [one.url for one in parse_manifest(reply.json(), self.url) if one.index == file.index]
        if not fresh:
            raise GetFailed("the Provider's fresh link is of another file")
        return replace(file, url=fresh[0])

    async def signed(self, command: str, claimed: str = "consumerAddress") -> dict[str, str]:
        """Return the fields that prove who asks: address, unused nonce, and a signature over both and the command."""
        address, nonce = self.account.address, await self._nonce()
        signature = sign_message(self.account, f"{address}{nonce}{command}")
        return {claimed: address, "nonce": nonce, "signature": "0x" + signature.hex()}

    async def get(self, name: str, **query: str) -> Reply:
        """Run one GET of the API."""

        async def get() -> Reply:
            return await self._ask("GET", name, query=query)

        return await self.patiently(get)

    async def decrypt(self, data_nft: str, chain_id: int, metadata_tx_id: str) -> Reply:
        """Return the decrypted document that a transaction published."""

        async def post() -> Reply:
            signed = await self.signed(DECRYPT, "decrypterAddress")
            named = {"transactionId": metadata_tx_id, "dataNftAddress": data_nft, "chainId": chain_id}
            return await self._ask("POST", "decrypt", body={**named, **signed})

        return await self.patiently(post)

    async def patiently(self, action: Callable[[], Awaitable[T]]) -> T:
        """Repeat an action as long as it asks to come back later. Raises GetFailed after the last attempt."""
        return await patiently(action, self.pause)

    async def _nonce(self) -> str:
        """Return the time in milliseconds; if an earlier nonce is greater, the number after that."""
        reply = await self._ask("GET", "nonce", query={"userAddress": self.account.address})
        value = reply.json()
        known = value.get("nonce") if isinstance(value, Mapping) else None
        return str(max(time.time_ns() // 1_000_000, _after(known)))

    async def _ask(
        self, method: str, name: str, *, query: Mapping[str, str] | None = None, body: object = None
    ) -> Reply:
        return await ask(self.session, method, f"{self.url}/api/services/{name}", query=query, body=body)
