"""Probes each named source: is its folder there, do its credentials open it?"""

import asyncio
import os
import re

from provider.commands.check.reach import host_of
from provider.commands.check.table import Finding, failed, passed, warned
from provider.commands.own_origins import own_origins, own_seller
from provider.config import Settings
from provider.errors import ProviderError, UpstreamError
from provider.files.file_object import SourceFile
from provider.files.sources.config import SourceConfig
from provider.files.sources.sources import Sources
from provider.upstream.disk import Disk
from provider.upstream.source import Source
from provider.upstream.wish import NO_WISH

# A name that no source has. A store that accepts the credentials answers that the file does not exist.
_MADE_UP_PATH = "provider-check-made-up-name"
_CODE = re.compile(rb"<Code>([A-Za-z]{1,64})</Code>")
_NO_OBJECT, _DENIED = "NoSuchKey", "AccessDenied"
_ERROR_BYTES = 4096


async def probe_sources(settings: Settings) -> list[Finding]:
    """Return one finding for each source."""
    async with own_origins(settings.upstream, settings.sources, settings.proxies) as origins:
        probes = []
        for config in settings.sources.all:
            if config.path is not None:
                # In a thread: the folder may be on a network disk.
                probes.append(asyncio.to_thread(_probe_folder, config.name, config.path, origins.disk))
            else:
                seller = own_seller(settings.sources, config.name)
                probes.append(_probe_remote(config, SourceFile(config.name, _MADE_UP_PATH, seller), origins.sources))
        found = list(await asyncio.gather(*probes))
    if settings.slices.directory is None:
        found += [_no_cache(config.name) for config in settings.sources.all if config.cache == "always"]
    return found


def _no_cache(name: str) -> Finding:
    remedy = f"set PROVIDER_CACHE_DIR, or remove sources.{name}.cache"
    return warned(f"source {name}", "cache = always, and there is no slice cache", remedy)


def _probe_folder(name: str, path: str, disk: Disk) -> Finding:
    what = f"source {name}"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        return failed(what, f"{path}: {error.strerror}", f"sources.{name}.path: its files fail until it works")
    try:
        with os.scandir(descriptor) as entries:
            file = next((entry.name for entry in entries if entry.is_file(follow_symlinks=False)), None)
        return passed(what, f"{path} can be read{_how_sent(descriptor, file, disk)}")
    except OSError as error:
        return failed(what, f"{path}: {error.strerror}", f"sources.{name}.path: the server's user must read the folder")
    finally:
        os.close(descriptor)


def _how_sent(folder: int, file: str | None, disk: Disk) -> str:
    """Return how the bytes of such files are sent; empty if the folder has no file of its own to test."""
    if file is None:
        return ""
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    try:
        return ", by sendfile" if disk.tells(descriptor) else ", by copying: its file system hides what is in memory"
    finally:
        os.close(descriptor)


async def _probe_remote(config: SourceConfig, file: SourceFile, sources: Sources) -> Finding:
    what = f"source {config.name} ({_host_of(config)})"
    key = f"sources.{config.name}"
    try:
        source = await sources.open(file, NO_WISH)
    except ProviderError as error:
        return failed(what, error.detail or error.public_text, f"{key}: its files fail until it works")
    code = await _error_code(source) if config.bucket is not None and source.status >= 400 else ""
    source.close()
    shown = f"HTTP {source.status}{f' {code}' if code else ''}"
    if code == _DENIED:
        return warned(what, shown, f"{key}: the key may not list the bucket; check that it may read the files")
    if source.status in (401, 403) or (code and code != _NO_OBJECT):
        return failed(what, shown, f"{key}: correct the credentials, the bucket or its region")
    if source.status >= 500:
        return warned(what, shown, f"{key}: the host reports an error")
    kept = "" if config.cache == "auto" else f", cache = {config.cache}"
    return passed(what, f"answers ({shown}){kept}")


def _host_of(config: SourceConfig) -> str:
    if config.bucket is None:
        return host_of(config.url or "")
    return f"bucket {config.bucket[0]}"


async def _error_code(source: Source) -> str:
    """Return the code in a store's error document."""
    buffer, count = memoryview(bytearray(_ERROR_BYTES)), 0
    try:
        while count < _ERROR_BYTES and (step := await source.read_into(buffer[count:])):
            count += step
    except UpstreamError:
        pass
    match = _CODE.search(bytes(buffer[:count]))
    return match[1].decode() if match is not None else ""
