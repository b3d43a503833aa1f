"""Chooses the proxy for a request to a service of the operator: a URL in, the proxy's URL or None out (pure)."""

import ipaddress
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlsplit

from provider.setting import http_url, or_default, plain_text, special, texts
from provider.wire.text import digits


def _proxy_url(value: object) -> str:
    """As curl and Python's requests read it: the scheme may be left out."""
    found = plain_text(value)
    return http_url(found if "://" in found else f"http://{found}")


def _proxy(variable: str, scheme: str) -> str | None:
    return special(
        variable,
        or_default(None, _proxy_url),
        help=f"The proxy for {scheme} URLs, itself http or https. {variable.lower()} takes precedence over this "
        "variable.",
        examples=("http://proxy.internal:3128",),
        secret=True,
        stronger=variable.lower(),
    )


@dataclass(frozen=True, slots=True)
class Proxies:
    """Proxies for http and https URLs, and the hosts to reach directly, as in `NO_PROXY`.

    An entry of `direct` is `*`, a host name (with or without a leading dot; it covers subdomains), an address or a
    network. A port after a name or an address limits the entry to that port. Loopback is always reached directly.
    """

    SECTION: ClassVar = "proxy"

    http: str | None = _proxy("HTTP_PROXY", "http://")
    https: str | None = _proxy("HTTPS_PROXY", "https://")
    direct: tuple[str, ...] = special(
        "NO_PROXY",
        texts,
        [],
        help='Hosts that are reached directly: names with their subdomains, addresses, networks, or "*". Loopback '
        "always is. no_proxy takes precedence over this variable.",
        examples=([".internal", "10.0.0.0/8"],),
        stronger="no_proxy",
    )

    def of(self, url: str) -> str | None:
        """The proxy for `url`; None for a direct connection."""
        parts = urlsplit(url)
        proxy = self.https if parts.scheme == "https" else self.http
        host = (parts.hostname or "").rstrip(".")
        if proxy is None or _is_loopback(host):
            return None
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return None if any(_matches(entry.lower(), host, port) for entry in self.direct) else proxy


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return host == "localhost" or host.endswith(".localhost") or (address is not None and address.is_loopback)


def _matches(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    address = _address(host)
    if "/" in entry:
        return address is not None and address in _network(entry)
    name, wanted_port = _split_port(entry)
    if wanted_port is not None and wanted_port != port:
        return False
    if address is not None:
        return _address(name) == address
    name = name.strip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _split_port(entry: str) -> tuple[str, int | None]:
    if entry.startswith("["):
        name, _, rest = entry[1:].partition("]")
        port = rest.removeprefix(":")
    else:
        name, _, port = entry.partition(":") if entry.count(":") == 1 else (entry, "", "")
    return name, digits(port)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return ipaddress.IPv4Network("255.255.255.255/32")
