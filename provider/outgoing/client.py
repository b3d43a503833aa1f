"""Calls a service that the operator configured: a metadata store, RBAC, policy, proof or operator service.

A path in, status and a bounded body out. The operator chose the address, so there is no address guard here. An address
chosen by a consumer or publisher goes through `upstream/`.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from provider import USER_AGENT
from provider.errors import AnswerTooLong, ServiceUnavailable
from provider.outgoing.sessions import Outgoing
from provider.wire.json import read_json

_trace_headers: ContextVar[Mapping[str, str] | None] = ContextVar("trace_headers", default=None)
TRY_LATER = (408, 425, 429)
"""These mean "not now" (RFC 9110 section 15.5.9, RFC 6585 section 4, RFC 8470 section 5.2)."""
Parameters = Mapping[str, str] | Sequence[tuple[str, str]]


@contextmanager
def traced(headers: Mapping[str, str]) -> Iterator[None]:
    """Send these headers (W3C Trace Context) with calls made inside this context, and in tasks started there."""
    token = _trace_headers.set(headers)
    try:
        yield
    finally:
        _trace_headers.reset(token)


@dataclass(frozen=True, slots=True)
class ServiceReply:
    """A whole answer. The body may hold secrets, so show it only to the caller."""

    status: int
    content_type: str
    body: bytes = field(repr=False)

    def json(self) -> object:
        """The body as JSON; None if it is not JSON."""
        try:
            return read_json(self.body)
        except ValueError:
            return None


class _LostError(aiohttp.ClientError):
    """The connection was lost after the request may have been sent."""


async def _not_repeated(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """A middleware that hides lost connections from aiohttp, which would send GET, PUT and DELETE once more."""
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        # Nothing was sent.
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _LostError from error


class ServiceClient:
    """Keep-alive client of one service. The session is created at the first call, inside the running event loop.

    Args:
        name: of the service. It appears in the logs; the URL never does.
        timeout_seconds: limit for one whole call.
        max_bytes: limit for one body.
        headers: sent with every request; may be secret.
        sends_once: use a new connection for each call, and never send anything twice. Otherwise a GET, PUT or DELETE is
            repeated if its kept connection turns out to be closed.
    """

    def __init__(
        self,
        base_url: str,
        *,
        name: str,
        timeout_seconds: float,
        max_bytes: int,
        headers: Mapping[str, str] | None = None,
        max_redirects: int = 0,
        sends_once: bool = False,
        unavailable: type[ServiceUnavailable] = ServiceUnavailable,
        outgoing: Outgoing | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._name = name
        self._timeout_seconds = timeout_seconds
        self._max_bytes = max_bytes
        # identity, so that the limit counts the transferred bytes.
        self._headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **(headers or {})}
        self._max_redirects = max_redirects
        self._sends_once = sends_once
        self._unavailable = unavailable
        self._outgoing = outgoing or Outgoing()
        self._proxy = self._outgoing.proxy_of(self._base_url)
        self._session: aiohttp.ClientSession | None = None

    async def call(
        self,
        method: str,
        path: str = "",
        *,
        params: Parameters | None = None,
        json: object = None,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
        with_body: bool = True,
    ) -> ServiceReply:
        """Send one request, following up to `max_redirects` redirects. A refused connection is tried once more.

        That second try cannot repeat anything, since nothing was sent. Every status is an answer, not an error.

        Raises:
            ServiceUnavailable (or the given subclass): no complete answer in time.
            AnswerTooLong: the body exceeds `max_bytes`.
        """
        limit = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        body = None if json is None else orjson.dumps(json)
        headers = {**self._headers, **({} if body is None else {"Content-Type": "application/json"}), **(headers or {})}
        trace_headers = _trace_headers.get()
        if trace_headers is not None:
            headers = {**headers, **trace_headers}
        options = {"params": params, "data": form if body is None else body, "headers": headers}
        try:
            async with asyncio.timeout(limit):
                try:
                    return await self._send(method, path, with_body, options)
                except aiohttp.ClientConnectorError:
                    return await self._send(method, path, with_body, options)
        except TimeoutError:
            raise self._failed(f"no answer within {limit} s") from None
        except (aiohttp.ClientError, ValueError) as error:
            # These messages may contain the URL, and with it a password.
            cause = error.__cause__ if isinstance(error, _LostError) else error
            raise self._failed(f"request failed: {type(cause).__name__}") from None

    async def close(self) -> None:
        """Close idle connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _failed(self, what: str) -> ServiceUnavailable:
        return self._unavailable(detail=f"{self._name}: {what}")

    async def _send(self, method: str, path: str, with_body: bool, options: Mapping[str, Any]) -> ServiceReply:
        if self._session is None:
            self._session = self._outgoing.session(force_close=self._sends_once)
        async with self._session.request(
            method,
            self._base_url + path,
            allow_redirects=self._max_redirects > 0,
            max_redirects=self._max_redirects,
            proxy=self._proxy,
            middlewares=(_not_repeated,) if self._sends_once else (),
            **options,
        ) as response:
            content = await self._bounded_body(response) if with_body else b""
            return ServiceReply(response.status, response.content_type, content)

    async def _bounded_body(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > self._max_bytes:
                # Close the connection, since reading the rest could take forever.
                response.close()
                raise AnswerTooLong(detail=f"{self._name}: its answer is longer than {self._max_bytes} bytes")
        return bytes(body)
