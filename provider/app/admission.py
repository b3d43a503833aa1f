"""Builds admission from settings: the rule of each endpoint, and the number of connections."""

import resource
from collections.abc import Callable, Mapping

from provider.admission.bodies import Bodies
from provider.admission.buckets import Buckets, BytePace
from provider.admission.config import AdmissionConfig, Rate
from provider.admission.connections import Connections, fitting_connections
from provider.admission.entry import Admission, Rule
from provider.config import Settings

# All other endpoints are cheap: they need neither a signature nor a question to another server.
GUARDED = (
    "computeEnvironments",
    "createAuthToken",
    "ddo",
    "decrypt",
    "deleteAuthToken",
    "generateAuthToken",
    "initializePSVerification",
    "invalidateAuthToken",
    "revokeLinks",
    "validateContainer",
    "validateDdo",
)
PAID = ("computeStart", "computeStatus", "computeStop", "computeDelete")
STREAMING = ("download", "computeResult")
SUMMING = ("fileinfo", "initializeCompute")


Share = Callable[[str, Buckets], None]
"""Lets all workers and hosts take from buckets of this name."""


def build_admission(settings: Settings, share: Share | None) -> Admission:
    """Build the part that admits requests. `share` gets the buckets of clients; None if each worker counts alone."""
    limits = settings.admission
    return Admission(limits, _rules(limits, share), others=Rule(_buckets("cheap", limits.cheap, limits, share)))


def _rules(limits: AdmissionConfig, share: Share | None) -> Mapping[str, Rule]:
    guarded = _buckets("guarded", limits.guarded, limits, share)
    paid = _buckets("paid", limits.paid, limits, share)
    checksums = _pace("checksums", limits.checksum_bytes_per_second, limits, share)
    encrypting = _pace("encrypt", limits.encrypt_bytes_per_second, limits, share)
    return {
        **dict.fromkeys(GUARDED, Rule(guarded, works=True)),
        **dict.fromkeys(PAID, Rule(paid, works=True)),
        **dict.fromkeys(STREAMING, Rule(paid, works=True, streams=True)),
        "initialize": Rule(guarded, works=True, inspects=True),
        "links": Rule(paid, works=True, inspects=True),
        "link": Rule(_buckets("links", limits.links, limits, share), works=True, streams=True),
        # The body, or a requirement of the dataset, decides whether a checksum is computed.
        **dict.fromkeys(SUMMING, Rule(guarded, checksums, pays_first=False, works=True, inspects=True)),
        "encrypt": Rule(guarded, encrypting, works=True),
    }


def _buckets(name: str, rate: Rate, limits: AdmissionConfig, share: Share | None) -> Buckets | None:
    if not rate.per_second:
        return None
    buckets = Buckets(rate=rate.per_second, burst=rate.burst, max_clients=limits.max_tracked_clients)
    if share is not None:
        share(name, buckets)
    return buckets


def _pace(name: str, bytes_per_second: int, limits: AdmissionConfig, share: Share | None) -> BytePace | None:
    if not bytes_per_second:
        return None
    pace = BytePace(bytes_per_second=bytes_per_second, max_clients=limits.max_tracked_clients)
    if share is not None:
        # The total for all clients is what one process can bear.
        share(name, pace.own)
    return pace


def build_connections(limits: AdmissionConfig) -> Connections:
    """Build the counter of connections."""
    maximum = limits.max_connections
    if maximum < 0:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        maximum = 0 if soft == resource.RLIM_INFINITY else fitting_connections(soft)
    return Connections(max_all=maximum, max_per_client=limits.max_connections_per_client)


def build_bodies(limits: AdmissionConfig) -> Bodies:
    """Build the counter of memory that bodies hold."""
    return Bodies(max_bytes=limits.max_bodies_bytes)
