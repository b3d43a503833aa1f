"""Which `Host` a request to the admin listener may name. One check for all that it serves.

A web page from elsewhere can have its own name resolve to this listener, and then read what it answers (DNS rebinding).
It cannot do so with an address, or with a name that no stranger can register.
"""

from collections.abc import Collection, Sequence
from ipaddress import ip_address
from typing import Any

from tornado.httputil import HTTPServerRequest, split_host_and_port
from tornado.web import Application, RequestHandler

from provider.wire.text import ows

# Names that are not in the public DNS (RFC 6761, RFC 6762, RFC 9476 and ICANN's `.internal`).
PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".alt", ".home.arpa", ".svc", ".test")
REFUSED = "This host is not accepted here: use an address, or add the name to PROVIDER_ADMIN_HOSTS.\n"


def is_accepted(host: str, named: Collection[str]) -> bool:
    """Is this `Host` an address, a private name, or one of `named` (lower case, without port)?"""
    name = split_host_and_port(ows(host).lower())[0].removeprefix("[").removesuffix("]").removesuffix(".")
    try:
        ip_address(name)
    except ValueError:
        return name in named or (bool(name) and ("." not in name or name.endswith(PRIVATE_SUFFIXES)))
    return True


class AdminApplication(Application):
    """Routes requests whose `Host` is accepted; `hosts` are names beside addresses and private ones."""

    def __init__(self, routes: Sequence[Any], *, hosts: Collection[str] = ()) -> None:
        super().__init__(list(routes), log_function=lambda _: None)
        self._hosts = frozenset(hosts)

    def find_handler(self, request: HTTPServerRequest, **more: Any) -> Any:
        """As in the base class."""
        if is_accepted(request.host, self._hosts):
            return super().find_handler(request, **more)
        return self.get_handler_delegate(request, MisdirectedHandler)


class MisdirectedHandler(RequestHandler):
    """421 (RFC 9110 section 15.5.20), whatever was asked."""

    def set_default_headers(self) -> None:
        """As every answer of this listener."""
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")

    def prepare(self) -> None:
        """Refuse."""
        self.set_status(421)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(REFUSED)
