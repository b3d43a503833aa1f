"""Settings of what this server connects to: proxies for services of the operator, name servers for files' hosts."""

import ipaddress
from urllib.parse import urlsplit

from provider.config.source import Source, url_problem
from provider.outgoing.proxies import Proxies


def read_proxies(source: Source) -> Proxies:
    """As curl and Python's requests read them: of two spellings the lower-case one wins, a scheme may be left out."""
    return Proxies(
        http=_proxy(source, "HTTP_PROXY", "proxy.http"),
        https=_proxy(source, "HTTPS_PROXY", "proxy.https"),
        direct=_listed(source, "NO_PROXY", "proxy.direct", source.environment("no_proxy")),
    )


def read_dns_servers(source: Source) -> tuple[str, ...]:
    """Addresses of name servers, each with a port or without."""
    variable, key = "PROVIDER_DNS_SERVERS", "upstream.dns_servers"
    servers = _listed(source, variable, key, None)
    if not all(map(_is_server, servers)):
        source.fault(variable, key, "must be a list of addresses, such as 10.0.0.53 or [2001:db8::53]:5353")
        return ()
    return servers


def _proxy(source: Source, variable: str, key: str) -> str | None:
    upper = source.text(variable, key)
    value = source.environment(variable.lower()) or upper
    if value is None:
        return None
    url = value if "://" in value else f"http://{value}"
    problem = url_problem(url)
    if problem is not None:
        source.fault(variable, key, problem)
        return None
    return url


def _listed(source: Source, variable: str, key: str, preferred: str | None) -> tuple[str, ...]:
    """A text with commas between, or a list."""
    given = source.raw(variable, key)
    value = preferred if preferred is not None else given
    items = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else []
    if (value is not None and not isinstance(value, str | list)) or not all(isinstance(item, str) for item in items):
        source.fault(variable, key, "must be text with commas between, or a list of texts")
        return ()
    return tuple(item.strip() for item in items if item.strip())


def _is_server(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _is_server_with_port(text)
    return True


def _is_server_with_port(text: str) -> bool:
    try:
        parts = urlsplit(f"//{text}")
        ipaddress.ip_address(parts.hostname or "")
        return bool(parts.port) and parts.username is None and not parts.path
    except ValueError:
        return False
