"""Talking to a service the operator named: a metadata store, RBAC, policy, proof or operator service.

A path in, status and a bounded body out. The operator chose the address, so no address guard stands here; what a
consumer or publisher chose goes through `upstream/`.
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
Parameters = Mapping[str, str] | Sequence[tuple[str, str]]


@contextmanager
def traced(headers: Mapping[str, str]) -> Iterator[None]:
    """Calls made from within, and from tasks begun there, carry these headers (W3C Trace Context)."""
    token = _trace_headers.set(headers)
    try:
        yield
    finally:
        _trace_headers.reset(token)


@dataclass(frozen=True, slots=True)
class ServiceReply:
    """A whole answer; the body may hold what only the asker should see."""

    status: int
    content_type: str
    body: bytes = field(repr=False)

    def json(self) -> object:
        """The body as JSON, None when it is none."""
        try:
            return read_json(self.body)
        except ValueError:
            return None


class ServiceClient:
    """Keep-alive client of one service; `name` stands in the logs, the URL never does.

    `timeout_seconds` bounds one whole call, `max_bytes` one body. `headers` go with every request and may be secret.
    `sends_once`: each call on a connection of its own, and nothing that was sent is ever sent again; otherwise a GET,
    PUT or DELETE is repeated when its kept connection turns out to be closed.
    The session is made inside the running event loop, at the first call.
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
        # identity: what is counted against the limit is then what is transferred.
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
        timeout_seconds: float | None = None,
        with_body: bool = True,
    ) -> ServiceReply:
        """One request, redirects followed up to `max_redirects`; a refused connection is tried once more.

        Nothing was sent then, so the second try cannot repeat anything. Raises ServiceUnavailable (or the subclass
        given) when there is no whole answer in time, AnswerTooLong; every status is an answer.
        """
        limit = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        body = None if json is None else orjson.dumps(json)
        headers = {**self._headers, "Content-Type": "application/json"} if body is not None else self._headers
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
            # The message of these may hold the URL, and that a password.
            raise self._failed(f"request failed: {type(error).__name__}") from None

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
            # aiohttp has this switch for its own tests only, and no other.
            self._session._retry_connection = not self._sends_once
        async with self._session.request(
            method,
            self._base_url + path,
            allow_redirects=self._max_redirects > 0,
            max_redirects=self._max_redirects,
            proxy=self._proxy,
            **options,
        ) as response:
            content = await self._bounded_body(response) if with_body else b""
            return ServiceReply(response.status, response.content_type, content)

    async def _bounded_body(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > self._max_bytes:
                # Closing, since draining what is left could be endless.
                response.close()
                raise AnswerTooLong(detail=f"{self._name}: its answer is longer than {self._max_bytes} bytes")
        return bytes(body)
