"""How much of a download an answer is."""

from typing import cast

from provider.assets.catalog import Catalog
from provider.cache import FactCache
from provider.compute.environments import Environments
from provider.handlers.downloads.quota_gate import FileKey, QuotaGate
from provider.quotas.quota import DOWNLOAD, Body
from provider.quotas.quotas import Quotas
from provider.upstream.answer import Answer, NotModified, Part, Parts, Whole


def gate() -> QuotaGate:
    """One that is asked nothing but what an answer is."""
    lengths: FactCache[FileKey, int] = FactCache(name="lengths", max_entries=10, ttl_seconds=60)
    nothing = cast(object, None)
    return QuotaGate(
        quotas=cast(Quotas, nothing),
        catalog=cast(Catalog, nothing),
        environments=cast(Environments, nothing),
        lengths=lengths,
    )


def body(of: QuotaGate, answer: Answer, *, index: int = 0, is_publishers_part: bool = False) -> Body | None:
    return of.body(("did:op:1", "service", index), answer, is_publishers_part=is_publishers_part)


def test_a_whole_file_is_a_download_and_a_range_its_share() -> None:
    assert body(gate(), Whole(100)) == Body(100, DOWNLOAD)
    assert body(gate(), Whole(None)) == Body(None, DOWNLOAD)
    assert body(gate(), Part(10, 34, 100)) == Body(25, DOWNLOAD // 4)
    assert body(gate(), NotModified()) is None


def test_the_part_that_a_publisher_sells_is_all_there_is() -> None:
    assert body(gate(), Part(10, 34, 100), is_publishers_part=True) == Body(25, DOWNLOAD)


def test_several_ranges_are_their_share_of_a_file_whose_length_is_known() -> None:
    one = gate()
    assert body(one, Parts(50)) == Body(50, DOWNLOAD)
    # The length of their body is not that of the file.
    assert body(one, Parts(50)) == Body(50, DOWNLOAD)
    body(one, Whole(200))
    assert body(one, Parts(50)) == Body(50, DOWNLOAD // 4)
    assert body(one, Parts(50), index=1) == Body(50, DOWNLOAD)
    assert body(one, Parts(None)) == Body(None, DOWNLOAD)
