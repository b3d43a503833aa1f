"""Opens files from slices on disk where it can, and at their origins otherwise.

If the cache fails before the first byte, the origin is asked as without a cache. If it fails later, the body breaks
off, and `streaming/resume.py` asks for the rest, which comes from the origin if the cache still fails.
"""

import asyncio
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol
from weakref import WeakValueDictionary

from provider.assets.did import did_for
from provider.cache import FactCache
from provider.errors import UpstreamError
from provider.files.file_object import FileObject, SourceFile
from provider.files.origins import FileOpener
from provider.files.sources.sources import Sources
from provider.files.userdata import Userdata
from provider.observability.metrics.traffic import Slices
from provider.override import override
from provider.slices.admission import Admission, Demand
from provider.slices.config import SliceConfig
from provider.slices.fill import CachedFile, Fill
from provider.slices.slice_source import SliceSource
from provider.slices.store import SliceStore
from provider.slices.version import Version, file_key, slice_prefix, version_of
from provider.upstream.disk import Disk
from provider.upstream.ranges import Selection, select_range
from provider.upstream.resume import Rest
from provider.upstream.source import Source
from provider.upstream.validators import parse_http_date
from provider.upstream.wish import NO_WISH, Preconditions, Tags, Wish

# A version takes about 2 KB.
_MAX_FILES = 10_000
# How long a file that cannot be cached is not tried again, at least.
_UNCACHED_SECONDS = 60.0
# Costs the origin one byte, and none if it answers 304.
_FIRST_BYTE = "bytes=0-0"


@dataclass(frozen=True, slots=True)
class _Uncached:
    """The origin's answer must not, or cannot, be cached."""

    fresh_seconds: float


class _Ask(Protocol):
    """Asks the origin of one file."""

    async def __call__(self, asked: Wish = NO_WISH, rest: Rest | None = None) -> Source: ...


class CachedOrigins(FileOpener):
    """Opens files. The cache stands in front of `origins`.

    Args:
        sources: opens files of named sources.
        disk: reads the slices.
        idle_timeout_seconds: longest wait of a reader for its next bytes.
    """

    def __init__(
        self,
        origins: FileOpener,
        store: SliceStore,
        config: SliceConfig,
        *,
        sources: Sources,
        disk: Disk,
        idle_timeout_seconds: float,
        metrics: Slices,
    ) -> None:
        self._origins, self._store, self._config = origins, store, config
        self._sources = sources
        self._secret, self._disk = store.secret, disk
        self._idle_timeout_seconds = idle_timeout_seconds
        self._metrics = metrics
        self._admission, self._demand = Admission(config.from_request), Demand()
        self._versions: FactCache[bytes, Version | _Uncached] = FactCache(
            name="file_version", max_entries=_MAX_FILES, ttl_seconds=config.fresh_seconds
        )
        # The last version of each file, for conditional requests.
        self._last: OrderedDict[bytes, Version] = OrderedDict()
        # The versions that somebody reads or fetches now.
        self._files: WeakValueDictionary[str, CachedFile] = WeakValueDictionary()
        self._fills: set[Fill] = set()
        metrics.follow(store, self._fills, max_bytes=config.max_bytes)

    @override
    async def open(
        self,
        file: FileObject,
        userdata: Userdata,
        asked: Wish,
        *,
        chain_id: int | None = None,
        rest: Rest | None = None,
    ) -> Source:
        async def ask(asked: Wish = NO_WISH, rest: Rest | None = None) -> Source:
            return await self._origins.open(file, userdata, asked, chain_id=chain_id, rest=rest)

        key, at_once = await self._key(file, userdata, asked)
        if key is not None and self._store.is_usable and (at_once or rest is not None or self._is_admitted(key)):
            source = await self._from_slices(key, file, asked, rest, ask)
            if source is not None:
                return source
        self._metrics.requests.add("passed")
        return await ask(asked, rest)

    async def close(self) -> None:
        """End all fills and close the store."""
        running = [fill.task for fill in self._fills]
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
        await self._store.close()

    async def _key(self, file: FileObject, userdata: Userdata, asked: Wish) -> tuple[bytes | None, bool]:
        """The file's key, None if it is not cached, and whether it is kept from its first request on."""
        if asked.of_file_object or (asked.ranges is not None and "," in asked.ranges):
            return None, False
        address, at_once = "", False
        if isinstance(file, SourceFile):
            # At each request, so that the owner of the data NFT is checked for hits too.
            found = await self._sources.cacheable(file)
            if found is None:
                return None, False
            address, at_once = found.address, found.at_once
        values = userdata.over(getattr(file, "userdata", None))
        return file_key(self._secret, file, values, address=address), at_once

    def _is_admitted(self, key: bytes) -> bool:
        return self._admission.admits(key, now=time.monotonic())

    async def _from_slices(
        self, key: bytes, file: FileObject, asked: Wish, rest: Rest | None, ask: _Ask
    ) -> Source | None:
        version, result = await self._current(key, ask) if rest is None else (self._of_rest(key, rest), "")
        if version is None:
            return None
        cached = self._cached_file(key, version, file, ask)
        part = _part(version, asked, rest)
        needs_body = part.count > 0 and not _is_decided(asked, version)
        if needs_body and not self._demand.pays_for(await cached.missing(part)):
            return None
        if result:
            self._metrics.requests.add(result)
        source = SliceSource(cached, part, disk=self._disk, idle_timeout_seconds=self._idle_timeout_seconds)
        if not needs_body:
            return source
        try:
            await source.wait_ready()
        except UpstreamError:
            source.close()
            return None
        except BaseException:
            source.close()
            raise
        return source

    def _of_rest(self, key: bytes, rest: Rest) -> Version | None:
        """The version that `rest` is a part of. Its body continues even if the origin has another one by now."""
        version = self._last.get(key)
        if version is None:
            return None
        whole = version.whole
        return version if (whole.validator, whole.total_bytes) == (rest.validator, rest.total_bytes) else None

    def _cached_file(self, key: bytes, version: Version, file: FileObject, ask: _Ask) -> CachedFile:
        prefix = slice_prefix(self._secret, key, version, self._config.slice_bytes)
        found = self._files.get(prefix)
        if found is None:

            async def ask_rest(rest: Rest) -> Source:
                return await ask(rest=rest)

            found = self._files[prefix] = CachedFile(
                self._store,
                version,
                prefix=prefix,
                did=_did_of(file),
                slice_bytes=self._config.slice_bytes,
                read_ahead=self._config.read_ahead,
                ask=ask_rest,
                outdated=partial(self._outdated, key, version),
                fills=self._fills,
                metrics=self._metrics,
            )
        return found

    async def _current(self, key: bytes, ask: _Ask) -> tuple[Version | None, str]:
        """The current version, and whether it is still `fresh` or was `checked` at the origin. Raises as `open`."""
        result = "fresh"

        async def check() -> Version | _Uncached:
            nonlocal result
            result = "checked"
            return await self._check(key, ask)

        version = await self._versions.get(key, check, ttl_seconds=lambda found: found.fresh_seconds)
        return (None if isinstance(version, _Uncached) else version), result

    async def _check(self, key: bytes, ask: _Ask) -> Version | _Uncached:
        """Ask the origin which version it has."""
        last = self._last.get(key)
        found = await self._ask_version(ask, last)
        if last is not None and not (found is not None and found.same_as(last)):
            self._last.pop(key, None)
            await self._drop(key, last)
        if found is None:
            return _Uncached(max(_UNCACHED_SECONDS, self._config.fresh_seconds))
        self._last[key] = found
        self._last.move_to_end(key)
        if len(self._last) > _MAX_FILES:
            self._last.popitem(last=False)
        return found

    async def _ask_version(self, ask: _Ask, last: Version | None) -> Version | None:
        wish = Wish(ranges=_FIRST_BYTE, preconditions=None if last is None else _unless(last))
        began = time.monotonic()
        answer = await ask(wish)
        distance_seconds = time.monotonic() - began
        try:
            if answer.status == 206 and answer.length_bytes == 1:
                # With its byte read, the connection can be used again.
                with suppress(UpstreamError):
                    await answer.read_into(memoryview(bytearray(1)))
        finally:
            answer.release()
        if last is not None and answer.status == 304:
            # A 304 that names another version says nothing.
            return last if last.confirmed_by(answer.headers) else await self._ask_version(ask, None)
        # An origin that ignores ranges cannot fill single slices.
        if answer.status != 206:
            return None
        return version_of(answer, fresh_seconds=self._config.fresh_seconds, distance_seconds=distance_seconds)

    async def _outdated(self, key: bytes, version: Version) -> None:
        """Record that the origin has another version, whatever it says about its validator."""
        self._versions.discard(key)
        if self._last.get(key) is version:
            del self._last[key]
        await self._drop(key, version)

    async def _drop(self, key: bytes, version: Version) -> None:
        prefix = slice_prefix(self._secret, key, version, self._config.slice_bytes)
        count = -(-version.whole.total_bytes // self._config.slice_bytes)
        await self._store.drop(prefix, count)


def _did_of(file: FileObject) -> str:
    if isinstance(file, SourceFile):
        return "" if file.seller is None else did_for(file.seller.data_nft, file.seller.chain_id)
    return str(getattr(file, "party", ""))


def _unless(version: Version) -> Preconditions:
    """Conditions under which an origin with this version answers 304."""
    whole = version.whole
    if whole.validated_by == "ETag":
        return Preconditions(if_none_match=Tags((whole.validator,)))
    return Preconditions(if_modified_since=parse_http_date(whole.validator))


def _part(version: Version, asked: Wish, rest: Rest | None) -> Selection:
    total = version.whole.total_bytes
    if rest is not None:
        return Selection(206, rest.first, rest.last - rest.first + 1, total)
    return select_range(asked.ranges if asked.version_holds(version.headers) else None, total)


def _is_decided(asked: Wish, version: Version) -> bool:
    """True if a condition of the consumer makes a body needless."""
    return asked.preconditions is not None and asked.preconditions.decide(version.headers) is not None
