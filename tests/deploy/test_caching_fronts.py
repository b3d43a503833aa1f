"""Fronts that cache as far as answers let them: what one consumer was allowed to get, nobody gets from the cache."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from provider.testing.http_client import Reply, request, with_query
from provider.testing.market.consumer import Consumer
from tests.deploy.conftest import SMALL, Stage, tool
from tests.deploy.fronts import Front, caching_nginx, varnish

FRONTS: dict[str, Callable[[str, Path, int], AbstractContextManager[Front]]] = {
    "nginx": caching_nginx,
    "varnishd": varnish,
}


@pytest.fixture(scope="module", params=FRONTS)
def buyer(request: pytest.FixtureRequest, stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consumer]:
    """The consumer who ordered, behind each front that is installed."""
    port = urlsplit(stage.server.url).port
    assert port is not None
    folder = tmp_path_factory.mktemp(request.param)
    with FRONTS[request.param](tool(request.param), folder, port) as running:
        yield stage.consumer(running.url)


def is_from_cache(reply: Reply) -> bool:
    return reply.headers.get("x-cache") == "HIT" or int(reply.headers.get("age", "0")) > 0


def test_the_front_does_cache_what_it_may(buyer: Consumer) -> None:
    """Else the other tests would hold whatever we said."""
    page = f"{buyer.provider_url}/api/docs/5.31.0/favicon-32x32.png"
    first = request("GET", page)
    assert first.status == 200
    deadline = time.monotonic() + 60
    while not is_from_cache(request("GET", page)):
        assert time.monotonic() < deadline


def test_a_signed_url_is_served_once(buyer: Consumer, stage: Stage) -> None:
    url = buyer.download_url(stage.asset, stage.order_tx, file_index=SMALL)
    assert [request("GET", url).status for _ in range(3)] == [200, 400, 400]


def test_a_download_by_token_is_not_served_without_it(buyer: Consumer, stage: Stage) -> None:
    nonce = buyer.next_nonce()
    signed = {
        "address": buyer.address,
        "nonce": nonce,
        "signature": buyer.wallet.sign_text(f"{buyer.address}{nonce}"),
        "expiration": int(time.time()) + 300,
    }
    create = with_query(f"{buyer.provider_url}/api/services/createAuthToken", signed)
    token = request("GET", create).json()["token"]
    assert request("GET", create).status == 400
    for header, value in (("AuthToken", token), ("Authorization", f"Bearer {token}")):
        parameters = buyer.download_parameters(stage.asset, stage.order_tx, file_index=SMALL)
        del parameters["signature"]
        url = with_query(f"{buyer.provider_url}/api/services/download", parameters)
        assert request("GET", url, headers={header: value}).status == 200
        assert request("GET", url).status == 400


def test_the_nonce_that_is_told_is_the_latest(buyer: Consumer, stage: Stage) -> None:
    before = buyer.next_nonce()
    assert buyer.download(stage.asset, stage.order_tx, file_index=SMALL, nonce=before).complete
    after = buyer.next_nonce()
    assert int(after) == int(before) + 1
    assert buyer.download(stage.asset, stage.order_tx, file_index=SMALL, nonce=after).complete


def test_a_refusal_is_not_kept(buyer: Consumer, stage: Stage) -> None:
    url = with_query(f"{buyer.provider_url}/api/services/initialize", {"documentId": "did:op:" + "0" * 64})
    replies = [request("GET", url) for _ in range(2)]
    assert {reply.status for reply in replies} == {400}
    assert not any(is_from_cache(reply) for reply in replies)
    assert replies[0].headers["x-request-id"] != replies[1].headers["x-request-id"]
