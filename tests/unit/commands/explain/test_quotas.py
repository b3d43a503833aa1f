"""What is told of each quota."""

from provider.commands.explain.findings import quota_findings
from provider.quotas.quota import DOWNLOAD, NO_LIMITS, Amount, Count, Limit, Limits, Taker, quotas_of

NOW = 1_700_000_000
DID = "did:op:1"
OPERATOR = Limits(order=Limit(2, 1000), consumer_day=Limit(downloads=5), asset_month=Limit(bytes=10**6))


def told(*counts: Count, publisher: Limits = NO_LIMITS, ends_at: int | None = NOW + 60) -> dict[str, tuple[str, str]]:
    quotas = quotas_of(OPERATOR, publisher, Taker("0xA", DID, "s", "0xtx", ends_at), NOW)
    every = [*counts, *[Count()] * (len(quotas) - len(counts))]
    return {each.what: (each.state, each.detail) for each in quota_findings(quotas, every, DID, NOW)}


def test_each_quota_says_what_was_taken_what_is_held_and_until_when() -> None:
    count = Count(Amount(DOWNLOAD // 4, 100), Amount(DOWNLOAD, 300))
    assert told(count) == {
        "quota of order": (
            "ok",
            "0.25 and 1 in progress of 2 downloads; 100 and 300 held by downloads in progress of 1000 bytes; "
            "the order ends at 2023-11-14T22:14:20Z",
        ),
        "quota of day": ("ok", "0 of 5 downloads; begins anew at 2023-11-15T00:00:00Z"),
        "quota of month": ("ok", "0 of 1000000 bytes; begins anew at 2023-12-01T00:00:00Z"),
    }


def test_a_quota_that_is_used_up_fails_alone() -> None:
    found = told(Count(Amount(2 * DOWNLOAD, 500)), ends_at=None)
    assert found["quota of order"] == ("FAIL", "quota_exhausted: 2 of 2 downloads; 500 of 1000 bytes")
    assert {state for what, (state, _) in found.items() if what != "quota of order"} == {"ok"}


def test_the_quota_of_a_publisher_is_told_apart() -> None:
    found = told(publisher=Limits(consumer_day=Limit(downloads=1)))
    assert found["quota of day, this dataset"][1].startswith("0 of 1 downloads")
    assert found["quota of day"][1].startswith("0 of 5 downloads")
