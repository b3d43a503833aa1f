"""Describes what is left of each quota that applies to a download (pure). `quotas/quota.py` decides."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from provider.commands.check.table import Finding, failed, passed
from provider.errors import QuotaExhausted
from provider.quotas.quota import DOWNLOAD, Count, Quota, decide

_NAMES = {"order": "quota of order", "consumer": "quota of day", "asset": "quota of month"}


def quota_findings(quotas: Sequence[Quota], counts: Sequence[Count], did: str, now: float) -> Iterator[Finding]:
    """One finding for each quota. `now`: unix seconds."""
    for quota, count in zip(quotas, counts, strict=True):
        # A publisher's limit of a consumer counts one dataset only.
        of_dataset = ", this dataset" if quota.scope == "consumer" and did in quota.name else ""
        name, detail = f"{_NAMES[quota.scope]}{of_dataset}", "; ".join(_parts(quota, count))
        if decide([quota], [count], None, now) is None:
            yield passed(name, detail)
        else:
            yield failed(name, f"{QuotaExhausted.code}: {detail}", QuotaExhausted.remedy)


def _parts(quota: Quota, count: Count) -> Iterator[str]:
    limit, sent, held = quota.limit, count.sent, count.held
    if limit.downloads:
        under_way = f" and {held.parts / DOWNLOAD:g} in progress" if held.parts else ""
        yield f"{sent.parts / DOWNLOAD:g}{under_way} of {limit.downloads} downloads"
    if limit.bytes:
        under_way = f" and {held.bytes} held by downloads in progress" if held.bytes else ""
        yield f"{sent.bytes}{under_way} of {limit.bytes} bytes"
    if quota.ends_at is not None:
        ends = "the order ends" if quota.scope == "order" else "begins anew"
        yield f"{ends} at {datetime.fromtimestamp(quota.ends_at, UTC):%Y-%m-%dT%H:%M:%SZ}"
