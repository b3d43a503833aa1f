"""Facts about linked files, and the manifest that answers a request for links."""

import asyncio
import hashlib
import time
from collections.abc import Awaitable
from dataclasses import dataclass

from provider.cache import FactCache
from provider.compute.results import JobResult, JobResults
from provider.errors import ProviderError, RouteNotFound
from provider.files.file_object import FileObject
from provider.files.origins import FileOrigins
from provider.files.resolve import asked_of
from provider.files.userdata import as_json
from provider.handlers.accept import preferred
from provider.handlers.base import BaseEndpoint
from provider.handlers.downloads.purchase import Purchase
from provider.links.facts import FIRST_BYTE, FileFacts, facts_of
from provider.links.manifest import JSON, METALINK, URI_LIST, Manifest
from provider.upstream.answer import answer_of
from provider.upstream.patience import refusal
from provider.upstream.source import Source
from provider.wire.text import ows

# A manifest waits no longer for the facts of one file. Its link works even without them.
_FACTS_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class KnownFiles:
    """Facts about linked files, learned with one request to the origin and kept for a while.

    `results` is None if this server starts no jobs.
    """

    origins: FileOrigins
    results: JobResults | None
    kept: FactCache[bytes, FileFacts]

    async def of_file(self, purchase: Purchase, file: FileObject, index: int) -> FileFacts:
        """Return facts about a bought file. Raises UpstreamError and what `FileOrigins.open` raises."""
        wish = asked_of(file, FIRST_BYTE)

        async def fetch() -> FileFacts:
            source = await self.origins.open(file, purchase.userdata, wish, chain_id=purchase.network.chain_id)
            answer = answer_of(wish, source)
            return await _learned(source, facts_of(source, answer, is_publishers_part=wish.of_file_object))

        return await self.kept.get(_key_of_file(purchase, index), fetch)

    def forget_file(self, purchase: Purchase, index: int) -> None:
        """Ask the origin again next time, because the file has changed."""
        self.kept.discard(_key_of_file(purchase, index))

    async def of_result(self, result: JobResult, *, signature: str) -> FileFacts:
        """Return facts about a result of a job. Raises RouteNotFound without an operator service, and UpstreamError."""
        results = self.results
        if results is None:
            raise RouteNotFound

        async def fetch() -> FileFacts:
            source = await results.ask(result, FIRST_BYTE, signature=signature)
            return await _learned(source, facts_of(source, answer_of(FIRST_BYTE, source)))

        return await self.kept.get(_key_of_result(result), fetch)

    def forget_result(self, result: JobResult) -> None:
        """As `forget_file`."""
        self.kept.discard(_key_of_result(result))


async def if_known(facts: Awaitable[FileFacts]) -> FileFacts | None:
    """Return the facts; None if the origin gives no usable answer in time."""
    try:
        async with asyncio.timeout(_FACTS_SECONDS):
            return await facts
    except (ProviderError, TimeoutError):
        return None


async def _learned(source: Source, facts: FileFacts | None) -> FileFacts:
    """Return the facts and end the request that brought them. Raises UpstreamError if it brought none."""
    if facts is None:
        source.close()
        raise refusal(source, f"origin: status {source.status}", now=time.time())
    if source.length_bytes == 1:
        # When this byte has been read, the connection can be used again.
        await source.read_into(memoryview(bytearray(1)))
    source.release()
    return facts


def _key_of_file(purchase: Purchase, index: int) -> bytes:
    # The key includes the ciphertext, so an edited list is noticed at once.
    return _key(
        purchase.network.chain_id,
        purchase.asset.did,
        purchase.service.id,
        purchase.service.files,
        index,
        as_json(purchase.userdata.values),
    )


def _key_of_result(result: JobResult) -> bytes:
    return _key("result", result.owner, result.job_id, result.index)


def _key(*parts: object) -> bytes:
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).digest()


def reply_manifest(endpoint: BaseEndpoint, manifest: Manifest) -> None:
    """Reply with the manifest in the form that the client prefers."""
    media_type = preferred(endpoint.request.headers.get("Accept"), (JSON, METALINK, URI_LIST))
    endpoint.set_header("Vary", "Origin, Accept")
    endpoint.reply_body(manifest.text(media_type), media_type)


def base_url(endpoint: BaseEndpoint, public_url: str | None) -> str:
    """Return where consumers reach this server, without a slash at the end.

    If no setting says it, the request does. Only the client that sent the request sees the result, so any client may
    name the scheme of its front proxy.
    """
    if public_url is not None:
        return public_url.rstrip("/")
    request = endpoint.request
    forwarded = ows((request.headers.get("X-Forwarded-Proto") or "").partition(",")[0]).lower()
    return f"{'https' if forwarded == 'https' else request.protocol}://{request.host}"
