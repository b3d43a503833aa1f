"""Values of the settings of who may come in; `admission.py` reads them."""

import ipaddress
from dataclasses import dataclass
from typing import Literal

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Rate:
    """Requests of one client: so many a second, and so many at once. `per_second` 0 stands for no limit."""

    per_second: int
    burst: int


@dataclass(frozen=True, slots=True)
class AdmissionSettings:
    """Limits of one worker process, rates of a client over all that share a Redis; 0 stands for none.

    `max_connections` None: as many as the limit of descriptors bears. `limit_private_clients`: count also for addresses
    that are not public. `overload_lag_seconds`: how late the event loop may be before work is refused.
    """

    trusted_proxies: tuple[Network, ...]
    client_address_header: Literal["X-Forwarded-For", "Forwarded"]
    limit_private_clients: bool
    max_tracked_clients: int
    cheap: Rate
    guarded: Rate
    paid: Rate
    max_connections: int | None
    max_connections_per_client: int
    max_streams: int
    max_inspections: int
    checksum_bytes_per_second: int
    encrypt_bytes_per_second: int
    max_bodies_bytes: int
    head_timeout_seconds: float
    body_timeout_seconds: float
    overload_lag_seconds: float
