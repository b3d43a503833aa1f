"""Settings of the process: listeners, certificate, workers, and time limits of connections."""

import os
import re
from dataclasses import dataclass, replace
from typing import ClassVar
from urllib.parse import urlsplit

from provider.config.reader import Reader
from provider.crypto.certificate import TlsFault, TlsFiles, server_context
from provider.setting import (
    BadSettingError,
    Setting,
    integer,
    listed,
    plain_text,
    seconds,
    settings_of,
    special,
    text,
    whole_number,
)

_DAY_SECONDS = 86_400
_HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?")
_ADMIN_URL = "http://127.0.0.1:8031"
_MAX_WORKERS = 256
# Provider 2.1's name for it.
_OLD_WORKERS = Setting("OCEAN_PROVIDER_WORKERS", whole_number(1, _MAX_WORKERS), 1, 1, "")


@dataclass(frozen=True, slots=True)
class Listener:
    """Address and port of a listener."""

    host: str
    port: int


def _listener(url: str, *, https_fault: str | None) -> Listener | None:
    """Parse `http://host:port`. `off` gives None. `https_fault`: the reason why https is refused, if it is."""
    if url.lower() == "off":
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme == "https" and https_fault is not None:
        raise BadSettingError(https_fault)
    if parts.scheme not in ("http", "https") or not parts.hostname or port is None or parts.path not in ("", "/"):
        raise BadSettingError("must look like http://0.0.0.0:8030")
    return Listener(host=parts.hostname, port=port)


def _admin_listener(value: object) -> Listener | None:
    return _listener(plain_text(value) or _ADMIN_URL, https_fault="this listener speaks plain HTTP only")


def _host_names(value: object) -> tuple[str, ...]:
    """Parse host names, separated by commas or as a JSON list. They become lower case."""
    items = listed(value)
    names = [item.strip().lower() if isinstance(item, str) else "" for item in items or []]
    if items is None or not all(_HOST_NAME.fullmatch(name) for name in names):
        raise BadSettingError("must be a list of host names without ports, such as provider.example")
    return tuple(names)


def _workers(value: object) -> int:
    """Parse the number of workers. `auto` means one for each core that this process may use."""
    if value == "auto":
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return whole_number(1, _MAX_WORKERS, otherwise=", or auto")(value)


@dataclass(frozen=True, slots=True)
class PublicListener:
    """The public listener as the operator wrote it."""

    SECTION: ClassVar = "server"

    url: str = text(
        "OCEAN_PROVIDER_URL",
        "http://0.0.0.0:8030",
        help="The public listener. https:// needs the two files below; with them, http:// also means HTTPS.",
    )
    tls_cert_file: str | None = text(
        "PROVIDER_TLS_CERT_FILE",
        help="PEM file with the certificate, followed by its chain. With this and the key, only HTTPS is served (TLS "
        "1.2 and 1.3). New files are picked up within seconds, or at once on SIGHUP; open connections continue.",
        example="/run/secrets/provider_cert.pem",
    )
    tls_key_file: str | None = text(
        "PROVIDER_TLS_KEY_FILE",
        help="PEM file with the private key of the certificate.",
        example="/run/secrets/provider_cert_key.pem",
    )


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """The public listener, the admin listener and the processes behind them. Without `tls` it is plain HTTP."""

    SECTION: ClassVar = "server"

    listener: Listener
    tls: TlsFiles | None
    admin: Listener | None = special(
        "PROVIDER_ADMIN_URL",
        _admin_listener,
        _ADMIN_URL,
        key="admin_url",
        help='The admin listener: /metrics, /healthz and /readyz. "off" means none. Do not expose it to the public.',
    )
    admin_hosts: tuple[str, ...] = special(
        "PROVIDER_ADMIN_HOSTS",
        _host_names,
        [],
        help="Names that requests to the admin listener may use as their Host, with commas between them. Always "
        "accepted are addresses, the host of admin_url, names without a dot, and private names (.localhost, .local, "
        ".internal, .svc, …). Any other Host gets 421, so that a web page cannot read the listener by DNS rebinding.",
    )
    workers: int = special(
        "PROVIDER_WORKERS",
        _workers,
        1,
        help='Processes that share the port; "auto" means one per core. OCEAN_PROVIDER_WORKERS and `serve --workers` '
        "set it too.",
        bounds=f"1 to {_MAX_WORKERS}, auto",
    )
    max_body_bytes: int = integer(
        "PROVIDER_MAX_BODY_BYTES",
        10 << 20,
        minimum=1024,
        maximum=1 << 30,
        help="Longest body of encrypt, decrypt and ddo/validate, in bytes. A longer one is refused with 413 while it "
        "arrives. Other routes accept less: compute and initializeCompute 1 MiB, validateContainer 64 KiB, all others "
        "128 KiB.",
    )
    drain_timeout_seconds: float = seconds(
        "PROVIDER_DRAIN_TIMEOUT_SECONDS",
        30,
        minimum=0,
        maximum=_DAY_SECONDS,
        help="How long streams may continue after SIGTERM.",
    )
    reload_drain_seconds: float = seconds(
        "PROVIDER_RELOAD_DRAIN_SECONDS",
        3600,
        minimum=0,
        maximum=_DAY_SECONDS,
        help="How long the streams of old workers may continue after SIGHUP, when there are several workers.",
    )
    idle_connection_timeout_seconds: float = seconds(
        "PROVIDER_IDLE_CONNECTION_TIMEOUT_SECONDS",
        75,
        minimum=1,
        maximum=3600,
        help="How long a kept connection may wait for its next request.",
    )

    @property
    def accepted_admin_hosts(self) -> frozenset[str]:
        """The host names that the admin listener accepts in addition to addresses and private names."""
        listener = () if self.admin is None else (self.admin.host.lower(),)
        return frozenset((*listener, *self.admin_hosts))


def read_server(reader: Reader) -> ServerConfig:
    """Read the settings of the server. Faults are noted in `reader`."""
    public = reader.read(PublicListener)
    tls = _tls(reader, public)
    old_workers = reader.value(_OLD_WORKERS)
    server = reader.read(ServerConfig, listener=_public_listener(reader, public.url, tls), tls=tls)
    if reader.is_set(settings_of(ServerConfig)["workers"]):
        return server
    return replace(server, workers=old_workers)


def read_admin(reader: Reader) -> Listener | None:
    """Read only the admin listener."""
    found = reader.value(settings_of(ServerConfig)["admin"])
    return found if isinstance(found, Listener) else None


def _public_listener(reader: Reader, url: str, tls: TlsFiles | None) -> Listener:
    https_fault = None if tls else "https needs PROVIDER_TLS_CERT_FILE and PROVIDER_TLS_KEY_FILE"
    try:
        listener = _listener(url, https_fault=https_fault)
        if listener is not None:
            return listener
        raise BadSettingError("cannot be off")
    except BadSettingError as error:
        reader.fault("OCEAN_PROVIDER_URL", str(error))
        return Listener("0.0.0.0", 8030)  # noqa: S104 - the documented default (`provider-api.md` section 1)


def _tls(reader: Reader, public: PublicListener) -> TlsFiles | None:
    """Return certificate and key after trying to load them, or None for plain HTTP."""
    certificate, key = public.tls_cert_file, public.tls_key_file
    if certificate is None and key is None:
        return None
    names = ("PROVIDER_TLS_CERT_FILE", "PROVIDER_TLS_KEY_FILE")
    if certificate is None or key is None:
        missing, given = names if certificate is None else names[::-1]
        reader.fault(missing, f"must be set together with {given}")
        return None
    reader.warn_of_readers("PROVIDER_TLS_KEY_FILE", key)
    files = TlsFiles(certificate, key)
    try:
        server_context(files)
    except TlsFault as fault:
        reader.fault(names[fault.part == "key"], str(fault))
    return files
