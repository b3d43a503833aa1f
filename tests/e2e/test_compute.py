"""Compute-to-data, from publishing to result bytes: a real chain, the server as a process, a checking operator."""

import hashlib
import json
import time
from dataclasses import replace

import psutil
import pytest
from eth_account import Account

from provider.testing.chain.contracts import deploy_contract
from provider.testing.chain.keys import DEPLOYER_KEY
from provider.testing.http_client import download, request, with_query
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, url_file
from provider.testing.stage import DemoServer
from tests.e2e.conftest import LaunchServer
from tests.support.compute import CONTAINER, FREE, PRICE_WEI, PRICED, RAW, ComputeClient
from tests.support.metadata_store import StoringPublisher
from tests.support.operator import ENVIRONMENT_ADDRESS, ENVIRONMENT_KEY, Result
from tests.support.origin import CSV, Origin, pattern_sha256

LARGE_BYTES = 256 << 20


# A whole job


def test_job_with_two_datasets_and_a_published_algorithm(c2d: ComputeClient, origin: Origin) -> None:
    main, more = c2d.dataset(f"{origin.url}/data.csv"), c2d.dataset(f"{origin.url}/data.csv", kind="access")
    algorithm = c2d.algorithm(f"{origin.url}/bytes/100")
    quoted_at = int(time.time())
    quote = c2d.quote([c2d.item(main), c2d.item(more)], c2d.item(algorithm), environment=PRICED, end=quoted_at + 3600)
    assert quote.status == 200, quote.body
    offers = [*quote.json()["datasets"], quote.json()["algorithm"]]
    amounts = [int(offer["providerFee"]["providerFeeAmount"]) for offer in offers]
    # The server's clock may have gone on by some seconds.
    assert amounts[0] in {seconds * PRICE_WEI // 60 for seconds in range(3590, 3601)}
    assert amounts[1:] == [0, 0]
    assert {offer["providerFee"]["validUntil"] for offer in offers} == {quoted_at + 3600}
    txs = [c2d.order(asset, offer) for asset, offer in zip((main, more, algorithm), offers, strict=True)]

    reply = c2d.start(
        c2d.item(main, txs[0], userdata={"row": 3}),
        c2d.item(algorithm, txs[2], algouserdata={"a": 1}, algocustomdata={"b": 2}),
        environment=PRICED,
        additionalDatasets=[c2d.item(more, txs[1])],
    )
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json"), reply.body
    (job,) = reply.json()
    asked = c2d.operator.last_start()
    stage = asked["workflow"]["stages"][0]
    assert stage["input"] == [
        {
            "index": 0,
            "id": main.did,
            "remote": {"txId": txs[0], "serviceId": main.service()["id"], "userdata": {"row": 3}},
        },
        {"index": 1, "id": more.did, "remote": {"txId": txs[1], "serviceId": more.service()["id"]}},
    ]
    assert stage["algorithm"] == {
        "id": algorithm.did,
        "rawcode": "",
        "container": CONTAINER,
        "algouserdata": None,
        "remote": {
            "serviceEndpoint": c2d.publisher.provider_url,
            "txId": txs[2],
            "serviceId": algorithm.service()["id"],
            "userData": {"a": 1},
            "userdata": {"a": 1},
        },
        "algocustomdata": {"b": 2},
    }
    assert stage["output"] == {"metadataUri": c2d.publisher.store.url}
    assert (asked["agreementId"], asked["chainId"], asked["environment"]) == (txs[0], 8996, PRICED)
    assert (asked["owner"], asked["validUntil"]) == (c2d.consumer.address, quoted_at + 3600)

    assert c2d.status(jobId=job["jobId"], agreementId="did:op:ignored").json()[0]["statusText"] == "Warming up"
    again = c2d.start(
        c2d.item(main, txs[0]),
        c2d.item(algorithm, txs[2]),
        environment=PRICED,
        additionalDatasets=[c2d.item(more, txs[1])],
    )
    assert (again.status, again.json()) == (400, {"error": "`agreementId` already in use for other job."})
    c2d.operator.finish(job["jobId"], Result("out.csv", "output", CSV), Result("algo.log", "algorithmLog", b"done"))
    (shown,) = c2d.status(jobId=job["jobId"]).json()
    assert (shown["status"], [result["type"] for result in shown["results"]]) == (70, ["output", "algorithmLog"])
    got = c2d.result(job["jobId"], 0)
    assert (got.status, got.sha256, got.filename) == (200, hashlib.sha256(CSV).hexdigest(), "out.csv")
    part = request("GET", c2d.result_url(job["jobId"], 0), headers={"Range": "bytes=4-8"})
    assert (part.status, part.body, part.headers["content-range"]) == (206, CSV[4:9], f"bytes 4-8/{len(CSV)}")


@pytest.mark.parametrize(
    ("fields", "status", "body"),
    [
        ({"Range": "bytes=4-8", "If-Range": '"result"'}, 206, CSV[4:9]),
        ({"Range": "bytes=4-8", "If-Range": '"other"'}, 200, CSV),
        ({"If-None-Match": '"result"', "Range": "bytes=4-8"}, 304, b""),
        ({"If-Match": '"result"'}, 200, CSV),
        ({"If-Match": '"other"'}, 412, None),
    ],
)
def test_conditions_hold_for_a_result(
    c2d: ComputeClient, job_id: str, fields: dict[str, str], status: int, body: bytes | None
) -> None:
    """The operator service of these tests looks at no condition."""
    c2d.operator.finish(job_id, Result("out.csv", "output", CSV, lost_after=len(CSV)))
    reply = request("GET", c2d.result_url(job_id, 0), headers=fields)
    assert (reply.status, body is None or reply.body == body) == (status, True)
    assert status == 412 or reply.headers["etag"] == '"result"'


def test_job_with_a_raw_algorithm(c2d: ComputeClient, origin: Origin) -> None:
    main = c2d.dataset(f"{origin.url}/data.csv")
    (tx,) = c2d.buy([main], None, environment=FREE)
    reply = c2d.start(c2d.item(main, tx), {"meta": RAW}, environment=FREE)
    assert reply.status == 200, reply.body
    (job,) = reply.json()
    assert job["algoDID"] == "raw"
    expected = {"id": "", "url": None, "rawcode": RAW["rawcode"], "container": CONTAINER}
    assert c2d.operator.last_start()["workflow"]["stages"][0]["algorithm"] == expected
    c2d.operator.finish(job["jobId"], Result("out.csv", "output", CSV))
    assert c2d.result(job["jobId"], "0").sha256 == hashlib.sha256(CSV).hexdigest()


TABLE = (60, 59 * 60, 25 * 3600, 30 * 86_400)


def told_fees(client: ComputeClient, main: Published, more: Published) -> list[tuple[int, int, int]]:
    """Per row of the table: seconds that were left at the quote, the fee, and the fee of the second item."""
    told = []
    for seconds in TABLE:
        end = int(time.time()) + seconds
        items = [client.item(main), client.item(more)]
        first, second = client.quote(items, {"meta": RAW}, environment=PRICED, end=end).json()["datasets"]
        fee = first["providerFee"]
        quoted_at = json.loads(bytes.fromhex(fee["providerData"][2:]))["timestamp"]
        amounts = int(fee["providerFeeAmount"]), int(second["providerFee"]["providerFeeAmount"])
        told.append((end - int(quoted_at), *amounts))
    return told


@pytest.mark.parametrize("decimals", [18, 6])
def test_fees_are_exact_to_the_last_unit(
    c2d: ComputeClient, launch: LaunchServer, origin: Origin, decimals: int
) -> None:
    """0.5 tokens a minute for 1 minute, 59 minutes, 25 hours and 30 days."""
    client = c2d
    if decimals != 18:
        token = deploy_contract(c2d.chain.wallet(DEPLOYER_KEY), "MockERC20Decimals", "Six", "SIX", decimals)
        own = launch(OPERATOR_SERVICE_URL=c2d.operator.url, PROVIDER_FEE_TOKEN=token)
        client = replace(c2d, server=own)
    main, more = (c2d.dataset(f"{origin.url}/data.csv") for _ in range(2))
    told = told_fees(client, main, more)
    assert [wanted - 5 <= seconds <= wanted for wanted, (seconds, _, _) in zip(TABLE, told, strict=True)] == [True] * 4
    assert [(fee, other) for _, fee, other in told] == [(seconds * 10**decimals // 120, 0) for seconds, _, _ in told]


def test_token_stands_in_for_the_signature(c2d: ComputeClient, origin: Origin) -> None:
    nonce = c2d.consumer.next_nonce()
    fields = {
        "address": c2d.consumer.address,
        "expiration": int(time.time()) + 600,
        "nonce": nonce,
        "signature": c2d.consumer.sign(c2d.consumer.address, nonce),
    }
    token = request("GET", with_query(f"{c2d.base}/createAuthToken", fields)).json()["token"]
    main = c2d.dataset(f"{origin.url}/data.csv")
    (tx,) = c2d.buy([main], None, environment=FREE)
    body = c2d.start_body(c2d.item(main, tx), {"meta": RAW}, environment=FREE)
    del body["signature"]
    headers = {"Content-Type": "application/json", "AuthToken": token}
    started = request("POST", f"{c2d.base}/compute", body=json.dumps(body).encode(), headers=headers)
    assert started.status == 200, started.body
    job_id = started.json()[0]["jobId"]
    fields = {"consumerAddress": c2d.consumer.address, "jobId": job_id, "nonce": c2d.consumer.next_nonce()}
    stopped = request("PUT", f"{c2d.base}/compute", body=json.dumps(fields).encode(), headers=headers)
    assert (stopped.status, stopped.json()[0]["stopreq"]) == (200, 1)
    c2d.operator.finish(job_id, Result("out.csv", "output", CSV))
    fields = {**fields, "index": 0, "nonce": c2d.consumer.next_nonce()}
    assert request("GET", with_query(f"{c2d.base}/computeResult", fields), headers=headers).body == CSV


def test_order_that_ends_too_early_is_renewed(c2d: ComputeClient, origin: Origin) -> None:
    """[K24]: with reuseOrder, and the new transaction is the one that starts a job."""
    main = c2d.dataset(f"{origin.url}/data.csv")
    (first,) = c2d.buy([main], None, environment=PRICED, seconds=600)
    quote = c2d.quote([c2d.item(main, first)], {"meta": RAW}, environment=PRICED, seconds=300)
    assert quote.json() == {"datasets": [{"validOrder": first}]}
    (offer,) = c2d.quote([c2d.item(main, first)], {"meta": RAW}, environment=PRICED, seconds=1200).json()["datasets"]
    assert offer.keys() == {"datatoken", "providerFee", "validOrder"}
    assert offer["validOrder"] == first
    assert int(offer["providerFee"]["providerFeeAmount"]) > 600 * PRICE_WEI // 60
    renewed = c2d.order(main, offer)
    for given in (renewed, renewed[2:].upper()):
        again = c2d.quote([c2d.item(main, given)], {"meta": RAW}, environment=PRICED, seconds=900)
        assert again.json() == {"datasets": [{"validOrder": renewed}]}
    reply = c2d.start(c2d.item(main, renewed), {"meta": RAW}, environment=PRICED)
    assert reply.status == 200, reply.body
    assert c2d.operator.last_start()["agreementId"] == renewed


# Other Providers


def test_dataset_of_another_provider_is_quoted_by_that_one(
    c2d: ComputeClient, launch: LaunchServer, origin: Origin
) -> None:
    """[K12, K25]: its offer is passed on, and when it refuses, the item is named."""
    key = "0x" + "17" * 32
    other = launch(PROVIDER_PRIVATE_KEY=key)
    publisher = StoringPublisher(c2d.publisher.wallet, c2d.chain.contracts, other.url)
    publisher.store = c2d.publisher.store
    theirs = publisher.publish([url_file(f"{origin.url}/data.csv")])
    main = c2d.dataset(f"{origin.url}/data.csv")
    items = [c2d.item(main), c2d.item(theirs)]
    ours, offer = c2d.quote(items, {"meta": RAW}, environment=PRICED).json()["datasets"]
    assert int(ours["providerFee"]["providerFeeAmount"]) > 0
    assert offer.keys() == {"datatoken", "providerFee"}
    assert offer["datatoken"] == theirs.datatokens[0]
    assert offer["providerFee"]["providerFeeAddress"] == Account.from_key(key).address
    c2d.document(theirs)["services"][0]["id"] = "unknown-there"
    publisher.store.documents[theirs.did]["services"][0]["serviceEndpoint"] = f"{origin.url}/missing"
    reply = c2d.quote(
        [c2d.item(main), {**c2d.item(theirs), "serviceId": "unknown-there"}], {"meta": RAW}, environment=FREE
    )
    assert (reply.status, reply.json()) == (400, {"error": {"datasets[1]": "other_provider_failed"}})


# What a running job is asked


@pytest.fixture(scope="module")
def ordered(c2d: ComputeClient, origin: Origin) -> tuple[Published, str]:
    """A dataset and an order of it for the free environment."""
    main = c2d.dataset(f"{origin.url}/data.csv")
    return main, c2d.buy([main], None, environment=FREE)[0]


@pytest.fixture
def job_id(c2d: ComputeClient, ordered: tuple[Published, str]) -> str:
    """A running job."""
    for job in c2d.operator.jobs.values():
        job.status = 70
    reply = c2d.start(c2d.item(*ordered), {"meta": RAW}, environment=FREE)
    assert reply.status == 200, reply.body
    return str(reply.json()[0]["jobId"])


def test_stop_names_the_job_and_is_signed(c2d: ComputeClient, job_id: str) -> None:
    reply = c2d.change("PUT", job_id=job_id, agreementId="ignored")
    assert (reply.status, reply.json()[0]["stopreq"]) == (200, 1)
    method, path, fields = c2d.operator.asked[-1]
    assert (method, path, fields["owner"], fields["jobId"]) == ("PUT", "compute", c2d.consumer.address, job_id)
    assert "agreementId" not in fields


def test_stop_by_document_is_passed_on(c2d: ComputeClient, job_id: str) -> None:
    assert c2d.change("PUT", document_id="did:op:1").status == 200
    assert c2d.operator.asked[-1][2]["documentId"] == "did:op:1"


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_without_a_job_nothing_is_stopped(c2d: ComputeClient, job_id: str, method: str) -> None:
    """[K44]: the operator would stop every job of the owner."""
    reply = c2d.change(method)
    assert (reply.status, reply.json()["errors"]) == (400, {"jobId": ["The jobId field is required."]})
    assert not c2d.operator.jobs[job_id].stopped


def test_delete_answers_an_empty_text(c2d: ComputeClient, job_id: str) -> None:
    reply = c2d.change("DELETE", job_id=job_id)
    assert (reply.status, reply.json()) == (200, "")


def test_unsigned_stop_is_refused(c2d: ComputeClient, job_id: str, stranger: Consumer) -> None:
    nonce = c2d.consumer.next_nonce()
    forged = stranger.sign(f"{c2d.consumer.address}{job_id}", nonce)
    reply = c2d.change("PUT", job_id=job_id, nonce=nonce, signature=forged)
    assert (reply.status, list(reply.json()["errors"])) == (400, ["signature"])
    assert not c2d.operator.jobs[job_id].stopped


def test_status_needs_no_signature_but_an_owner(c2d: ComputeClient, job_id: str) -> None:
    assert [job["jobId"] for job in c2d.status(jobId=job_id).json()] == [job_id]
    assert job_id in [job["jobId"] for job in c2d.status(documentId="did:op:1").json()]
    reply = request("GET", f"{c2d.base}/compute")
    assert reply.json()["errors"] == {"consumerAddress": ["The consumerAddress field is required."]}


@pytest.mark.parametrize(
    ("index", "text"),
    [(5, "No such index 5 in this compute job"), (-1, "Negative index -1"), ("x", "index is not a number")],
)
def test_refused_result_is_told_in_the_words_of_the_operator(
    c2d: ComputeClient, job_id: str, index: object, text: str
) -> None:
    c2d.operator.finish(job_id, Result("out.csv", "output", CSV))
    reply = request("GET", c2d.result_url(job_id, index))
    assert (reply.status, reply.json()) == (400 if index == "x" else 404, {"error": text})
    assert reply.headers["content-type"] == "application/json"


def test_result_of_somebody_else_is_refused(c2d: ComputeClient, job_id: str, stranger: Consumer) -> None:
    c2d.operator.finish(job_id, Result("out.csv", "output", CSV))
    thief = ComputeClient(c2d.chain, c2d.server, c2d.operator, c2d.publisher, Consumer(stranger.wallet, c2d.server.url))
    got = thief.result(job_id, 0)
    assert (got.status, b"mismatch" in got.error_body) == (404, True)


def test_replayed_result_url_is_refused(c2d: ComputeClient, job_id: str) -> None:
    c2d.operator.finish(job_id, Result("out.csv", "output", CSV))
    url = c2d.result_url(job_id, 0)
    assert request("GET", url).status == 200
    assert "Invalid signature expected nonce" in request("GET", url).json()["errors"]["signature"]


def test_a_large_result_streams_with_flat_memory(c2d: ComputeClient, job_id: str) -> None:
    c2d.operator.finish(job_id, Result("big.bin", "output", size_bytes=LARGE_BYTES))
    process = psutil.Process(c2d.server.child.pid)
    before, most = process.memory_info().rss, 0

    def watch(_: int) -> None:
        nonlocal most
        most = max(most, process.memory_info().rss)

    got = download(c2d.result_url(job_id, 0), progress=watch)
    assert (got.status, got.complete, got.size_bytes, got.sha256) == (
        200,
        True,
        LARGE_BYTES,
        pattern_sha256(LARGE_BYTES),
    )
    assert most - before < 8 << 20


# Environments


def test_environments_are_listed_by_chain_with_their_fee_token(c2d: ComputeClient) -> None:
    reply = request("GET", f"{c2d.base}/computeEnvironments?chainId=8996")
    assert (reply.status, list(reply.json())) == (200, ["8996"])
    listed = reply.json()["8996"]
    assert [(one["id"], one["priceMin"]) for one in listed] == [(FREE, 0), (PRICED, "0.5")]
    assert {one["feeToken"] for one in listed} == {c2d.chain.contracts.ocean}


def test_chain_without_answer_is_a_clear_503(c2d: ComputeClient) -> None:
    c2d.operator.broken_chains.add(8996)
    try:
        reply = request("GET", f"{c2d.base}/computeEnvironments")
    finally:
        c2d.operator.broken_chains.clear()
    text = "Compute envs could not be retrieved for chainId 8996, check configuration."
    assert (reply.status, reply.json()) == (503, {"error": text})


# Pods


def test_pods_download_compute_services_with_nonces_out_of_order(
    c2d: ComputeClient, ordered: tuple[Published, str]
) -> None:
    pod = Consumer(c2d.chain.wallet(ENVIRONMENT_KEY), c2d.server.url)
    assert pod.address == ENVIRONMENT_ADDRESS
    main, tx = ordered
    now = int(time.time() * 1000)
    files = c2d.send("POST", "fileinfo", {"did": main.did, "serviceId": main.service()["id"]})
    assert files.json()[0]["valid"]
    for nonce in (now, now - 20, now + 5):
        assert pod.download(main, tx, nonce=str(nonce)).sha256 == hashlib.sha256(CSV).hexdigest()
    assert pod.download(main, tx, nonce=str(now - 20)).status == 400


def test_compute_services_are_for_pods_only(c2d: ComputeClient, ordered: tuple[Published, str]) -> None:
    main, tx = ordered
    got = c2d.consumer.download(main, tx)
    text = f"Provider Ganache: Service with index={main.service()['id']} is not an access service."
    assert (got.status, got.error_body.decode().strip()) == (400, f'{{"error":"{text}"}}')


@pytest.mark.parametrize("lists_environment", [False, True])
def test_allow_list_must_name_the_environment_for_its_pods(
    c2d: ComputeClient, origin: Origin, *, lists_environment: bool
) -> None:
    """The consumer is who quotes and starts, the environment's address who downloads: `docs/compute.md`."""
    listed = [c2d.consumer.address, *([ENVIRONMENT_ADDRESS] if lists_environment else [])]
    change = {"credentials": {"allow": [{"type": "address", "values": listed}]}}
    asset = c2d.dataset(f"{origin.url}/data.csv", change=change)
    (tx,) = c2d.buy([asset], None, environment=FREE)
    assert c2d.start(c2d.item(asset, tx), {"meta": RAW}, environment=FREE).status == 200
    got = Consumer(c2d.chain.wallet(ENVIRONMENT_KEY), c2d.server.url).download(asset, tx)
    assert got.status == (200 if lists_environment else 400)
    assert (b"CREDENTIAL_NOT_IN_ALLOW_LIST" in got.error_body) is not lists_environment


# Off, and out


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "compute"),
        ("GET", "compute"),
        ("PUT", "compute"),
        ("DELETE", "compute"),
        ("GET", "computeResult"),
        ("GET", "computeEnvironments"),
    ],
)
def test_compute_is_off_without_an_operator(c2d: ComputeClient, server: DemoServer, method: str, path: str) -> None:
    reply = request(method, f"{server.url}/api/services/{path}")
    assert (reply.status, reply.json()["error"][:14]) == (404, "404 Not Found:")


def test_quotes_know_no_environment_without_an_operator(
    c2d: ComputeClient, server: DemoServer, ordered: tuple[Published, str]
) -> None:
    off = ComputeClient(c2d.chain, server, c2d.operator, c2d.publisher, Consumer(c2d.consumer.wallet, server.url))
    reply = off.quote([off.item(ordered[0])], {"meta": RAW}, environment=FREE)
    assert (reply.status, reply.json()) == (400, {"error": "Compute environment does not exist"})


def test_operator_that_is_gone_is_a_503_that_names_no_host(
    c2d: ComputeClient, launch: LaunchServer, ordered: tuple[Published, str]
) -> None:
    own = launch(OPERATOR_SERVICE_URL="http://user:planted-secret@127.0.0.1:9/planted-path/")
    gone = ComputeClient(c2d.chain, own, c2d.operator, c2d.publisher, Consumer(c2d.consumer.wallet, own.url))
    text = {"error": "The compute service cannot be reached, please try again later."}
    for reply in (
        gone.status(),
        gone.change("PUT", job_id="1"),
        gone.quote([gone.item(ordered[0])], {"meta": RAW}, environment=FREE),
        gone.start(gone.item(*ordered), {"meta": RAW}, environment=FREE),
        request("GET", gone.result_url("1", 0)),
    ):
        assert (reply.status, reply.json()) == (503, text)
    assert request("GET", f"{gone.base}/computeEnvironments").status == 503
    assert "planted" not in own.child.stderr_tail(1 << 20)


@pytest.mark.parametrize("status", [400, 401, 500])
def test_answers_of_the_operator_are_passed_on(c2d: ComputeClient, status: int) -> None:
    c2d.operator.next_answer = (status, b'{"error": "in its own words"}')
    reply = c2d.status()
    assert (reply.status, reply.json()) == (status, {"error": "in its own words"})


def test_page_of_a_proxy_is_not_passed_on(c2d: ComputeClient) -> None:
    c2d.operator.next_answer = (502, b"<html>bad gateway at http://operator.internal</html>")
    reply = c2d.status()
    assert (reply.status, reply.json()) == (502, {"error": "The compute service refused the request."})
    c2d.operator.next_answer = (200, b"<html>hello</html>")
    assert c2d.status().status == 503
