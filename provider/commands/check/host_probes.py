"""Tries what this host must give: writable stores, free disk space, free ports. Nothing is left behind."""

import asyncio
import errno
import shutil
import socket
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from provider.commands.check.table import Finding, failed, passed, warned
from provider.config import Listener
from provider.errors import StoreError

# SQLite's log alone may grow to some megabytes before it is folded back.
MIN_FREE_BYTES = 64 << 20
FEW_FREE_BYTES = 1 << 30


async def probe_store(what: str, path: Path, check: Callable[[], Awaitable[None]]) -> Finding:
    """A store's file opens and can be written; where there is none yet, its directory can be.

    The file itself is not created: it would belong to whoever runs this, not to whoever runs the server.
    """
    if not await asyncio.to_thread(path.exists):
        return await asyncio.to_thread(_probe_directory, what, path)
    try:
        await check()
    except StoreError as error:
        return failed(what, error.detail or str(path), "STORAGE_PATH: check the file, its owner and the disk")
    return passed(what, f"{path} opens and can be written")


def _probe_directory(what: str, path: Path) -> Finding:
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            return passed(what, f"{path} will be created")
    except OSError as error:
        advice = "STORAGE_PATH: name a file in a directory that the server may write"
        return failed(what, f"{path} cannot be created: {error.strerror}", advice)


def probe_disk(path: Path) -> Finding:
    """Free space where the stores are."""
    what = "disk space"
    try:
        free = shutil.disk_usage(path.parent).free
    except OSError as error:
        return failed(what, f"{path.parent}: {error.strerror}", "STORAGE_PATH: name a file in an existing directory")
    detail = f"{free / (1 << 30):.1f} GiB free at {path.parent}"
    if free < MIN_FREE_BYTES:
        return failed(what, detail, "make room: no nonce can be stored on a full disk")
    if free < FEW_FREE_BYTES:
        return warned(what, detail, "make room before the disk is full")
    return passed(what, detail)


def probe_listener(what: str, variable: str, listener: Listener | None) -> Finding:
    """Can the server listen there? In use is a warning only: it may be the server itself."""
    if listener is None:
        return passed(what, "off")
    place = f"{listener.host} port {listener.port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            listener.host, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(1)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return warned(what, f"{place} is in use", f"{variable}: fine if the server is already running there")
        return failed(what, f"{place}: {error.strerror}", f"{variable}: name an address of this host and a free port")
    return passed(what, f"{place} is free")
