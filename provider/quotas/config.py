"""Settings of quotas."""

from dataclasses import dataclass
from typing import ClassVar

from provider.quotas.quota import Limit, Limits
from provider.setting import boolean, integer

_MAX_DOWNLOADS = 1_000_000_000
_MAX_BYTES = 1 << 52


@dataclass(frozen=True, slots=True)
class QuotaConfig:
    """How much may be taken. 0 means no limit."""

    SECTION: ClassVar = "quotas"

    downloads_per_order: int = integer(
        "PROVIDER_QUOTA_DOWNLOADS_PER_ORDER",
        0,
        minimum=0,
        maximum=_MAX_DOWNLOADS,
        help="Downloads for one order. A range counts as its share of the file, and a download that was cut as what "
        "was sent.",
    )
    bytes_per_order: int = integer(
        "PROVIDER_QUOTA_BYTES_PER_ORDER", 0, minimum=0, maximum=_MAX_BYTES, help="Bytes for one order."
    )
    downloads_per_consumer_day: int = integer(
        "PROVIDER_QUOTA_DOWNLOADS_PER_CONSUMER_DAY",
        0,
        minimum=0,
        maximum=_MAX_DOWNLOADS,
        help="Downloads of one consumer in one day (UTC), of all datasets and results of jobs together.",
    )
    bytes_per_consumer_day: int = integer(
        "PROVIDER_QUOTA_BYTES_PER_CONSUMER_DAY",
        0,
        minimum=0,
        maximum=_MAX_BYTES,
        help="Bytes of one consumer in one day (UTC), of all datasets and results of jobs together.",
    )
    downloads_per_asset_month: int = integer(
        "PROVIDER_QUOTA_DOWNLOADS_PER_ASSET_MONTH",
        0,
        minimum=0,
        maximum=_MAX_DOWNLOADS,
        help="Downloads of one dataset in one month (UTC), by all consumers together.",
    )
    bytes_per_asset_month: int = integer(
        "PROVIDER_QUOTA_BYTES_PER_ASSET_MONTH",
        0,
        minimum=0,
        maximum=_MAX_BYTES,
        help="Bytes of one dataset in one month (UTC), by all consumers together.",
    )
    of_publishers: bool = boolean(
        "PROVIDER_QUOTAS_OF_PUBLISHERS",
        False,
        help="Apply the quotas that publishers set in their DDOs even if no quota is set here. If any quota is set "
        "here, they always apply (docs/limits.md).",
    )

    @property
    def limits(self) -> Limits:
        """The operator's limits."""
        return Limits(
            order=Limit(self.downloads_per_order, self.bytes_per_order),
            consumer_day=Limit(self.downloads_per_consumer_day, self.bytes_per_consumer_day),
            asset_month=Limit(self.downloads_per_asset_month, self.bytes_per_asset_month),
        )

    @property
    def is_on(self) -> bool:
        """False if nothing is counted."""
        return self.of_publishers or bool(self.limits)
