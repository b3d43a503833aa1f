"""HTTP sessions for services that the operator configured: own name resolution, and proxies.

Origins of files are not reached this way: their names come from strangers and belong to `upstream/names.py`.
"""

import socket
from collections.abc import Mapping
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from provider.outgoing.names import OperatorNames
from provider.outgoing.proxies import Proxies


class Outgoing:
    """Creates HTTP sessions for services of the operator, and chooses the proxy for each URL."""

    def __init__(self, proxies: Proxies | None = None) -> None:
        self.names = OperatorNames()
        self._proxies = proxies or Proxies()

    def proxy_of(self, url: str) -> str | None:
        """Value for aiohttp's argument `proxy`. It may contain a password."""
        return self._proxies.of(url)

    def session(
        self,
        *,
        limit: int = 100,
        keepalive_seconds: float = 15.0,
        force_close: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> aiohttp.ClientSession:
        """Create a session without cookies and time limits. Call it inside the running loop."""
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
    """Add the interface that an IPv6 address of a single link (`fe80::1`) needs."""
    return f"{address[0]}%{address[3]}" if len(address) == 4 and address[3] else str(address[0])
