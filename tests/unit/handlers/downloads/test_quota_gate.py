"""How much of a download an answer is."""

import asyncio
from typing import cast

from provider.assets.catalog import Catalog
from provider.auth.identify import Signed
from provider.cache import FactCache
from provider.compute.environments import Environments
from provider.compute.results import JobResult
from provider.files.userdata import NO_USERDATA, Userdata
from provider.handlers.downloads.quota_gate import FileKey, QuotaGate, key_of_file, key_of_result
from provider.handlers.params import DownloadRequest
from provider.quotas.quota import DOWNLOAD, Body, Limits, Taker
from provider.quotas.quotas import Quotas
from provider.upstream.answer import Answer, NotModified, Part, Parts, Whole


class Asked:
    """In the place of `Quotas`: records the bodies that it is asked about."""

    def __init__(self) -> None:
        self.bodies: list[Body | None] = []

    async def check(self, taker: Taker, publisher: Limits, body: Body | None) -> None:
        self.bodies.append(body)


class NoAssets:
    """In the place of the catalog."""

    def known(self, did: str) -> None:
        return None


def gate(asked: Asked | None = None) -> QuotaGate:
    """One that asks nobody else."""
    lengths: FactCache[FileKey, int] = FactCache(name="lengths", max_entries=10, ttl_seconds=60)
    nothing = cast(object, None)
    return QuotaGate(
        quotas=cast(Quotas, asked),
        catalog=cast(Catalog, NoAssets()),
        environments=cast(Environments, nothing),
        lengths=lengths,
    )


def body(of: QuotaGate, answer: Answer, *, index: int = 0, is_publishers_part: bool = False) -> Body | None:
    key = key_of_file("did:op:1", "service", index, Userdata({"rows": index}))
    return of.body(key, answer, is_publishers_part=is_publishers_part)


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


def claim(userdata: object = None, *, file_index: str = "0") -> DownloadRequest:
    return DownloadRequest(Signed("0xa", "0xA", "1", ""), "did:op:1", "service", "0x" + 64 * "1", file_index, userdata)


def test_a_length_is_that_of_the_same_file_with_the_same_user_data() -> None:
    """An origin may send each consumer another body. What one asks for must not keep others out."""
    asked = Asked()
    one = gate(asked)
    one.body(key_of_file("did:op:1", "service", 0, Userdata({"rows": 1_000_000})), Whole(10**12))
    one.body(key_of_file("did:op:1", "service", 0, NO_USERDATA), Whole(50))
    claims = (claim('{"rows": 1000000}'), claim({"rows": 5}), claim(), claim(file_index="1"), claim(file_index="one"))
    for each in claims:
        asyncio.run(one.check_claim("0xA", each, is_part=False))
    assert asked.bodies == [Body(10**12), None, Body(50), None, None]


def test_user_data_that_no_origin_gets_change_nothing() -> None:
    deep: object = {}
    for _ in range(40):
        deep = {"a": deep}
    assert key_of_file("did:op:1", "s", 0, Userdata({"a": deep})) == key_of_file(
        "did:op:1", "s", 0, Userdata({"b": deep})
    )


def test_a_result_and_a_file_have_different_keys() -> None:
    result = key_of_result(JobResult("did:op:1", "0", "0xA"))
    assert result != key_of_file("did:op:1", "0", 0, NO_USERDATA)
    assert result != key_of_result(JobResult("did:op:1", "1", "0xA"))
