"""How services that the operator named are reached: their names are resolved apart from strangers', proxies are used.

Files' origins are not reached this way: their names are strangers' and belong to `upstream/names.py`.
"""

import socket
from collections.abc import Mapping
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from provider.outgoing.names import OperatorNames
from provider.outgoing.proxies import Proxies


class Outgoing:
    """Makes the HTTP sessions for services of the operator, and tells the proxy of each URL."""

    def __init__(self, proxies: Proxies | None = None) -> None:
        self.names = OperatorNames()
        self._proxies = proxies or Proxies()

    def proxy_of(self, url: str) -> str | None:
        """For aiohttp's argument `proxy`; it may hold a password."""
        return self._proxies.of(url)

    def session(
        self,
        *,
        limit: int = 100,
        keepalive_seconds: float = 15.0,
        force_close: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> aiohttp.ClientSession:
        """A session without cookies and limits of time, inside the running loop."""
        connector = aiohttp.TCPConnector(
            resolver=_Resolver(self.names),
            limit=limit,
            force_close=force_close,
            keepalive_timeout=None if force_close else keepalive_seconds,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=None),
        )


class _Resolver(AbstractResolver):
    def __init__(self, names: OperatorNames) -> None:
        self._names = names

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=_with_scope(address),
                port=port,
                family=found,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for found, address in await self._names(host, port)
            if family in (socket.AF_UNSPEC, found)
        ]

    async def close(self) -> None:
        pass


def _with_scope(address: tuple[Any, ...]) -> str:
    """An IPv6 address of one link (`fe80::1`) needs its interface."""
    return f"{address[0]}%{address[3]}" if len(address) == 4 and address[3] else str(address[0])
