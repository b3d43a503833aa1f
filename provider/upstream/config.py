"""Settings of how origins are read."""

import ipaddress
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlsplit

from provider.setting import BadSettingError, boolean, integer, json_or_text, seconds, special, texts, url_problem

_DAY_SECONDS = 86_400
_GATEWAY_HELP = (
    "One URL, or several in order of preference. The next one is asked when one fails or answers anything but 200, "
    "206, 416, and 304 or 412 to a condition. In the environment, write several with commas between them or as a JSON "
    'list. "off" means none. These hosts may be in a private network. Their redirects may not lead to one, unless '
    "`allow_non_public_ip` permits it."
)


def parse_gateways(value: object) -> tuple[str, ...]:
    """URLs from one text (commas between several) or a list, JSON in the environment; `off` or an empty list: none."""
    value = json_or_text(value)
    if isinstance(value, str):
        value = [] if value.strip().lower() == "off" else [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadSettingError("must be a URL, a list of URLs, or off")
    if problem := next(filter(None, map(url_problem, value)), None):
        raise BadSettingError(problem)
    return tuple(dict.fromkeys(value))


def parse_dns_servers(value: object) -> tuple[str, ...]:
    """Addresses of name servers, each with a port or without."""
    servers = texts(value)
    if not all(map(_is_server, servers)):
        raise BadSettingError("must be a list of addresses, such as 10.0.0.53 or [2001:db8::53]:5353")
    return servers


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


def _gateway(variable: str, key: str, default: str) -> tuple[str, ...]:
    def parse(value: object) -> tuple[str, ...]:
        return parse_gateways(default if value == "" else value)

    examples = (["http://ipfs.internal:8080", "https://ipfs.io"],) if key == "ipfs_gateway" else ()
    return special(variable, parse, default, key=key, help=_GATEWAY_HELP, examples=examples, secret=True)


@dataclass(frozen=True, slots=True)
class UpstreamConfig:
    """Limits of origins. `connect` covers name, TCP and TLS, `first_byte` the wait for a complete head."""

    SECTION: ClassVar = "upstream"

    connect_timeout_seconds: float = seconds(
        "PROVIDER_CONNECT_TIMEOUT_SECONDS",
        5,
        minimum=0.1,
        maximum=120,
        help="Limit of name resolution, connection and TLS handshake with a file's origin. The name servers have four "
        "fifths of it.",
    )
    dns_servers: tuple[str, ...] = special(
        "PROVIDER_DNS_SERVERS",
        parse_dns_servers,
        [],
        help="Name servers for the hosts of files. Default: those of /etc/resolv.conf. Hosts that you configure "
        "yourself (nodes, metadata store, …) are always resolved by the system. In the environment, write several "
        "with commas between them.",
        examples=(["10.0.0.53", "[2001:db8::53]:5353"],),
    )
    first_byte_timeout_seconds: float = seconds(
        "REQUEST_TIMEOUT",
        10,
        minimum=0.1,
        maximum=3600,
        help="How long to wait until the origin's answer begins.",
    )
    idle_timeout_seconds: float = seconds(
        "PROVIDER_IDLE_TIMEOUT_SECONDS",
        60,
        minimum=0.1,
        maximum=_DAY_SECONDS,
        help="How long either side of a stream may make no progress. The duration of a whole stream is not limited.",
    )
    attempts: int = integer(
        "REQUEST_RETRIES",
        1,
        minimum=1,
        maximum=10,
        help="Attempts in all, before the first byte only: after no answer, or after 429, 500, 502, 503 or 504.",
    )
    max_resumes: int = integer(
        "PROVIDER_MAX_RESUMES",
        50,
        minimum=0,
        maximum=100_000,
        help="How often one stream may ask for the rest of a body after its origin was lost in the middle. The origin "
        "must send a length and a strong validator (ETag, or a Last-Modified that is old enough). 0 disables this.",
    )
    max_idle_connections: int = integer(
        "PROVIDER_MAX_IDLE_CONNECTIONS",
        256,
        minimum=0,
        maximum=65_536,
        help="Idle connections to origins that each worker keeps.",
    )
    quiet_seconds: float = seconds(
        "PROVIDER_ORIGIN_QUIET_SECONDS",
        0.05,
        minimum=0,
        maximum=60,
        help="How long a kept connection rests before it serves another URL. If the origin sends anything after a "
        "complete answer, it has arrived by then, and the connection is closed. The same URL is served again at "
        "once. Assets never share a connection.",
    )
    allow_non_public_ip: bool = boolean(
        "ALLOW_NON_PUBLIC_IP",
        False,
        help="Allow file URLs that lead to private addresses. This opens your network to every publisher.",
    )
    max_checksum_bytes: int = integer(
        "MAX_CHECKSUM_LENGTH",
        5_242_880,
        minimum=0,
        maximum=1 << 50,
        help="Longest file, in bytes, whose checksum is computed on request. 0 disables checksums.",
    )
    ipfs_gateways: tuple[str, ...] = _gateway("IPFS_GATEWAY", "ipfs_gateway", "https://ipfs.io")
    arweave_gateways: tuple[str, ...] = _gateway("ARWEAVE_GATEWAY", "arweave_gateway", "https://arweave.net/")
