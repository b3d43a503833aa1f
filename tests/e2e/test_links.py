"""Links: one signed request becomes URLs that open the files of an order, until the right behind them ends."""

import base64
import hashlib
import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest

from provider.testing.chain.keys import SPARE_KEYS
from provider.testing.http_client import Reply, request, with_query
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, url_file
from provider.testing.stage import DemoServer
from tests.e2e.conftest import LaunchServer, Sell
from tests.support.compute import FREE, RAW, ComputeClient
from tests.support.links import ask_for_links, links, revoke, signed_for_links
from tests.support.metadata_store import StoringPublisher
from tests.support.operator import Result
from tests.support.origin import CSV, Origin, pattern, wait_until

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


def test_one_file_can_be_asked_for(consumer: Consumer, bought: tuple[Published, str]) -> None:
    (file,) = links(consumer, *bought, fileIndex=1)
    assert (file["index"], request("GET", file["url"]).body) == (1, pattern(SIZE))


@pytest.mark.parametrize("index", [2, 10**77])
def test_a_file_that_is_not_in_the_list_gets_no_link(
    consumer: Consumer, bought: tuple[Published, str], index: int
) -> None:
    assert ask_for_links(consumer, *bought, fileIndex=index).status == 400


def test_names_are_told_apart(consumer: Consumer, sell: Sell, origin: Origin) -> None:
    file = url_file(f"{origin.url}/data.csv")
    files = links(consumer, *sell(file, file, file))
    assert [file["name"] for file in files] == ["data.csv", "data-1.csv", "data-2.csv"]
    assert [request("GET", file["url"]).body for file in files] == [CSV] * 3


def test_a_file_whose_origin_fails_is_linked_without_facts(consumer: Consumer, sell: Sell, origin: Origin) -> None:
    bad, good = links(consumer, *sell(url_file(f"{origin.url}/status/503"), url_file(f"{origin.url}/data.csv")))
    assert set(bad) == {"index", "name", "url"}
    assert good["length"] == len(CSV)


def test_metalink(consumer: Consumer, bought: tuple[Published, str]) -> None:
    reply = ask_for_links(consumer, *bought, headers={"Accept": "application/metalink4+xml"})
    assert reply.headers["content-type"] == "application/metalink4+xml"
    space = "{urn:ietf:params:xml:ns:metalink}"
    files = ElementTree.fromstring(reply.body).findall(f"{space}file")
    assert [file.attrib["name"] for file in files] == ["data.csv", "300000"]
    assert [file.findtext(f"{space}size") for file in files] == [str(len(CSV)), str(SIZE)]
    assert request("GET", str(files[0].findtext(f"{space}url"))).body == CSV


def test_plain_lines(consumer: Consumer, bought: tuple[Published, str]) -> None:
    reply = ask_for_links(consumer, *bought, headers={"Accept": "text/uri-list, application/json;q=0.5"})
    assert reply.headers["content-type"] == "text/uri-list"
    assert [request("GET", url).status for url in reply.body.decode().split()] == [200, 200]


def test_an_end_may_be_asked_for_and_is_not_beyond_that_of_the_order(
    consumer: Consumer, sell: Sell, origin: Origin
) -> None:
    sold = sell(url_file(f"{origin.url}/data.csv"), timeout_seconds=3600)
    now = datetime.now(UTC).timestamp()
    ends = [
        datetime.fromisoformat(ask_for_links(consumer, *sold, **wanted).json()["expires"]).timestamp() - now
        for wanted in ({"seconds": 60}, {"seconds": 10**9}, {})
    ]
    assert 50 < ends[0] < 70
    assert all(3000 < end < 3700 for end in ends[1:])


@pytest.mark.parametrize("wrong", [{"seconds": 0}, {"seconds": "x"}, {"jobId": "1"}, {"userdata": "\ud800"}])
def test_malformed_requests_are_told_what_is_wrong(
    consumer: Consumer, bought: tuple[Published, str], wrong: dict[str, object]
) -> None:
    reply = ask_for_links(consumer, *bought, **wrong)
    assert (reply.status, reply.json()["message"]) == (400, "Validation error")


def test_urls_name_the_host_and_the_scheme_that_the_client_used(
    consumer: Consumer, bought: tuple[Published, str]
) -> None:
    asked = {"Host": "data.example", "X-Forwarded-Proto": "https, http"}
    files = ask_for_links(consumer, *bought, headers=asked).json()["files"]
    assert all(file["url"].startswith("https://data.example/d/1") for file in files)


def test_urls_name_the_public_url_where_it_is_set(
    launch: LaunchServer, consumer: Consumer, bought: tuple[Published, str]
) -> None:
    server = launch(PROVIDER_PUBLIC_URL="https://data.example/provider/")
    (url, _) = [file["url"] for file in links(Consumer(consumer.wallet, server.url), *bought)]
    assert url.startswith("https://data.example/provider/d/1")
    assert request("GET", server.url + urlsplit(url).path.removeprefix("/provider")).body == CSV


# Who may have links


def test_a_signature_for_links_is_good_for_nothing_else_and_no_other_makes_links(
    consumer: Consumer, bought: tuple[Published, str]
) -> None:
    download = consumer.download_parameters(*bought)
    fields = {**download, "fileIndex": 0}
    reply = ask_for_links(consumer, *bought, nonce=fields["nonce"], signature=fields["signature"])
    assert (reply.status, "signature" in reply.json()["errors"]) == (400, True)
    signed = signed_for_links(consumer, *bought)
    url = with_query(f"{consumer.provider_url}/api/services/download", {**signed, "fileIndex": 0})
    assert request("GET", url).status == 400


def test_a_stranger_gets_no_links(stranger: Consumer, bought: tuple[Published, str]) -> None:
    reply = ask_for_links(stranger, *bought)
    assert (reply.status, "consumer" in reply.error_text()) == (400, True)


def test_a_request_for_links_counts_once(consumer: Consumer, bought: tuple[Published, str]) -> None:
    nonce = consumer.next_nonce()
    signature = consumer.wallet.sign_text(f"{consumer.address}{nonce}createLinks")
    statuses = [ask_for_links(consumer, *bought, nonce=nonce, signature=signature).status for _ in range(2)]
    assert statuses == [200, 400]


# Opening a link


def test_a_link_is_read_by_any_ranges_at_any_time(consumer: Consumer, bought: tuple[Published, str]) -> None:
    url = links(consumer, *bought)[1]["url"]
    body = pattern(SIZE)

    def part(first: int) -> bool:
        reply = request("GET", url, headers={"Range": f"bytes={first}-{first + 9999}"})
        return (reply.status, reply.body) == (206, body[first : first + 10_000])

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(part, range(0, SIZE - 10_000, 5_000)))


def test_head_tells_what_get_would_and_asks_the_origin_once(consumer: Consumer, sell: Sell, origin: Origin) -> None:
    sold = sell(url_file(f"{origin.url}/data.csv"))
    before = len(origin.requests("/data.csv"))
    url = links(consumer, *sold)[0]["url"]
    heads = [request("HEAD", url) for _ in range(3)]
    assert len(origin.requests("/data.csv")) == before + 1
    got = request("GET", url)
    assert got.headers["cache-control"] == "private, no-cache"
    assert got.headers["referrer-policy"] == "no-referrer"
    varying = {"date", "x-request-id"}
    for head in heads:
        assert (head.status, head.body) == (200, b"")
        assert {name: head.headers[name] for name in head.headers.keys() - varying} == {
            name: got.headers[name] for name in got.headers.keys() - varying
        }


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_conditions_hold(consumer: Consumer, bought: tuple[Published, str], method: str) -> None:
    url = links(consumer, *bought)[0]["url"]
    answers = [
        request(method, url, headers=headers).status
        for headers in ({"If-None-Match": '"v1"'}, {"If-Match": '"v2"'}, {"If-Match": '"v1"'})
    ]
    assert answers == [304, 412, 200]


def test_head_of_a_file_of_unknown_length_tells_none(consumer: Consumer, sell: Sell, origin: Origin) -> None:
    url = links(consumer, *sell(url_file(f"{origin.url}/chunked/2")))[0]["url"]
    head = request("HEAD", url)
    assert (head.status, "content-length" in head.headers) == (200, False)


def test_userdata_is_bound_into_the_link(consumer: Consumer, sell: Sell, origin: Origin) -> None:
    sold = sell(url_file(f"{origin.url}/echo"))
    url = links(consumer, *sold, userdata={"page": 7})[0]["url"]
    assert request("GET", url + "?page=8").status == 200
    assert {request.query.get("page", [""])[0] for request in origin.requests("/echo")[-2:]} == {"7"}


def test_a_script_of_another_site_may_read_a_link(consumer: Consumer, bought: tuple[Published, str]) -> None:
    url = links(consumer, *bought)[0]["url"]
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}
    preflight = request("OPTIONS", url, headers={**asked, "Access-Control-Request-Headers": "range,if-match"})
    assert preflight.status == 200
    assert {"range", "if-match"} <= set(preflight.headers["access-control-allow-headers"].lower().split(","))
    got = request("GET", url, headers={"Origin": "https://app.example", "Range": "bytes=0-3"})
    assert got.headers["access-control-allow-origin"] == "https://app.example"
    assert "Content-Range" in got.headers["access-control-expose-headers"]


def test_a_link_renews_itself(consumer: Consumer, bought: tuple[Published, str]) -> None:
    url = links(consumer, *bought, seconds=600)[1]["url"]
    reply = request("POST", url)
    assert reply.headers["cache-control"] == "no-store"
    (fresh,) = reply.json()["files"]
    assert (fresh["index"], fresh["name"], fresh["length"]) == (1, "300000", SIZE)
    assert request("GET", fresh["url"]).body == pattern(SIZE)
    assert reply.json()["documentId"] == bought[0].did


# What is no link, or no longer


def test_a_changed_token_opens_nothing(consumer: Consumer, bought: tuple[Published, str]) -> None:
    url = links(consumer, *bought)[0]["url"]
    base, token, name = url.rsplit("/", 2)
    flipped = [f"{token[:place]}{'A' if token[place] != 'A' else 'B'}{token[place + 1 :]}" for place in range(0, 40, 3)]
    bad = [token[:-1], token[:-4], token[1:], f"{token}A", f"2{token[1:]}", token * 40, token.swapcase(), "1" * 80, ""]
    paths = [f"{base}/{one}/{name}" for one in (*flipped, *bad)]
    paths += [f"{base}/{token}/other.csv", f"{base}/{token}/", f"{base}/{token}", f"{url}/", f"{url}.aux.xml"]
    for path in paths:
        reply = request("GET", path)
        assert (reply.status, reply.json()) == (404, {"error": "This link is not known here."}), path
    assert request("GET", url).status == 200


def test_revoked_links_end_and_later_ones_work(
    consumer: Consumer, bought: tuple[Published, str], sell: Sell, origin: Origin
) -> None:
    other = sell(url_file(f"{origin.url}/data.csv"))
    first, second = (links(consumer, *sold)[0]["url"] for sold in (bought, other))
    assert revoke(consumer, transferTxId=bought[1]).json() == {"success": "Links have been revoked."}
    assert [request("GET", url).status for url in (first, second)] == [410, 200]
    assert request("POST", first).status == 410
    revoke(consumer)
    assert request("GET", second).status == 410
    assert request("GET", links(consumer, *bought)[0]["url"]).status == 200


def test_nobody_revokes_the_links_of_another(
    consumer: Consumer, stranger: Consumer, bought: tuple[Published, str]
) -> None:
    url = links(consumer, *bought)[0]["url"]
    assert revoke(stranger, consumerAddress=consumer.address).status == 400
    assert revoke(stranger).status == 200
    assert request("GET", url).status == 200


def test_a_link_ends_with_the_asset(
    launch: LaunchServer, publisher: StoringPublisher, consumer: Consumer, sell: Sell, origin: Origin
) -> None:
    server = launch(PROVIDER_CACHE_STATE_SECONDS="0")
    sold = sell(url_file(f"{origin.url}/data.csv"))
    url = links(Consumer(consumer.wallet, server.url), *sold)[0]["url"]
    assert request("GET", url).status == 200
    publisher.set_state(sold[0].data_nft, 3)
    reply = request("GET", url)
    assert (reply.status, reply.error_text()) == (400, "Provider Ganache: Asset is not consumable.")


def test_another_host_with_the_same_key_opens_the_link_and_one_with_another_key_does_not(
    launch: LaunchServer, consumer: Consumer, bought: tuple[Published, str]
) -> None:
    url = links(consumer, *bought)[0]["url"]
    same, other = launch(), launch(UNIVERSAL_PRIVATE_KEY=SPARE_KEYS[3])
    path = urlsplit(url).path
    assert request("GET", same.url + path).body == CSV
    assert request("GET", other.url + path).status == 404


def test_streams_of_a_link_are_those_of_its_consumer(
    launch: LaunchServer, consumer: Consumer, sell: Sell, origin: Origin
) -> None:
    server = launch(PROVIDER_MAX_STREAMS_PER_CONSUMER="4")
    sold = sell(url_file(f"{origin.url}/bytes/{SIZE}"))
    url = links(Consumer(consumer.wallet, server.url), *sold)[0]["url"]
    body = pattern(SIZE)

    def part(first: int) -> int:
        reply = request("GET", url, headers={"Range": f"bytes={first}-{first + 999}"})
        assert reply.status != 206 or reply.body == body[first : first + 1000]
        return reply.status

    with ThreadPoolExecutor(200) as pool:
        statuses = set(pool.map(part, range(0, 200_000, 1000)))
    assert statuses <= {206, 429}
    assert 206 in statuses


def test_links_are_not_there_when_they_are_turned_off(
    launch: LaunchServer, consumer: Consumer, bought: tuple[Published, str]
) -> None:
    server = launch(PROVIDER_LINK_MAX_SECONDS="0")
    path = urlsplit(links(consumer, *bought)[0]["url"]).path
    assert ask_for_links(Consumer(consumer.wallet, server.url), *bought).status == 404
    assert request("GET", server.url + path).status == 404


# What a link gives away


def test_a_token_is_in_no_log_metric_or_error(
    server: DemoServer, consumer: Consumer, bought: tuple[Published, str]
) -> None:
    url = links(consumer, *bought)[0]["url"]
    token = url.split("/")[-2]
    replies = [request(method, url) for method in ("GET", "HEAD", "POST", "PUT")]
    replies += [request("GET", f"{url}x"), request("GET", url, headers={"Accept": "text/html", "If-Match": '"no"'})]
    told = [reply.body.decode() for reply in replies if reply.status >= 400]
    told += [server.child.stderr_tail(1 << 26), request("GET", f"{server.admin_url}/metrics").body.decode()]
    assert not [text for text in told if token in text or token[:40] in text]
    assert f'"link":"{hashlib.sha256(token.encode()).hexdigest()[:16]}"' in told[-2].replace(" ", "")
    assert 'provider_link_requests_total{method="HEAD",outcome="ok"}' in told[-1]


def test_a_token_shows_neither_order_nor_consumer(consumer: Consumer, bought: tuple[Published, str]) -> None:
    token = links(consumer, *bought)[0]["url"].split("/")[-2]
    opened = base64.urlsafe_b64decode(token[1:] + "=" * (-(len(token) - 1) % 4))
    for secret in (bought[1][2:], consumer.address[2:], bought[0].did[7:]):
        assert secret.lower().encode() not in opened.lower()
        assert bytes.fromhex(secret) not in opened


# Pages


@pytest.mark.parametrize("kind", ["unknown link", "used download"])
def test_a_browser_gets_a_page(consumer: Consumer, bought: tuple[Published, str], kind: str) -> None:
    if kind == "unknown link":
        url, code, status = f"{consumer.provider_url}/d/1abc/data.csv", "link_unknown", 404
    else:
        url, code, status = consumer.download_url(*bought), "nonce_refused", 400
        assert request("GET", url).status == 200
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    reply = request("GET", url, headers={"Accept": accept})
    page = reply.body.decode()
    assert (reply.status, reply.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert int(reply.headers["content-length"]) == len(reply.body)
    assert code in page
    assert reply.headers["x-request-id"] in page
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert reply.headers["cache-control"] == "private, no-store"
    assert request("GET", url, headers={"Accept": "*/*"}).headers["content-type"] == "application/json"


# Results of jobs


def test_a_result_of_a_job_is_linked(c2d: ComputeClient, origin: Origin) -> None:
    job_id = finished_job(c2d, origin)
    reply = ask_for_result_links(c2d.consumer, job_id)
    (file,) = reply.json()["files"]
    assert (reply.json()["jobId"], file["name"], file["length"]) == (job_id, "out.csv", len(CSV))
    assert request("HEAD", file["url"]).headers["content-length"] == str(len(CSV))
    assert [request("GET", file["url"]).body for _ in range(2)] == [CSV] * 2
    (fresh,) = request("POST", file["url"]).json()["files"]
    assert request("GET", fresh["url"]).body == CSV


def test_the_result_of_another_is_refused_by_the_operator(
    c2d: ComputeClient, stranger: Consumer, origin: Origin
) -> None:
    job_id = finished_job(c2d, origin)
    thief = Consumer(stranger.wallet, c2d.server.url)
    (file,) = ask_for_result_links(thief, job_id).json()["files"]
    assert request("GET", file["url"]).status >= 400
    assert request("HEAD", file["url"]).status >= 400


def test_results_count_for_the_day_of_their_consumer(
    c2d: ComputeClient, origin: Origin, launch: LaunchServer, tmp_path: Path
) -> None:
    job_id = finished_job(c2d, origin)
    settings = {"OPERATOR_SERVICE_URL": c2d.operator.url, "STORAGE_PATH": str(tmp_path / "storage.db")}
    of_day = {"PROVIDER_QUOTA_BYTES_PER_CONSUMER_DAY": str(2 * len(CSV) + 5), "PROVIDER_QUOTA_DOWNLOADS_PER_ORDER": "1"}
    own = launch(**settings, **of_day)
    client = replace(c2d, server=own, consumer=Consumer(c2d.consumer.wallet, own.url))
    file = tmp_path / "storage.db.quotas"
    for _ in range(2):
        assert request("GET", client.result_url(job_id, 0)).body == CSV
    (linked,) = ask_for_result_links(client.consumer, job_id).json()["files"]
    wait_until(lambda: counted(file) == (2 * len(CSV), 0))
    for url in (client.result_url(job_id, 0), linked["url"]):
        refused = request("GET", url)
        assert (refused.status, "quota for this day" in refused.error_text()) == (429, True)
    part = request("GET", linked["url"], headers={"Range": "bytes=0-4"})
    assert (part.status, part.body) == (206, CSV[:5])
    wait_until(lambda: counted(file) == (2 * len(CSV) + 5, 0))
    # Nothing is left, so the nonce of a refused request is not used.
    url = client.result_url(job_id, 0)
    assert request("GET", url).status == 429
    own.child.stop()
    without = launch(**settings)
    assert request("GET", url.replace(own.url, without.url)).body == CSV


def counted(file: Path) -> tuple[int, int]:
    """Bytes sent and held, of the only count."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        ((sent, held),) = connection.execute("SELECT bytes, held_bytes FROM counts").fetchall()
    return sent, held


def finished_job(c2d: ComputeClient, origin: Origin) -> str:
    main = c2d.dataset(f"{origin.url}/data.csv")
    (tx,) = c2d.buy([main], None, environment=FREE)
    started = c2d.start(c2d.item(main, tx), {"meta": RAW}, environment=FREE)
    job_id: str = started.json()[0]["jobId"]
    c2d.operator.finish(job_id, Result("out.csv", "output", CSV))
    return job_id


def ask_for_result_links(consumer: Consumer, job_id: str) -> Reply:
    nonce = consumer.next_nonce()
    fields = {
        "jobId": job_id,
        "index": 0,
        "consumerAddress": consumer.address,
        "nonce": nonce,
        "signature": consumer.wallet.sign_text(f"{consumer.address}{nonce}createLinks"),
    }
    body = json.dumps(fields).encode()
    headers = {"Content-Type": "application/json"}
    return request("POST", f"{consumer.provider_url}/api/services/links", body=body, headers=headers)
