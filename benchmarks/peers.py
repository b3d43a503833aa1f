"""The rivals by name: what each needs, and how it is started in front of an origin."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks import haproxy, nginx, origins, varnish
from benchmarks.daemon import LOCALHOST, Daemon
from benchmarks.machine import ROOT
from provider.testing.ports import free_ports

AIOHTTP = "aiohttp"
HELLO = "Tornado hello"
LEAST = "least download"
REQUESTS = "requests, iter_content(4096)"
NGINX_TUNED = frozenset({nginx.UNBUFFERED, nginx.BUFFERED})
HAPROXY = frozenset({haproxy.SPLICING, haproxy.COPYING})


class PeerAbsent(Exception):
    """The rival is not installed. The message names what is missing."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a rival runs: `folder` for its files, `disk` for its cache, and the host:port of its origin."""

    folder: Path
    disk: Path
    origin: str
    tls: bool


@dataclass(frozen=True, slots=True)
class Peer:
    """A rival to start. `shrink`: it is so slow that it moves only this part of the others' bytes."""

    name: str
    start: Callable[[Setting, int], Daemon]
    shrink: int = 1


def nginx_peer(tuning: str, *, workers: int = 1, name: str | None = None) -> Peer:
    """nginx with one of `nginx.LOCATIONS`."""

    def start(setting: Setting, port: int) -> Daemon:
        program = _found("nginx", nginx.find())
        return nginx.peer(
            program,
            setting.folder,
            port,
            tuning,
            origin=setting.origin,
            tls=setting.tls,
            workers=workers,
            disk=setting.disk,
        )

    return Peer(name or tuning, start)


def nginx_static() -> Peer:
    """nginx that serves the origin's files itself."""

    def start(setting: Setting, port: int) -> Daemon:
        return nginx.static(_found("nginx", nginx.find()), setting.folder, port, setting.folder / origins.FILES)

    return Peer(nginx.STATIC, start)


def haproxy_peer(name: str, *, workers: int = 1) -> Peer:
    """haproxy, which splices if there is no TLS."""

    def start(setting: Setting, port: int) -> Daemon:
        program = _found("haproxy", haproxy.find())
        return haproxy.peer(program, setting.folder, port, origin=setting.origin, tls=setting.tls, workers=workers)

    return Peer(name, start)


def varnish_peer() -> Peer:
    """Return Varnish, with haproxy behind it where the origin speaks TLS."""

    def start(setting: Setting, port: int) -> Daemon:
        program = _found("Varnish", varnish.find())
        if not setting.tls:
            return varnish.peer(program, setting.folder, port, origin=setting.origin)
        (between,) = free_ports(1)
        decrypting = haproxy.command(
            _found("haproxy", haproxy.find()),
            setting.folder,
            "haproxy-varnish",
            between,
            origin=setting.origin,
            tls=True,
        )
        return varnish.peer(program, setting.folder, port, origin=f"{LOCALHOST}:{between}", before=decrypting)

    return Peer(varnish.CACHING, start)


def aiohttp_peer() -> Peer:
    """The proxy of `proxies/aiohttp_proxy.py`; plain HTTP only."""
    return Peer(AIOHTTP, lambda setting, port: _python("aiohttp_proxy", setting, port))


def hello_peer() -> Peer:
    """The bare handler of `proxies/tornado_hello.py`, on our interpreter; plain HTTP only."""
    return Peer(HELLO, lambda setting, port: _python("tornado_hello", setting, port))


def least_peer() -> Peer:
    """The handler of `proxies/tornado_least.py`, on our interpreter; plain HTTP only."""
    return Peer(LEAST, lambda setting, port: _python("tornado_least", setting, port, str(setting.disk)))


def requests_peer() -> Peer:
    """The proxy of `proxies/requests_proxy.py`; plain HTTP only."""
    name = REQUESTS if package("requests") else "urllib, read(4096)"
    return Peer(name, lambda setting, port: _python("requests_proxy", setting, port), shrink=8)


def secure_link_peer() -> Peer:
    """nginx that checks its own links."""
    behind = nginx_peer(nginx.SECURE_LINK)

    def start(setting: Setting, port: int) -> Daemon:
        if not nginx.has_secure_link(_found("nginx", nginx.find())):
            raise PeerAbsent("this nginx has no secure_link")
        return behind.start(setting, port)

    return Peer(behind.name, start)


def nginx_tuned() -> tuple[Peer, ...]:
    """nginx with both tunings."""
    return nginx_peer(nginx.UNBUFFERED), nginx_peer(nginx.BUFFERED)


def facts() -> list[tuple[str, str]]:
    """Return the versions of all programs that rivals consist of."""
    programs = (
        ("nginx", nginx.find(), nginx.version),
        ("haproxy", haproxy.find(), haproxy.version),
        ("varnish", varnish.find(), varnish.version),
    )
    said = [(name, "absent" if program is None else ask(program)) for name, program, ask in programs]
    return [*said, *((name, package(name) or "absent") for name in ("aiohttp", "requests"))]


def package(name: str) -> str | None:
    """Return the version of a Python package; None if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _found(name: str, program: str | None) -> str:
    if program is None:
        raise PeerAbsent(f"{name} is not installed")
    return program


def _python(module: str, setting: Setting, port: int, *arguments: str) -> Daemon:
    origin = f"http://{setting.origin}"
    command = [sys.executable, "-m", f"benchmarks.proxies.{module}", str(port), origin, *arguments]
    search = os.pathsep.join([str(ROOT), *(entry for entry in sys.path if entry)])
    environ = {"PATH": os.defpath, "PYTHONPATH": search, "LANG": "C.UTF-8"}
    return Daemon(module, command, setting.folder, port, environ=environ)
