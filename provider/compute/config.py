"""Settings of compute-to-data: the operator service, and the URLs that its pods get."""

from dataclasses import dataclass
from typing import ClassVar

from provider.setting import seconds, url


@dataclass(frozen=True, slots=True)
class ComputeConfig:
    """`public_url`: where consumers reach this server. `metadata_url`: the store that pods use, None for our own."""

    SECTION: ClassVar = "compute"

    operator_service_url: str | None = url(
        "OPERATOR_SERVICE_URL",
        help="The operator service that runs compute-to-data jobs. Without it compute is off.",
        example="http://operator-api:8050/",
    )
    timeout_seconds: float = seconds(
        "PROVIDER_OPERATOR_TIMEOUT_SECONDS",
        30,
        minimum=0.1,
        maximum=600,
        key="operator_timeout_seconds",
        help="Limit of one call to the operator service; for a result, until its first byte.",
    )
    metadata_url: str | None = url(
        "PROVIDER_COMPUTE_METADATA_URL",
        help="URL of the metadata store that jobs use. Default: AQUARIUS_URL. Jobs need one to find their assets, so "
        "set it when the server itself reads the chain.",
        example="https://aquarius.example",
    )
    environments_seconds: float = seconds(
        "PROVIDER_CACHE_ENVIRONMENTS_SECONDS",
        15,
        minimum=0,
        maximum=3600,
        key="cache.environments_seconds",
        help="How long the compute environments of a chain are kept.",
    )
    public_url: str | None = url(
        "PROVIDER_PUBLIC_URL",
        key="server.public_url",
        help="URL under which consumers reach this server. Assets that name it as their serviceEndpoint are then "
        "recognised without a request.",
        example="https://provider.example",
    )
