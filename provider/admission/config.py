"""Settings of admission: trusted proxies, limits of connections, clients and work."""

import ipaddress
from dataclasses import dataclass
from typing import ClassVar, Literal

from provider.setting import BadSettingError, boolean, choice, integer, listed, seconds, special

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
ForwardedHeader = Literal["X-Forwarded-For", "Forwarded"]
_MAX_RATE = 1_000_000


@dataclass(frozen=True, slots=True)
class Rate:
    """Requests that one client may send, in the long run and at once. `per_second` 0 means no limit."""

    per_second: int
    burst: int


def _networks(value: object) -> tuple[Network, ...]:
    """Addresses or networks; in the environment with commas between, or a JSON list."""
    try:
        items = listed(value)
        if items is None:
            raise ValueError
        return tuple(ipaddress.ip_network(item.strip() if isinstance(item, str) else "") for item in items)
    except ValueError as error:
        raise BadSettingError(
            "must be a list of addresses or networks, such as 10.0.0.0/8 (no host bits set)"
        ) from error


def _limit(variable: str, default: int, *, help: str, maximum: int = _MAX_RATE) -> int:
    return integer(variable, default, minimum=0, maximum=maximum, help=help)


@dataclass(frozen=True, slots=True)
class AdmissionConfig:
    """Limits of one worker process, rates of a client over all that share a Redis; 0 means none.

    `max_connections` -1: as many as the limit of descriptors allows.
    """

    SECTION: ClassVar = "admission"

    trusted_proxies: tuple[Network, ...] = special(
        "TRUSTED_PROXIES",
        _networks,
        [],
        help="Proxies in front of this server, as addresses or networks. Only they may name the client of a request. "
        "In the environment, write several with commas between them or as a JSON list.",
        examples=(["10.0.0.0/8", "2001:db8::/32"],),
    )
    client_address_header: ForwardedHeader = choice(
        "PROVIDER_CLIENT_ADDRESS_HEADER",
        "X-Forwarded-For",
        ("X-Forwarded-For", "Forwarded"),
        help="The header in which they name it: X-Forwarded-For or Forwarded (RFC 7239). The other one is not read.",
    )
    limit_private_clients: bool = boolean(
        "PROVIDER_LIMIT_PRIVATE_CLIENTS",
        False,
        help="Limit clients with private addresses too. Such an address may be a proxy that is not listed above, with "
        "all its users behind it.",
    )
    cheap_requests_per_second: int = _limit(
        "PROVIDER_CHEAP_REQUESTS_PER_SECOND",
        500,
        help="Requests per second of one client (IPv6: of one /64) to / and nonce.",
    )
    cheap_burst: int = _limit("PROVIDER_CHEAP_BURST", 5_000, help="Such requests of one client at once.")
    guarded_requests_per_second: int = _limit(
        "PROVIDER_GUARDED_REQUESTS_PER_SECOND",
        20,
        help="Requests per second of one client to fileinfo, initialize, encrypt, decrypt, and the routes of tokens "
        "and DDOs.",
    )
    guarded_burst: int = _limit("PROVIDER_GUARDED_BURST", 200, help="Such requests of one client at once.")
    paid_requests_per_second: int = _limit(
        "PROVIDER_PAID_REQUESTS_PER_SECOND",
        100,
        help="Requests per second of one client to download and compute.",
    )
    paid_burst: int = _limit("PROVIDER_PAID_BURST", 1_000, help="Such requests of one client at once.")
    link_requests_per_second: int = _limit(
        "PROVIDER_LINK_REQUESTS_PER_SECOND",
        200,
        help="Requests per second of one client to links. Tools that read a file by ranges send many.",
    )
    link_burst: int = _limit("PROVIDER_LINK_BURST", 2_000, help="Such requests of one client at once.")
    max_tracked_clients: int = integer(
        "PROVIDER_MAX_TRACKED_CLIENTS",
        20_000,
        minimum=1,
        maximum=10_000_000,
        help="Clients remembered for each of these rates. Of more clients, the one that was idle longest is forgotten.",
    )
    max_connections: int = integer(
        "PROVIDER_MAX_CONNECTIONS",
        -1,
        minimum=-1,
        maximum=10_000_000,
        help="Open connections of consumers. -1 derives it from the open-file limit, two descriptors per connection.",
    )
    max_connections_per_client: int = _limit(
        "PROVIDER_MAX_CONNECTIONS_PER_CLIENT",
        256,
        help="Open connections of one client that connects directly.",
    )
    max_streams: int = _limit("PROVIDER_MAX_STREAMS", 0, help="Downloads in progress, of all consumers.")
    max_inspections: int = _limit(
        "PROVIDER_MAX_INSPECTIONS",
        128,
        help="Requests in progress that make this server look at files. One client may have an eighth of them.",
    )
    checksum_bytes_per_second: int = _limit(
        "PROVIDER_CHECKSUM_BYTES_PER_SECOND",
        50 << 20,
        maximum=1 << 40,
        help="Bytes per second that are read for checksums of fileinfo. One client may have a quarter.",
    )
    encrypt_bytes_per_second: int = _limit(
        "PROVIDER_ENCRYPT_BYTES_PER_SECOND",
        20 << 20,
        maximum=1 << 40,
        help="Bytes per second that are encrypted. One client may have a quarter.",
    )
    max_bodies_bytes: int = _limit(
        "PROVIDER_MAX_BODIES_BYTES",
        48 << 20,
        maximum=1 << 40,
        help="Memory of one worker for the bodies of all its requests and everything that is parsed from them, in "
        "bytes. Long bodies may take three quarters of it, the requests of one client half.",
    )
    head_timeout_seconds: float = seconds(
        "PROVIDER_HEAD_TIMEOUT_SECONDS",
        20,
        minimum=0.1,
        maximum=3600,
        help="How long the head of a request may take once it has begun.",
    )
    # 10 MiB at 1 Mbit/s take 84 s.
    body_timeout_seconds: float = seconds(
        "PROVIDER_BODY_TIMEOUT_SECONDS",
        120,
        minimum=0.1,
        maximum=3600,
        help="How long the whole body of a request may take.",
    )
    overload_lag_seconds: float = seconds(
        "PROVIDER_OVERLOAD_LAG_SECONDS",
        0.01,
        minimum=0,
        maximum=60,
        help="New requests get 503 when requests queue for a second and the event loop is later than this on average. "
        "0 disables this.",
    )

    @property
    def cheap(self) -> Rate:
        """For requests that need neither a signature nor a request to others."""
        return Rate(self.cheap_requests_per_second, max(1, self.cheap_burst))

    @property
    def guarded(self) -> Rate:
        """For requests that cost work and are not paid for."""
        return Rate(self.guarded_requests_per_second, max(1, self.guarded_burst))

    @property
    def links(self) -> Rate:
        """For requests of links, which cost no signature and no nonce."""
        return Rate(self.link_requests_per_second, max(1, self.link_burst))

    @property
    def paid(self) -> Rate:
        """For requests that were paid for."""
        return Rate(self.paid_requests_per_second, max(1, self.paid_burst))
