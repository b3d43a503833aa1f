"""Every refusal of `provider-api.md` section 10.2, reached over HTTP; not one of them reaches the operator."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import rlp
from eth_utils import keccak, to_checksum_address

from provider.testing.chain.wallet import tx_id
from provider.testing.market import forge
from provider.testing.market.consumer import Consumer, fee_tuple
from provider.testing.market.publisher import Published, build_ddo, files_document, service_entry, url_file
from tests.support.compute import CONTAINER, FREE, PRICE_WEI, PRICED, RAW, ComputeClient
from tests.support.operator import ENVIRONMENT_ADDRESS, ENVIRONMENT_KEY
from tests.support.origin import CSV, Origin

Json = dict[str, Any]
TX = "0x" + "ab" * 32  # no transaction
UNKNOWN = "did:op:" + "0" * 64
CSV_SHA256 = hashlib.sha256(CSV).hexdigest()
CONTAINER_SHA256 = hashlib.sha256((CONTAINER["entrypoint"] + CONTAINER["checksum"]).encode()).hexdigest()
# A contract that answers every call with the words 1, 0, 0, 1 (`isDeployed`: yes, `getMetaData`: active), and the end
# of the creation code that leaves it.
_ANSWERS = bytes.fromhex("6001600052600160605260806000f3")
LEAVE_CODE = (
    bytes([0x5F + len(_ANSWERS)]) + _ANSWERS + bytes.fromhex(f"60005260{len(_ANSWERS):02x}60{32 - len(_ANSWERS):02x}f3")
)


@pytest.fixture(autouse=True)
def _nothing_is_started(c2d: ComputeClient) -> Iterator[None]:
    before = c2d.operator.starts()
    yield
    assert c2d.operator.starts() == before


@pytest.fixture(scope="module")
def main(c2d: ComputeClient, origin: Origin) -> Published:
    """A dataset that everything may use."""
    return c2d.dataset(f"{origin.url}/data.csv")


@pytest.fixture(scope="module")
def algorithm(c2d: ComputeClient, origin: Origin) -> Published:
    """A published algorithm."""
    return c2d.algorithm(f"{origin.url}/data.csv")


def refused(c2d: ComputeClient, dataset: Json, algorithm: object, error: object, **more: Any) -> bool:
    reply = c2d.start(dataset, algorithm, environment=more.pop("environment", FREE), **more)
    assert (reply.status, reply.json()) == (400, {"error": error})
    return True


def denied(asset: Published, code: str) -> str:
    return f"Error: Access to asset {asset.did} was denied with code: ConsumableCodes.{code}."


# Additional datasets and output


@pytest.mark.parametrize("additional", ["text", {"documentId": "did:op:1"}, 5, True], ids=str)
def test_additional_datasets_must_be_a_list(c2d: ComputeClient, main: Published, additional: object) -> None:
    error = {"additional_input": "invalid"}
    assert refused(c2d, c2d.item(main, TX), {"meta": RAW}, error, additionalDatasets=additional)


@pytest.mark.parametrize("index", [1, 2])
@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"documentId": ""}, ".documentId", "missing"),
        ({"documentId": None}, ".documentId", "missing"),
        ({"transferTxId": ""}, ".transferTxId", "missing"),
        ({"serviceId": ""}, ".serviceId", "missing"),
        ({"documentId": UNKNOWN}, ".documentId", "did_not_found"),
        ({"serviceId": "nope"}, ".serviceId", "not_found"),
        ({"serviceId": 0}, ".serviceId", "not_found"),
        (None, ".documentId", "missing"),
    ],
)
def test_faults_of_additional_datasets_name_them(
    c2d: ComputeClient, main: Published, index: int, change: Json | None, field: str, code: str
) -> None:
    good = c2d.item(main, TX)
    bad = "no object" if change is None else {**good, **change}
    additional = [*[good] * (index - 1), bad]
    error = {f"datasets[{index}]{field}": code}
    assert refused(c2d, good, {"meta": RAW}, error, additionalDatasets=additional)


@pytest.mark.parametrize("change", [{"documentId": UNKNOWN}, {"serviceId": "nope"}], ids=["did", "service"])
def test_unknown_main_dataset_is_called_dataset(c2d: ComputeClient, main: Published, change: Json) -> None:
    error = {"dataset.documentId": "did_not_found"} if "documentId" in change else {"dataset.serviceId": "not_found"}
    assert refused(c2d, {**c2d.item(main, TX), **change}, {"meta": RAW}, error)
    quote = c2d.quote([{**c2d.item(main), **change}], {"meta": RAW}, environment=FREE)
    assert (quote.status, quote.json()) == (400, {"error": error})


@pytest.mark.parametrize("output", ["{broken", "text"])
def test_output_that_is_text_must_be_json(c2d: ComputeClient, main: Published, output: str) -> None:
    (tx,) = c2d.buy([main], None, environment=FREE)
    assert refused(c2d, c2d.item(main, tx), {"meta": RAW}, {"output": "invalid"}, output=output)


# Datasets


def test_service_must_be_of_a_known_type(c2d: ComputeClient, origin: Origin) -> None:
    asset = c2d.dataset(f"{origin.url}/data.csv", kind="wss")
    error = {"dataset.serviceId": "service_not_access_compute"}
    assert refused(c2d, c2d.item(asset, TX), {"meta": RAW}, error)


def test_main_dataset_must_be_a_compute_service(c2d: ComputeClient, origin: Origin) -> None:
    asset = c2d.dataset(f"{origin.url}/data.csv", kind="access")
    assert refused(c2d, c2d.item(asset, TX), {"meta": RAW}, {"dataset.serviceId": "main_service_compute"})


def test_compute_service_must_be_ours(c2d: ComputeClient, origin: Origin) -> None:
    asset = c2d.dataset(f"{origin.url}/data.csv")
    c2d.document(asset)["services"][0]["files"] = "0x00"
    error = {"dataset.serviceId": "compute_services_not_in_same_provider"}
    assert refused(c2d, c2d.item(asset, TX), {"meta": RAW}, error)


def test_dataset_must_be_consumable(c2d: ComputeClient, main: Published, origin: Origin) -> None:
    deny = {"credentials": {"deny": [{"type": "address", "values": [c2d.consumer.address]}]}}
    asset = c2d.dataset(f"{origin.url}/data.csv", change=deny)
    text = denied(asset, "CREDENTIAL_IN_DENY_LIST")
    assert refused(c2d, c2d.item(asset, TX), {"meta": RAW}, {"dataset": text})
    more = [c2d.item(asset, TX)]
    assert refused(c2d, c2d.item(main, TX), {"meta": RAW}, {"datasets[1]": text}, additionalDatasets=more)


def test_dataset_must_be_active_on_chain(c2d: ComputeClient, origin: Origin) -> None:
    asset = c2d.dataset(f"{origin.url}/data.csv")
    c2d.publisher.set_state(asset.data_nft, 3)
    assert refused(c2d, c2d.item(asset, TX), {"meta": RAW}, {"dataset": "Asset is not consumable."})


# Trust


@pytest.mark.parametrize(
    "compute",
    [
        {},
        {"allowRawAlgorithm": False},
        {"allowRawAlgorithm": "true"},
        {"allowRawAlgorithm": None},
        {"allowRawAlgorithm": 1},
    ],
    ids=str,
)
def test_raw_algorithm_needs_a_literal_true(c2d: ComputeClient, origin: Origin, compute: Json) -> None:
    asset = c2d.dataset(f"{origin.url}/data.csv", compute=compute)
    error = {"dataset": "no_raw_algo_allowed"}
    assert refused(c2d, c2d.item(asset, TX), {"meta": RAW}, error)
    assert c2d.quote([c2d.item(asset)], {"meta": RAW}, environment=FREE).json() == {"error": error}


def trusted(**entry: object) -> Json:
    return {"publisherTrustedAlgorithms": [{"did": "{algorithm}", **entry}]}


@pytest.mark.parametrize(
    ("compute", "code"),
    [
        ({"publisherTrustedAlgorithmPublishers": ["0x" + "12" * 20]}, "not_trusted_algo_publisher"),
        ({"publisherTrustedAlgorithms": [{"did": UNKNOWN}]}, "not_trusted_algo"),
        ({"publisherTrustedAlgorithms": [{"filesChecksum": "1"}]}, "no_publisherTrustedAlgorithms"),
        (trusted(filesChecksum="00"), "algorithm_file_checksum_mismatch"),
        (trusted(containerSectionChecksum="00"), "algorithm_container_checksum_mismatch"),
        (trusted(filesChecksum=CSV_SHA256, containerSectionChecksum="00"), "algorithm_container_checksum_mismatch"),
    ],
    ids=["publisher", "algorithm", "no did", "files", "container", "container with files"],
)
def test_algorithm_must_be_trusted(
    c2d: ComputeClient, origin: Origin, algorithm: Published, compute: Json, code: str
) -> None:
    asset = c2d.dataset(f"{origin.url}/data.csv", compute=named(compute, algorithm))
    assert refused(c2d, c2d.item(asset, TX), c2d.item(algorithm, TX), {"dataset": code})
    quote = c2d.quote([c2d.item(asset)], c2d.item(algorithm), environment=FREE)
    assert (quote.status, quote.json()) == (400, {"error": {"dataset": code}})


def named(compute: Json, algorithm: Published) -> Json:
    entries = compute.get("publisherTrustedAlgorithms", [])
    return {**compute, "publisherTrustedAlgorithms": [
        {**entry, "did": algorithm.did} if entry.get("did") == "{algorithm}" else entry for entry in entries
    ]}  # fmt: skip


@pytest.mark.parametrize(
    "compute",
    [
        {},
        trusted(),
        trusted(filesChecksum=CSV_SHA256.upper(), containerSectionChecksum=CONTAINER_SHA256),
        {"publisherTrustedAlgorithms": [{"did": "*"}]},
        {"publisherTrustedAlgorithmPublishers": ["*"]},
        {"publisherTrustedAlgorithmPublishers": ["{publisher}"]},
    ],
    ids=["empty lists", "did", "checksums", "any algorithm", "any publisher", "publisher in lower case"],
)
def test_trusted_algorithm_is_quoted(c2d: ComputeClient, origin: Origin, algorithm: Published, compute: Json) -> None:
    owner = c2d.publisher.wallet.address.lower()
    publishers = [
        owner if one == "{publisher}" else one for one in compute.get("publisherTrustedAlgorithmPublishers", [])
    ]
    given = {**named(compute, algorithm), "publisherTrustedAlgorithmPublishers": publishers}
    asset = c2d.dataset(f"{origin.url}/data.csv", compute=given)
    reply = c2d.quote([c2d.item(asset)], c2d.item(algorithm), environment=FREE)
    assert reply.status == 200, reply.body


def test_files_of_the_algorithm_are_read_only_when_a_checksum_is_demanded(
    c2d: ComputeClient, main: Published, origin: Origin
) -> None:
    """[K34]"""
    asset = c2d.algorithm(f"{origin.url}/bytes/77")
    assert c2d.quote([c2d.item(main)], c2d.item(asset), environment=FREE).status == 200
    assert not origin.requests("/bytes/77")


def test_checksum_that_cannot_be_computed_is_said(c2d: ComputeClient, origin: Origin) -> None:
    """One file is missing, the other longer than MAX_CHECKSUM_LENGTH."""
    for path in ("/missing", "/bytes/6000000"):
        asset = c2d.algorithm(origin.url + path)
        dataset = c2d.dataset(f"{origin.url}/data.csv", compute=named(trusted(filesChecksum="00"), asset))
        assert refused(c2d, c2d.item(dataset, TX), c2d.item(asset, TX), {"algorithm": "file_unavailable"})


# The algorithm


@pytest.mark.parametrize("given", [{"documentId": "", "meta": {}}, {"documentId": "", "meta": "{broken"}], ids=str)
def test_algorithm_must_be_named_or_given(c2d: ComputeClient, main: Published, given: Json) -> None:
    assert refused(c2d, c2d.item(main, TX), given, {"algorithm": "missing_meta_documentId"})


@pytest.mark.parametrize("change", [{"documentId": UNKNOWN}, {"serviceId": "nope"}], ids=["did", "service"])
def test_unknown_algorithm(c2d: ComputeClient, main: Published, algorithm: Published, change: Json) -> None:
    assert refused(c2d, c2d.item(main, TX), {**c2d.item(algorithm, TX), **change}, {"algorithm": "file_unavailable"})
    quote = c2d.quote([c2d.item(main)], {**c2d.item(algorithm), **change}, environment=FREE)
    told = {"algorithm": "did_not_found"} if "documentId" in change else {"algorithm.serviceId": "not_found"}
    assert (quote.status, quote.json()) == (400, {"error": told})


@pytest.mark.parametrize(
    ("kind", "code"), [("access", "file_unavailable"), ("compute", "compute_services_not_in_same_provider")]
)
def test_algorithm_must_be_opened_here(
    c2d: ComputeClient, main: Published, origin: Origin, kind: str, code: str
) -> None:
    asset = c2d.algorithm(f"{origin.url}/data.csv", kind=kind)
    c2d.document(asset)["services"][0]["files"] = "0x00"
    assert refused(c2d, c2d.item(main, TX), c2d.item(asset, TX), {"algorithm": code})


def test_dataset_is_no_algorithm(c2d: ComputeClient, main: Published) -> None:
    assert refused(c2d, c2d.item(main, TX), c2d.item(main, TX), {"algorithm": "not_algo"})
    quote = c2d.quote([c2d.item(main)], c2d.item(main), environment=FREE)
    assert (quote.status, quote.json()) == (400, {"error": "DID is not a valid algorithm"})


def test_algorithm_needs_a_service(c2d: ComputeClient, main: Published, algorithm: Published) -> None:
    given = {**c2d.item(algorithm, TX), "serviceId": ""}
    assert refused(c2d, c2d.item(main, TX), given, {"algorithm.serviceId": "missing"})


def test_algorithm_must_be_consumable_at_the_start(c2d: ComputeClient, main: Published, origin: Origin) -> None:
    asset = c2d.algorithm(f"{origin.url}/data.csv")
    c2d.document(asset)["credentials"] = {"allow": [{"type": "address", "values": ["0x" + "12" * 20]}]}
    text = denied(asset, "CREDENTIAL_NOT_IN_ALLOW_LIST")
    assert refused(c2d, c2d.item(main, TX), c2d.item(asset, TX), {"algorithm.credentials": text})
    assert c2d.quote([c2d.item(main)], c2d.item(asset), environment=FREE).status == 200


def test_raw_algorithm_must_say_where_its_code_is(c2d: ComputeClient, main: Published) -> None:
    meta = {"language": "js", "container": CONTAINER}
    assert refused(c2d, c2d.item(main, TX), {"meta": meta}, {"algorithm": "meta_oneof_url_rawcode_remote"})


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"image": ""}, "missing_entrypoint_image_checksum"),
        ({"checksum": None}, "missing_entrypoint_image_checksum"),
        ({"checksum": "md5:1"}, "checksum_prefix"),
    ],
)
def test_container_must_be_whole(c2d: ComputeClient, main: Published, origin: Origin, change: Json, code: str) -> None:
    container = {**CONTAINER, **change}
    error = {"algorithm.container": code}
    assert refused(c2d, c2d.item(main, TX), {"meta": {**RAW, "container": container}}, error)
    asset = c2d.algorithm(f"{origin.url}/data.csv", metadata={"algorithm": {"container": container}})
    assert refused(c2d, c2d.item(main, TX), c2d.item(asset, TX), error)


@pytest.fixture(scope="module")
def declaring(c2d: ComputeClient, origin: Origin) -> tuple[Published, Published]:
    """A dataset and an algorithm that declare `rows`, the algorithm `size` for its service as well."""
    rows, size = ({"name": name, "type": "number", "required": True} for name in ("rows", "size"))
    dataset = c2d.dataset(f"{origin.url}/data.csv")
    c2d.document(dataset)["services"][0]["consumerParameters"] = [rows]
    metadata = {"algorithm": {"container": CONTAINER, "consumerParameters": [rows]}}
    algorithm = c2d.algorithm(f"{origin.url}/data.csv", metadata=metadata)
    c2d.document(algorithm)["services"][0]["consumerParameters"] = [size]
    return dataset, algorithm


def test_declared_parameters_are_checked(c2d: ComputeClient, declaring: tuple[Published, Published]) -> None:
    """Parameters of services come as user data, those of the algorithm as custom data. The first refusal counts."""
    dataset, algorithm = declaring
    rows, size = {"rows": 3}, {"size": "4"}
    for userdata, given, field in (
        ({}, {"userdata": size, "algocustomdata": rows}, "dataset.userdata.rows"),
        (rows, {"algocustomdata": rows}, "algorithm.userdata.size"),
        (rows, {"algocustomdata": rows, "userdata": {"size": "large"}}, "algorithm.userdata.size"),
        (rows, {"algocustomdata": rows, "algouserdata": {**size, "more": 1}}, "algorithm.userdata.more"),
        (rows, {"userdata": size}, "algorithm.algocustomdata.rows"),
        (rows, {"algouserdata": size, "algocustomdata": {"rows": "many"}}, "algorithm.algocustomdata.rows"),
    ):
        named = c2d.item(algorithm, TX, **given)
        reply = c2d.start(c2d.item(dataset, TX, userdata=userdata), named, environment=FREE)
        assert (reply.status, list(reply.json()["errors"])) == (400, [field])
    # What fits is refused for its order only.
    good = c2d.item(algorithm, TX, userdata=size, algocustomdata=rows)
    assert refused(c2d, c2d.item(dataset, TX, userdata=rows), good, {"dataset.serviceId": "order_invalid"})


def test_declared_parameters_are_checked_before_anything_is_paid(
    c2d: ComputeClient, declaring: tuple[Published, Published]
) -> None:
    """Given values must fit at the quote. None have to be given yet."""
    dataset, algorithm = declaring

    def quote(data: object, **given: object) -> tuple[int, list[str]]:
        item = c2d.item(dataset, userdata=data)
        reply = c2d.quote([item], c2d.item(algorithm, **given), environment=FREE)
        return reply.status, list(reply.json().get("errors", ()))

    assert quote({"evil": 1}) == (400, ["dataset.userdata.rows", "dataset.userdata.evil"])
    assert quote('{"rows": "abc"}') == (400, ["dataset.userdata.rows"])
    assert quote(None, userdata={"size": "large"}) == (400, ["algorithm.userdata.size"])
    assert quote(None, algouserdata={"size": 4, "more": 1}) == (400, ["algorithm.userdata.more"])
    assert quote(None, algocustomdata={"rows": []}) == (400, ["algorithm.algocustomdata.rows"])
    for data, given in ((None, {}), ({}, {}), ("", {}), ({"rows": 3}, {"userdata": {"size": 4}})):
        assert quote(data, **given) == (200, [])
    more = c2d.item(dataset, userdata={"rows": "abc"})
    reply = c2d.quote([c2d.item(dataset), more], {"meta": RAW}, environment=FREE)
    assert (reply.status, list(reply.json()["errors"])) == (400, ["datasets[1].userdata.rows"])


@pytest.mark.parametrize(
    "userdata", [{"big": 1 << 70}, json.loads("[" * 300 + "]" * 300)], ids=["number beyond 64 bits", "nested deeply"]
)
def test_user_data_that_cannot_be_passed_on_are_refused(c2d: ComputeClient, main: Published, userdata: object) -> None:
    (tx,) = c2d.buy([main], None, environment=FREE)
    reply = c2d.start(c2d.item(main, tx, userdata=userdata), {"meta": RAW}, environment=FREE)
    assert (reply.status, reply.json()) == (400, {"error": "The request is not valid."})


@pytest.mark.parametrize("name", ["jobId", "documentId"])
def test_endless_names_are_refused(c2d: ComputeClient, name: str) -> None:
    body = {"consumerAddress": c2d.consumer.address, name: "x" * 100_000}
    reply = c2d.send("GET", "compute", body)
    assert (reply.status, reply.json()["errors"]) == (400, {name: [f"The {name} is too long."]})


# Orders and fees


def test_order_of_the_dataset_must_be_valid(c2d: ComputeClient, main: Published) -> None:
    for tx in (TX, "nonsense"):
        assert refused(c2d, c2d.item(main, tx), {"meta": RAW}, {"dataset.serviceId": "order_invalid"})


def test_order_of_the_algorithm_must_be_valid(c2d: ComputeClient, main: Published, algorithm: Published) -> None:
    (tx,) = c2d.buy([main], None, environment=FREE)
    error = {"algorithm": "in_use_or_not_on_chain"}
    for algorithm_tx in (TX, "", tx):
        given = {**c2d.item(algorithm), "transferTxId": algorithm_tx}
        assert refused(c2d, c2d.item(main, tx), given, error)
    assert refused(c2d, c2d.item(main, tx), {**c2d.item(algorithm, TX), "meta": RAW}, error), "[K21]"


def test_orders_are_for_one_environment(c2d: ComputeClient, main: Published, algorithm: Published) -> None:
    """[K21]: that of the algorithm too."""
    here, there = (c2d.buy([main], algorithm, environment=one) for one in (FREE, PRICED))
    error = {"dataset.serviceId": "order_invalid"}
    assert refused(c2d, c2d.item(main, there[0]), c2d.item(algorithm, here[1]), error)
    error = {"algorithm": "in_use_or_not_on_chain"}
    assert refused(c2d, c2d.item(main, here[0]), c2d.item(algorithm, there[1]), error)


def test_order_must_be_the_consumers(c2d: ComputeClient, main: Published, stranger: Consumer) -> None:
    (tx,) = c2d.buy([main], None, environment=FREE)
    thief = ComputeClient(c2d.chain, c2d.server, c2d.operator, c2d.publisher, Consumer(stranger.wallet, c2d.server.url))
    assert refused(thief, thief.item(main, tx), {"meta": RAW}, {"dataset.serviceId": "order_invalid"})


def test_order_whose_time_is_over_is_refused(
    c2d: ComputeClient, main: Published, signed_fee: Callable[..., Json]
) -> None:
    now = time.time()
    fee = signed_fee(
        main.datatokens[0], main.service()["id"], environment=FREE, valid_until=int(now) - 200, timestamp=now - 5
    )
    c2d.publisher.mint(main.datatokens[0], c2d.consumer.address)
    tx = c2d.consumer.order(main, fee=fee, consumer=ENVIRONMENT_ADDRESS)
    assert refused(c2d, c2d.item(main, tx), {"meta": RAW}, {"dataset.serviceId": "order_invalid"})


def forge_asset(c2d: ComputeClient, url: str, signed_fee: Callable[..., Json]) -> tuple[Published, str]:
    """A data NFT of the consumer's own making that is its own datatoken, and its "order" of an hour of PRICED.

    It calls itself active and says yes to `isDeployed`; its events are what a real order emits, but nobody paid.
    """
    wallet, now = c2d.consumer.wallet, int(time.time())
    count = wallet.w3.eth.get_transaction_count(wallet.address)  # type: ignore[arg-type]
    forged = to_checksum_address(keccak(rlp.encode([bytes.fromhex(wallet.address[2:]), count]))[12:])
    files = c2d.publisher.encrypt(files_document(forged, forged, [url_file(url)]))
    service = service_entry(forged, files, c2d.server.url, type="compute", compute={"allowRawAlgorithm": True})
    ddo = build_ddo(forged, wallet.chain_id, [service])
    fee = signed_fee(forged, service["id"], environment=PRICED, amount=3600 * PRICE_WEI // 60, valid_until=now + 3600)
    bought = forge.order_started(ENVIRONMENT_ADDRESS, payer=wallet.address, service_index=0, timestamp=now)
    events = forge.assemble([forge.provider_fee(fee_tuple(fee)), bought])
    receipt = wallet.send({"data": events[:-1] + LEAVE_CODE})
    assert receipt["contractAddress"] == forged
    asset = Published(ddo["id"], wallet.chain_id, forged, (forged,), ddo, b"", tx_id(receipt))
    c2d.publisher.store.put(asset, owner=wallet.address)
    return asset, tx_id(receipt)


def test_fee_of_a_contract_that_is_not_the_factorys_pays_nothing(
    c2d: ComputeClient, origin: Origin, signed_fee: Callable[..., Json]
) -> None:
    """Our signature is on the fee, and no token ever moved."""
    asset, tx = forge_asset(c2d, f"{origin.url}/data.csv", signed_fee)
    pod = Consumer(c2d.chain.wallet(ENVIRONMENT_KEY), c2d.server.url)
    assert pod.download(asset, tx).status == 200, "in all that a download looks at the order is a good one"
    error = {"dataset.serviceId": "order_invalid"}
    assert refused(c2d, c2d.item(asset, tx), {"meta": RAW}, error, environment=PRICED)
    (offer,) = c2d.quote([c2d.item(asset, tx)], {"meta": RAW}, environment=PRICED, seconds=600).json()["datasets"]
    assert "validOrder" not in offer
    assert int(offer["providerFee"]["providerFeeAmount"]) > 0


def test_somebody_must_pay(c2d: ComputeClient, main: Published, origin: Origin) -> None:
    """The second dataset's own order is good, but it was the first one that paid."""
    second = c2d.dataset(f"{origin.url}/data.csv")
    _, tx = c2d.buy([main, second], None, environment=PRICED)
    error = {"order": "fees_not_paid"}
    assert refused(c2d, c2d.item(second, tx), {"meta": RAW}, error, environment=PRICED)
    (offer,) = c2d.quote([c2d.item(second, tx)], {"meta": RAW}, environment=PRICED).json()["datasets"]
    assert offer["validOrder"] == tx
    assert int(offer["providerFee"]["providerFeeAmount"]) > 0


def test_unknown_environment(c2d: ComputeClient, main: Published) -> None:
    reply = c2d.start(c2d.item(main, TX), {"meta": RAW}, environment="nowhere")
    assert (reply.status, reply.json()) == (400, {"error": "Compute environment does not exist"})
    quote = c2d.quote([c2d.item(main)], {"meta": RAW}, environment="nowhere")
    assert (quote.status, quote.json()) == (400, {"error": "Compute environment does not exist"})


# Fields


@pytest.mark.parametrize("end", [1, "1000000000", 10**30])
def test_end_must_lie_in_the_future(c2d: ComputeClient, main: Published, end: object) -> None:
    reply = c2d.quote([c2d.item(main)], {"meta": RAW}, environment=FREE, end=end)
    assert (reply.status, reply.json()) == (400, {"error": "The validUntil value is not correct."})


@pytest.mark.parametrize(
    ("change", "errors"),
    [
        (
            {"compute": {"env": FREE, "validUntil": "soon"}},
            {"compute.validUntil": ["The compute.validUntil must be an integer."]},
        ),
        ({"compute": {"validUntil": 2_000_000_000}}, {"compute.env": ["The compute.env field is required."]}),
        ({"datasets": []}, {"datasets": ["The datasets field is required."]}),
        ({"datasets": {"documentId": "x"}}, {"datasets": ["The datasets must be a list of at most 50 items."]}),
        ({"consumerAddress": ""}, {"consumerAddress": ["The consumerAddress field is required."]}),
        (
            {"algorithm": {"serviceId": "1", "transferTxId": "2"}},
            {
                "algorithm.documentId": [
                    "The algorithm.documentId field is required when algorithm.meta is not present.",
                    "The algorithm.documentId field is required when "
                    "algorithm.serviceId, algorithm.transferTxId are present.",
                ],
                "algorithm.meta": ["The algorithm.meta field is required when algorithm.documentId is not present."],
            },
        ),
    ],
    ids=["end", "environment", "no datasets", "datasets", "consumer", "algorithm"],
)
def test_fields_of_a_quote_are_checked(c2d: ComputeClient, main: Published, change: Json, errors: Json) -> None:
    body = {
        "datasets": [c2d.item(main)],
        "algorithm": {"meta": RAW},
        "compute": {"env": FREE, "validUntil": 2_000_000_000},
        "consumerAddress": c2d.consumer.address,
        **change,
    }
    reply = c2d.send("POST", "initializeCompute", body)
    assert (reply.status, reply.json()["errors"]) == (400, errors)


def test_first_missing_field_of_a_start_ends_the_check(c2d: ComputeClient) -> None:
    """ocean.py's tests match this text."""
    reply = c2d.send("POST", "compute", {})
    assert reply.json()["errors"] == {"dataset.documentId": ["The dataset.documentId field is required."]}


def test_start_must_be_signed_over_the_dataset(c2d: ComputeClient, main: Published, algorithm: Published) -> None:
    signed = c2d.start_body(c2d.item(algorithm, TX), {"meta": RAW}, environment=FREE)
    body = {**signed, "dataset": c2d.item(main, TX)}
    reply = c2d.send("POST", "compute", body)
    assert (reply.status, list(reply.json()["errors"])) == (400, ["signature"])
