"""Probes this host: writable stores, free disk space, free ports, the certificate. Leaves nothing behind."""

import asyncio
import errno
import shutil
import socket
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from provider.assets.index_store import IndexStore, index_path
from provider.auth.sqlite_store import SqliteNonceStore
from provider.commands.check.service_probes import probe_redis
from provider.commands.check.table import Finding, failed, passed, warned
from provider.config import Listener, Settings
from provider.crypto.certificate import TlsFiles
from provider.errors import StoreError

# SQLite's log alone may grow to some megabytes before it is merged back.
MIN_FREE_BYTES = 64 << 20
FEW_FREE_BYTES = 1 << 30


async def probe_stores(settings: Settings) -> list[Finding]:
    """Check where nonces, the books, the index of the chain and slices are kept."""
    path = Path(settings.storage_path)
    if settings.redis is not None:
        found = await probe_redis(settings.redis)
    else:
        nonces = SqliteNonceStore(path)
        found = [await probe_store("nonce store", path, nonces.check)]
        await nonces.close()
    if settings.metadata.aquarius_url is None:
        index = IndexStore(index_path(path))
        found.append(await probe_store("metadata index", index_path(path), index.check))
        await index.close()
    if settings.books.ledger and settings.books.path is not None:
        books = Path(settings.books.path)
        found.append(await asyncio.to_thread(probe_books, books))
    if settings.slices.directory is not None:
        found.append(await asyncio.to_thread(probe_slice_cache, Path(settings.slices.directory)))
    return [*found, probe_disk(path)]


def probe_books(path: Path) -> Finding:
    """Check that the folder of the books can be written. Without it downloads are served and not recorded."""
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            return passed("books", f"{path} {'is there' if path.exists() else 'will be created'}")
    except OSError as error:
        advice = "PROVIDER_BOOKS_PATH: name a file in a directory that the server may write"
        return warned("books", f"{path.parent}: {error.strerror}; uses will not be recorded", advice)


def probe_slice_cache(directory: Path) -> Finding:
    """Check that the server can write to the directory of slices, or can make it. Without it files are not cached."""
    what, advice = "slice cache", "PROVIDER_CACHE_DIR: name a directory that the server may write"
    try:
        place = next(place for place in (directory, *directory.absolute().parents) if place.exists())
        with tempfile.TemporaryFile(dir=place):
            free = shutil.disk_usage(place).free
    except OSError as error:
        return warned(what, f"{directory}: {error.strerror}; files will not be cached", advice)
    made = "can be written" if place == directory else "will be created"
    return passed(what, f"{directory} {made}, {free / (1 << 30):.1f} GiB free")


async def probe_listeners(settings: Settings) -> list[Finding]:
    """Check both listeners and the certificate."""
    server = settings.server
    # In a thread: resolving the listener's name may take a while.
    return [
        await asyncio.to_thread(probe_listener, "listener", "OCEAN_PROVIDER_URL", server.listener),
        await asyncio.to_thread(probe_listener, "admin listener", "PROVIDER_ADMIN_URL", server.admin),
        probe_certificate(server.tls, now=time.time()),
    ]


async def probe_store(what: str, path: Path, check: Callable[[], Awaitable[None]]) -> Finding:
    """Check that a store's file opens and can be written, or, if it does not exist, that its directory can.

    The file is not created: it would belong to whoever runs this command, not to the server.
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
    """Check the free space where the stores are."""
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
    """Check that the server can listen there. "In use" is only a warning, because it may be the server itself."""
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
            return warned(what, f"{place} is in use", f"{variable}: expected while the server runs there")
        return failed(what, f"{place}: {error.strerror}", f"{variable}: name an address of this host and a free port")
    return passed(what, f"{place} is free")


_WHAT = "certificate"
_DAY_SECONDS = 86_400
# Renewal services start a month before the end, so two weeks later they have failed.
_FEW_DAYS = 14


def probe_certificate(files: TlsFiles | None, *, now: float) -> Finding:
    """Check whom the certificate is for, and until when it is valid. `now`: unix seconds."""
    if files is None:
        return passed(_WHAT, "none: consumers are served plain HTTP")
    try:
        certificate = x509.load_pem_x509_certificate(Path(files.certificate).read_bytes())
        names = _names(certificate)
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "not understood"
        return failed(_WHAT, f"{files.certificate}: {reason}", "PROVIDER_TLS_CERT_FILE: name a PEM certificate")
    end = certificate.not_valid_after_utc
    days = (end.timestamp() - now) / _DAY_SECONDS
    detail = f"for {names}, until {end:%Y-%m-%d}"
    if days < 0:
        return failed(_WHAT, f"{detail}: expired", "PROVIDER_TLS_CERT_FILE: renew the certificate")
    if certificate.not_valid_before_utc > datetime.fromtimestamp(now, UTC):
        return failed(_WHAT, f"{detail}, but not valid yet", "PROVIDER_TLS_CERT_FILE: check it and the local clock")
    if days < _FEW_DAYS:
        advice = "PROVIDER_TLS_CERT_FILE: renew the certificate; new files are used without a restart"
        return warned(_WHAT, f"{detail}: {days:.0f} days left", advice)
    return passed(_WHAT, detail)


def _names(certificate: x509.Certificate) -> str:
    """Return the names that clients compare (RFC 6125), or the subject if there are none."""
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return certificate.subject.rfc4514_string()
    return ", ".join(str(name.value) for name in alternatives) or certificate.subject.rfc4514_string()
