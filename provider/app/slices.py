"""Builds the slice cache in front of the origins."""

from provider.app.origins import Origins
from provider.config import Settings
from provider.crypto.accounts import Account
from provider.observability.metrics.traffic import Slices
from provider.slices.cached_origins import CachedOrigins
from provider.slices.directory import SliceDirectory
from provider.slices.store import SliceStore

_PURPOSE = b"ocean provider / slice cache / v1"


def slice_directory(settings: Settings) -> SliceDirectory | None:
    """Return the directory of the settings; None if there is no cache. Nothing is opened."""
    if settings.slices.directory is None:
        return None
    account = Account.from_hex(settings.security.universal_key)
    return SliceDirectory(settings.slices.directory, account.derive_key(_PURPOSE))


async def build_slices(settings: Settings, origins: Origins, metrics: Slices) -> CachedOrigins | None:
    """Open the cache of the settings; None if there is none. If its disk fails, the cache only pauses."""
    directory = slice_directory(settings)
    if directory is None:
        return None
    store = SliceStore(directory, max_bytes=settings.slices.max_bytes, metrics=metrics)
    await store.start()
    return CachedOrigins(
        origins.files,
        store,
        settings.slices,
        sources=origins.sources,
        disk=origins.disk,
        idle_timeout_seconds=settings.upstream.idle_timeout_seconds,
        metrics=metrics,
    )
