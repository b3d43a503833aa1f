"""Settings of who may come in: trusted proxies, limits of connections, clients and work."""

import ipaddress
from collections.abc import Sequence

from provider.config.admission_values import AdmissionSettings, Network, Rate
from provider.config.source import Source

MAX_RATE = 1_000_000
TRUSTED = ("TRUSTED_PROXIES", "admission.trusted_proxies")


def read_admission(source: Source) -> AdmissionSettings:
    """Checked values; faults are noted in `source`."""

    def limit(name: str, default: int, maximum: int = MAX_RATE) -> int:
        return source.integer(f"PROVIDER_{name.upper()}", f"admission.{name}", default, minimum=0, maximum=maximum)

    def rate(kind: str, per_second: int, burst: int) -> Rate:
        return Rate(limit(f"{kind}_requests_per_second", per_second), max(1, limit(f"{kind}_burst", burst)))

    header = source.choice(
        "PROVIDER_CLIENT_ADDRESS_HEADER",
        "admission.client_address_header",
        "X-Forwarded-For",
        ("X-Forwarded-For", "Forwarded"),
    )
    connections = source.integer(
        "PROVIDER_MAX_CONNECTIONS", "admission.max_connections", -1, minimum=-1, maximum=10_000_000
    )
    return AdmissionSettings(
        trusted_proxies=_trusted_proxies(source),
        client_address_header="Forwarded" if header == "Forwarded" else "X-Forwarded-For",
        limit_private_clients=source.boolean(
            "PROVIDER_LIMIT_PRIVATE_CLIENTS", "admission.limit_private_clients", False
        ),
        max_tracked_clients=source.integer(
            "PROVIDER_MAX_TRACKED_CLIENTS", "admission.max_tracked_clients", 20_000, minimum=1, maximum=10_000_000
        ),
        cheap=rate("cheap", 500, 5_000),
        guarded=rate("guarded", 20, 200),
        paid=rate("paid", 100, 1_000),
        max_connections=connections if connections >= 0 else None,
        max_connections_per_client=limit("max_connections_per_client", 256),
        max_streams=limit("max_streams", 0),
        max_inspections=limit("max_inspections", 128),
        checksum_bytes_per_second=limit("checksum_bytes_per_second", 50 << 20, 1 << 40),
        encrypt_bytes_per_second=limit("encrypt_bytes_per_second", 20 << 20, 1 << 40),
        max_bodies_bytes=limit("max_bodies_bytes", 48 << 20, 1 << 40),
        head_timeout_seconds=source.seconds(
            "PROVIDER_HEAD_TIMEOUT_SECONDS", "admission.head_timeout_seconds", 20.0, minimum=0.1, maximum=3600.0
        ),
        # 10 MiB at 1 Mbit/s take 84 s.
        body_timeout_seconds=source.seconds(
            "PROVIDER_BODY_TIMEOUT_SECONDS", "admission.body_timeout_seconds", 120.0, minimum=0.1, maximum=3600.0
        ),
        overload_lag_seconds=source.seconds(
            "PROVIDER_OVERLOAD_LAG_SECONDS", "admission.overload_lag_seconds", 0.01, minimum=0.0, maximum=60.0
        ),
    )


def _trusted_proxies(source: Source) -> tuple[Network, ...]:
    """Addresses or networks; in the environment with commas between, or a JSON list."""
    value = source.json_or_text(*TRUSTED)
    if value is None:
        return ()
    items: Sequence[object] = value.split(",") if isinstance(value, str) else [value]
    if isinstance(value, list):
        items = value
    found = []
    for item in items:
        try:
            found.append(ipaddress.ip_network(item.strip() if isinstance(item, str) else ""))
        except ValueError:
            source.fault(*TRUSTED, "must be a list of addresses or networks, such as 10.0.0.0/8 (no host bits set)")
            return ()
    return tuple(found)
