"""DDOs from a metadata store over HTTP: Aquarius, or an ocean-node, which serves the same path.

A DID in, an `Asset` out, cached. That the asset is the one asked for is checked in `catalog.py`.
"""

import asyncio

import aiohttp
import orjson

from provider.assets.ddo import Asset, parse_ddo
from provider.assets.did import is_did
from provider.cache import FactCache
from provider.errors import AssetMalformed, AssetNotFound, MetadataStoreUnavailable

_PATH = "/api/aquarius/assets/ddo/"
# These say "not now", not "no such asset" (RFC 9110 section 15.5.9, RFC 6585 section 4, RFC 8470 section 5.2).
_TRY_LATER = (408, 425, 429)


class MetadataStore:
    """The store at `base_url` (`http` or `https`, with or without a path).

    `timeout_seconds` bounds one whole lookup, `max_bytes` one document (decoded). Found assets live in `cache`;
    failures are not remembered. The client is made inside the running event loop, at the first request.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout_seconds: float,
        cache: FactCache[str, Asset],
        max_bytes: int = 5 * 1024 * 1024,
        user_agent: str = "OceanProvider",
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._timeout_seconds = timeout_seconds
        self._cache = cache
        self._max_bytes = max_bytes
        self._user_agent = user_agent
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, did: str) -> Asset:
        """The asset of a DID.

        Raises AssetNotFound (no such document, or not the form of a DID: then the store is not asked),
        AssetMalformed (a document that is none, or is too large) and MetadataStoreUnavailable.
        """
        # Nothing but `did:op(e):` and hex digits ever becomes part of the path.
        if not is_did(did):
            raise AssetNotFound(detail="not the form of a DID")
        return await self._cache.get(did, lambda: self._load(did))

    async def check(self) -> None:
        """Does the store answer at all? Raises MetadataStoreUnavailable."""
        await self._get("/", with_body=False)

    async def close(self) -> None:
        """Close idle connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _load(self, did: str) -> Asset:
        status, body = await self._get(_PATH + did)
        if status != 200:
            raise AssetNotFound(detail=f"the metadata store answered {status}")
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise MetadataStoreUnavailable(detail="the metadata store's answer is not JSON") from None
        return parse_ddo(document)

    async def _get(self, path: str, *, with_body: bool = True) -> tuple[int, bytes]:
        """Status (200 or a definite 4xx) and body. The base URL may hold a password, so no error shows it."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._request(path, with_body)
        except TimeoutError:
            raise MetadataStoreUnavailable(detail=f"no answer within {self._timeout_seconds} s") from None
        except (aiohttp.ClientError, ValueError) as error:
            # ValueError: a redirect to something that is no URL.
            raise MetadataStoreUnavailable(detail=f"request failed: {type(error).__name__}") from None

    async def _request(self, path: str, with_body: bool) -> tuple[int, bytes]:
        session = self._session
        if session is None:
            session = self._session = aiohttp.ClientSession(
                # identity: what is counted against the limit is then what is transferred.
                headers={"User-Agent": self._user_agent, "Accept-Encoding": "identity", "Accept": "application/json"},
                timeout=aiohttp.ClientTimeout(total=None),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        async with session.get(self._base_url + path, max_redirects=3) as response:
            definite = response.status == 200 or 400 <= response.status < 500
            if not definite or response.status in _TRY_LATER:
                raise MetadataStoreUnavailable(detail=f"the metadata store answered {response.status}")
            body = await self._bounded_body(response) if with_body and response.status == 200 else b""
            return response.status, body

    async def _bounded_body(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > self._max_bytes:
                # Closing, since draining what is left could be endless.
                response.close()
                raise AssetMalformed(detail=f"the DDO is longer than {self._max_bytes} bytes")
        return bytes(body)
