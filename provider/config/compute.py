"""Compute-to-data: how the operator service is asked, and what its pods are told."""

from provider.config.model import ComputeSettings
from provider.config.source import Source


def read_compute(source: Source) -> ComputeSettings:
    """The settings; faults are noted in `source`."""
    return ComputeSettings(
        timeout_seconds=source.seconds(
            "PROVIDER_OPERATOR_TIMEOUT_SECONDS", "compute.operator_timeout_seconds", 30.0, minimum=0.1, maximum=600.0
        ),
        environments_seconds=source.seconds(
            "PROVIDER_CACHE_ENVIRONMENTS_SECONDS", "cache.environments_seconds", 15.0, minimum=0.0, maximum=3600.0
        ),
        public_url=source.url("PROVIDER_PUBLIC_URL", "server.public_url"),
        metadata_url=source.url("PROVIDER_COMPUTE_METADATA_URL", "compute.metadata_url"),
    )
