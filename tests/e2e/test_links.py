"""Links: one signed request becomes URLs that open the files of an order, until the right behind them ends."""

import pytest

from provider.demo.http_client import request
from provider.demo.market.consumer import Consumer
from provider.demo.market.publisher import Published
from tests.support.links import ask_for_links
from tests.support.origin import CSV, pattern

pytestmark = pytest.mark.usefixtures("log_holds_no_secret")
SIZE = 300_000


# The manifest


def test_an_order_becomes_one_url_for_each_file(consumer: Consumer, bought: tuple[Published, str]) -> None:
    reply = ask_for_links(consumer, *bought)
    assert reply.headers["cache-control"] == "no-store"
    manifest = reply.json()
    assert manifest["documentId"] == bought[0].did
    first, second = manifest["files"]
    assert {key: first[key] for key in first if key != "url"} == {
        "index": 0,
        "name": "data.csv",
        "length": len(CSV),
        "contentType": "text/csv; charset=utf-8",
        "etag": '"v1"',
        "ranges": False,
    }
    assert (second["index"], second["name"], second["length"], second["ranges"]) == (1, "300000", SIZE, True)
    assert request("GET", first["url"]).body == CSV
    assert request("GET", second["url"]).body == pattern(SIZE)
