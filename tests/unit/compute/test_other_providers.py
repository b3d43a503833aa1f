"""What another Provider says is looked at before it is passed on [K12]."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson
import pytest

from provider.cache import FactCache
from provider.compute.items import Chosen
from provider.compute.other_providers import (
    MAX_ENDPOINTS,
    MAX_OFFERS,
    OtherProviders,
    base_url,
    read_offer,
    root_address,
)
from provider.errors import ComputeRefused, UpstreamUnreachable
from provider.orders.fees import quote_fee
from provider.upstream.memory_source import MemorySource
from provider.upstream.request_head import NO_COOKIES, Redirect
from provider.upstream.source import Headers, HttpRequest
from tests.unit.compute.facts import DATATOKEN, OTHER, TOKEN, chosen, tx_id

ADDRESS = OTHER.address


def fee() -> dict[str, Any]:
    quote = quote_fee(
        OTHER,
        token=TOKEN,
        amount=5,
        valid_until=7,
        datatoken=DATATOKEN,
        service_id="c0",
        environment=None,
        now=1.0,
    )
    return dict(quote)


@pytest.mark.parametrize(
    ("endpoint", "base"),
    [
        ("https://p.example", "https://p.example"),
        ("https://p.example/", "https://p.example"),
        (" https://p.example/path/ ", "https://p.example/path"),
        ("https://p.example/api/services/download", "https://p.example"),
    ],
)
def test_base_of_an_endpoint(endpoint: str, base: str) -> None:
    assert base_url(endpoint) == base


@pytest.mark.parametrize(
    ("answer", "address"),
    [
        ({"providerAddresses": {"1": ADDRESS}}, ADDRESS.lower()),
        ({"providerAddresses": {"1": ADDRESS.upper().replace("0X", "0x")}}, ADDRESS.lower()),
        ({"providerAddresses": {"2": ADDRESS}}, ""),
        ({"providerAddress": ADDRESS}, ADDRESS.lower()),
        ({"providerAddresses": {"1": 5}}, ""),
        ({"providerAddresses": []}, ""),
        ([], ""),
        (None, ""),
    ],
)
def test_address_of_a_root(answer: object, address: str) -> None:
    assert root_address(answer, 1) == address


def test_offer_is_reduced_to_its_known_keys() -> None:
    answer = {"datatoken": DATATOKEN.lower(), "nonce": "1", "providerFee": {**fee(), "more": "x"}, "evil": "x"}
    assert read_offer(answer, datatoken=DATATOKEN) == {"datatoken": DATATOKEN, "providerFee": fee()}


def test_valid_order_is_passed_on() -> None:
    assert read_offer({"validOrder": tx_id(1), "more": 1}, datatoken=DATATOKEN) == {"validOrder": tx_id(1)}


@pytest.mark.parametrize(
    "change",
    [
        {"providerFeeAddress": "0x12"},
        {"providerFeeToken": None},
        {"providerFeeAmount": "1.5"},
        {"providerFeeAmount": -1},
        {"providerData": "<script>"},
        {"v": "27"},
        {"v": True},
        {"validUntil": -1},
        {"r": "0x12"},
        {"s": None},
    ],
    ids=str,
)
def test_fee_of_another_shape_is_no_offer(change: dict[str, object]) -> None:
    answer = {"datatoken": DATATOKEN, "providerFee": {**fee(), **change}}
    assert read_offer(answer, datatoken=DATATOKEN) is None


@pytest.mark.parametrize(
    "answer",
    [None, [], "text", {}, {"validOrder": "0x12"}, {"datatoken": TOKEN}, {"datatoken": DATATOKEN, "providerFee": []}],
    ids=str,
)
def test_anything_else_is_no_offer(answer: object) -> None:
    assert read_offer(answer, datatoken=DATATOKEN) is None


def test_fee_for_another_datatoken_is_no_offer() -> None:
    assert read_offer({"datatoken": TOKEN, "providerFee": fee()}, datatoken=DATATOKEN) is None


def cache(name: str) -> FactCache[Any, Any]:
    return FactCache(name=name, max_entries=99, ttl_seconds=9)


class Answers:
    """Plays the origin: JSON answers by URL, everything else is away; `asked` are the URLs."""

    def __init__(self, answers: Mapping[str, object]) -> None:
        self._answers = answers
        self.asked: list[str] = []

    async def open_hop(self, request: HttpRequest) -> MemorySource | Redirect:
        self.asked.append(request.url)
        answer = self._answers.get(request.url.partition("?")[0])
        if answer is None:
            raise UpstreamUnreachable(detail="origin: away")
        if answer == "redirect":
            moved = HttpRequest("GET", "http://victim.example/")
            return Redirect(moved, first_url=request.url, cookies=NO_COOKIES, status=302, headers=Headers(()))
        return MemorySource(orjson.dumps(answer), content_type="application/json")


def others(origin: Answers | None, *own: str) -> OtherProviders:
    return OtherProviders(
        origin=origin,  # type: ignore[arg-type]
        own_urls=frozenset(own),
        roots=cache("roots"),
        silent=cache("silent"),
        timeout_seconds=5,
    )


def at(endpoint: str) -> Chosen:
    """An item whose service is served there."""
    found = chosen()
    return replace(found, service=replace(found.service, endpoint=endpoint))


@pytest.mark.gen_test(timeout=5)
async def test_own_url_is_known_without_asking() -> None:
    assert await others(None, "http://other.example/").enquire().is_ours(chosen())


@pytest.mark.gen_test(timeout=5)
@pytest.mark.parametrize(
    "endpoint", ["http://v.example/p?x=", "http://v.example/?u=/api/x", "http://v.example/p#f", "", " ", "/api/"]
)
async def test_endpoint_with_a_query_or_without_a_host_is_not_asked(endpoint: str) -> None:
    origin = Answers({})
    with pytest.raises(ComputeRefused):
        await others(origin).enquire().is_ours(at(endpoint))
    assert origin.asked == []


@pytest.mark.gen_test(timeout=5)
@pytest.mark.parametrize("answer", [None, "redirect", {}, [], {"providerAddresses": {"5": ADDRESS}}], ids=str)
async def test_host_that_is_no_provider_is_asked_once_whatever_the_path(answer: object) -> None:
    """Neither paths nor items make this server ask again, nor for the item."""
    bases = [f"http://v.example/{number}" for number in range(50)]
    origin = Answers({} if answer is None else {f"{base}/": answer for base in bases})
    asked = others(origin)
    for base in bases:
        with pytest.raises(ComputeRefused):
            await asked.enquire().is_ours(at(base))
    assert origin.asked == ["http://v.example/0/"]


@pytest.mark.gen_test(timeout=5)
async def test_bad_path_does_not_shut_out_a_known_provider() -> None:
    root = {"providerAddresses": {"1": ADDRESS}}
    asked = others(Answers({"http://p.example/": root}))
    assert not await asked.enquire().is_ours(at("http://p.example"))
    with pytest.raises(ComputeRefused):
        await asked.enquire().is_ours(at("http://p.example/elsewhere"))
    assert not await asked.enquire().is_ours(at("http://p.example/"))


@pytest.mark.gen_test(timeout=5)
async def test_one_request_asks_few_endpoints_and_about_few_items() -> None:
    root = {"providerAddresses": {"1": ADDRESS}}
    hosts = [f"http://p{number}.example" for number in range(MAX_ENDPOINTS + 1)]
    origin = Answers(
        {f"{host}/": root for host in hosts} | {f"{hosts[0]}/api/services/initialize": {"validOrder": tx_id(1)}}
    )
    enquiry = others(origin).enquire()
    for host in hosts[:-1]:
        assert not await enquiry.is_ours(at(host))
    with pytest.raises(ComputeRefused):
        await enquiry.is_ours(at(hosts[-1]))
    for _ in range(MAX_OFFERS):
        await enquiry.offer(at(hosts[0]), consumer=OTHER.address)
    with pytest.raises(ComputeRefused):
        await enquiry.offer(at(hosts[0]), consumer=OTHER.address)
    assert len(origin.asked) == MAX_ENDPOINTS + MAX_OFFERS


@pytest.mark.gen_test(timeout=5)
async def test_all_questions_of_one_request_have_one_time_limit() -> None:
    class Silent(Answers):
        async def open_hop(self, request: HttpRequest) -> MemorySource | Redirect:
            await asyncio.sleep(60)
            raise AssertionError

    asked = OtherProviders(
        origin=Silent({}),  # type: ignore[arg-type]
        own_urls=frozenset(),
        roots=cache("roots"),
        silent=cache("silent"),
        timeout_seconds=0.05,
    )
    enquiry = asked.enquire()
    for number in range(3):
        with pytest.raises(ComputeRefused):
            await enquiry.is_ours(at(f"http://p{number}.example"))
