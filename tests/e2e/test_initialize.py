"""GET initialize: the fee quote (checked with eth_account and by the real contract), valid orders, refusals."""

import json

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_utils import keccak

from provider.testing.chain.keys import PROVIDER_KEY, SPARE_KEYS
from provider.testing.http_client import Reply, request, with_query
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, url_file
from provider.testing.stage import DemoChain, DemoServer
from tests.e2e.conftest import LaunchServer
from tests.support.metadata_store import MetadataStore, StoringPublisher
from tests.support.origin import Origin, wait_until

PROVIDER = Account.from_key(PROVIDER_KEY).address


def ask(server: DemoServer, asset: Published, consumer: Consumer, **more: object) -> Reply:
    parameters = {
        "documentId": asset.did,
        "serviceId": asset.service()["id"],
        "consumerAddress": consumer.address,
        **more,
    }
    return request("GET", with_query(f"{server.url}/api/services/initialize", parameters))


def refused(reply: Reply, text: str) -> bool:
    assert (reply.status, reply.json()) == (400, {"error": f"Provider Ganache: {text}"})
    return True


@pytest.fixture
def fresh(publisher: StoringPublisher, origin: Origin) -> Published:
    """An asset that no server has seen; tests may change what the store says of it."""
    return publisher.publish([url_file(f"{origin.url}/data.csv")])


# The quote


def test_quote_has_exactly_the_documented_shape(
    chain: DemoChain, server: DemoServer, bought: tuple[Published, str], consumer: Consumer
) -> None:
    asset = bought[0]
    reply = ask(server, asset, consumer)
    assert reply.status == 200
    quote = reply.json()
    assert quote.keys() == {"datatoken", "nonce", "providerFee"}
    assert quote["datatoken"] == asset.datatokens[0]
    fee = quote["providerFee"]
    assert fee.keys() == {
        "providerFeeAddress", "providerFeeToken", "providerFeeAmount", "providerData", "v", "r", "s", "validUntil"
    }  # fmt: skip
    assert fee["providerFeeAddress"] == PROVIDER
    assert fee["providerFeeToken"] == chain.contracts.ocean
    assert (fee["providerFeeAmount"], fee["validUntil"]) == ("0", 0)
    assert fee["v"] in (27, 28)
    assert (len(fee["r"]), len(fee["s"])) == (66, 66)
    data = bytes.fromhex(fee["providerData"][2:]).decode()
    fields = json.loads(data)
    assert list(fields) == ["environment", "timestamp", "dt", "id"]
    assert (fields["environment"], fields["dt"], fields["id"]) == (None, asset.datatokens[0], asset.service()["id"])
    assert isinstance(fields["timestamp"], float)
    assert data == json.dumps(fields, separators=(",", ":"))


def test_fee_is_signed_by_the_provider_as_eth_account_sees_it(
    server: DemoServer, bought: tuple[Published, str], consumer: Consumer
) -> None:
    fee = ask(server, bought[0], consumer).json()["providerFee"]
    packed = bytes.fromhex(fee["providerData"][2:])
    packed += bytes.fromhex(fee["providerFeeAddress"][2:] + fee["providerFeeToken"][2:])
    packed += int(fee["providerFeeAmount"]).to_bytes(32, "big") + fee["validUntil"].to_bytes(32, "big")
    vrs = (fee["v"], int(fee["r"], 16), int(fee["s"], 16))
    assert Account.recover_message(encode_defunct(primitive=keccak(packed)), vrs=vrs) == PROVIDER


def test_contract_takes_the_fee(
    server: DemoServer, publisher: StoringPublisher, bought: tuple[Published, str], consumer: Consumer
) -> None:
    """`startOrder` checks the signature on chain; a changed amount makes it revert (test_local_chain.py)."""
    asset = bought[0]
    publisher.mint(asset.datatokens[0], consumer.address)
    tx = consumer.order(asset, fee=ask(server, asset, consumer).json()["providerFee"])
    assert ask(server, asset, consumer, transferTxId=tx).json() == {"validOrder": tx}


def test_nonce_is_null_until_one_was_used(
    chain: DemoChain, server: DemoServer, bought: tuple[Published, str], consumer: Consumer
) -> None:
    newcomer = Consumer(chain.wallet(SPARE_KEYS[9]), server.url)
    assert ask(server, bought[0], newcomer).json()["nonce"] is None
    assert consumer.download(*bought, nonce=(nonce := consumer.next_nonce())).status == 200
    assert ask(server, bought[0], consumer).json()["nonce"] == nonce


def test_parameters_of_compute_are_ignored(
    server: DemoServer, bought: tuple[Published, str], consumer: Consumer
) -> None:
    reply = ask(server, bought[0], consumer, environment="x", validUntil="soon", userdata="{broken")
    assert reply.json()["providerFee"]["validUntil"] == 0


# Orders


def test_valid_order_needs_nothing_more(server: DemoServer, bought: tuple[Published, str], consumer: Consumer) -> None:
    asset, tx = bought
    for given in (tx, tx[2:], tx.upper().replace("0X", "0x")):
        assert ask(server, asset, consumer, transferTxId=given, fileIndex=99).json() == {"validOrder": tx}


def test_reused_order_names_the_first_transaction(
    server: DemoServer, bought: tuple[Published, str], consumer: Consumer
) -> None:
    asset, tx = bought
    reused = consumer.reuse_order(asset, tx)
    assert ask(server, asset, consumer, transferTxId=reused).json() == {"validOrder": tx}


@pytest.mark.parametrize("tx", ["0x" + "ab" * 32, "0x12", "no hex", "x" * 10_000, "\u20ac"], ids=lambda tx: tx[:6])
def test_bad_order_is_passed_over(
    server: DemoServer, bought: tuple[Published, str], consumer: Consumer, tx: str
) -> None:
    assert "providerFee" in ask(server, bought[0], consumer, transferTxId=tx).json()


def test_order_of_somebody_else_is_passed_over(
    server: DemoServer, bought: tuple[Published, str], stranger: Consumer
) -> None:
    assert "providerFee" in ask(server, bought[0], stranger, transferTxId=bought[1]).json()


# Files


@pytest.mark.parametrize("index", ["0", "1", "01"])
def test_file_that_answers_is_fine(
    server: DemoServer, bought: tuple[Published, str], consumer: Consumer, index: str
) -> None:
    assert ask(server, bought[0], consumer, fileIndex=index).status == 200


def test_file_index_beyond_the_list_is_refused(
    server: DemoServer, bought: tuple[Published, str], consumer: Consumer
) -> None:
    assert refused(ask(server, bought[0], consumer, fileIndex=2), "No such fileIndex 2")


@pytest.mark.parametrize("index", ["-1", "1.0", "x", "nan", "\u0661", "1e3", "0x0", "9" * 10_000], ids=lambda i: i[:6])
def test_file_index_must_be_an_integer(
    server: DemoServer, bought: tuple[Published, str], consumer: Consumer, index: str
) -> None:
    reply = ask(server, bought[0], consumer, fileIndex=index)
    assert (reply.status, list(reply.json()["errors"])) == (400, ["fileIndex"])
    assert "The fileIndex must be an integer." in reply.json()["errors"]["fileIndex"]


@pytest.mark.parametrize("path", ["/missing", "/status/500", "/loop"])
def test_file_that_does_not_answer_is_refused(
    server: DemoServer, publisher: StoringPublisher, consumer: Consumer, origin: Origin, path: str
) -> None:
    asset = publisher.publish([url_file(origin.url + path)])
    assert refused(ask(server, asset, consumer, fileIndex=0), "Asset URL not found, not available or invalid.")


def test_file_object_message_is_told(server: DemoServer, publisher: StoringPublisher, consumer: Consumer) -> None:
    asset = publisher.publish([{"type": "url", "url": "http://x/y", "method": "delete"}])
    assert refused(ask(server, asset, consumer, fileIndex=0), "Unsafe method delete.")


# Whether the asset may be consumed


@pytest.mark.parametrize("state", range(6))
def test_state_on_chain_decides(
    server: DemoServer, publisher: StoringPublisher, consumer: Consumer, fresh: Published, state: int
) -> None:
    publisher.set_state(fresh.data_nft, state)
    reply = ask(server, fresh, consumer)
    if state in (0, 5):
        assert reply.status == 200
    else:
        assert refused(reply, "Asset is not consumable.")


def denied(asset: Published, code: str) -> str:
    return f"Error: Access to asset {asset.did} was denied with code: ConsumableCodes.{code}."


@pytest.mark.parametrize("state", [1, 2, 3, 4, 6])
def test_state_of_the_metadata_store_decides_too(
    server: DemoServer, metadata_store: MetadataStore, consumer: Consumer, fresh: Published, state: int
) -> None:
    metadata_store.documents[fresh.did]["nft"]["state"] = state
    assert refused(ask(server, fresh, consumer), denied(fresh, "ASSET_DISABLED"))


@pytest.mark.parametrize(
    ("credentials", "code"),
    [
        ({"deny": [{"type": "address", "values": ["{me}"]}]}, "CREDENTIAL_IN_DENY_LIST"),
        ({"deny": [{"type": "address", "values": ["*"]}]}, "CREDENTIAL_IN_DENY_LIST"),
        (
            {"allow": [{"type": "address", "values": ["{me}"]}], "deny": [{"type": "address", "values": ["{me}"]}]},
            "CREDENTIAL_IN_DENY_LIST",
        ),
        ({"allow": [{"type": "address", "values": ["{other}"]}]}, "CREDENTIAL_NOT_IN_ALLOW_LIST"),
        ({"allow": [{"type": "unheard-of", "values": ["{me}"]}]}, "CREDENTIAL_NOT_IN_ALLOW_LIST"),
        ({"allow": "nonsense"}, "CREDENTIAL_NOT_IN_ALLOW_LIST"),
        ({"allow": [{"type": "address", "values": ["{me}"]}]}, None),
        ({"allow": [{"type": "address", "values": ["*"]}]}, None),
        ({"allow": [], "deny": [{"type": "address", "values": ["{other}"]}]}, None),
        ({}, None),
    ],
    ids=str,
)
def test_credentials_decide(
    server: DemoServer,
    publisher: StoringPublisher,
    consumer: Consumer,
    stranger: Consumer,
    origin: Origin,
    credentials: object,
    code: str | None,
) -> None:
    """[K19]; addresses are compared without case."""
    text = json.dumps(credentials).replace("{me}", consumer.address.lower()).replace("{other}", stranger.address)
    asset = publisher.publish([url_file(f"{origin.url}/data.csv")], credentials=json.loads(text))
    reply = ask(server, asset, consumer)
    assert reply.status == 200 if code is None else refused(reply, denied(asset, code))


def test_compute_services_have_their_own_endpoint(
    server: DemoServer, metadata_store: MetadataStore, consumer: Consumer, fresh: Published
) -> None:
    metadata_store.documents[fresh.did]["services"][0]["type"] = "compute"
    text = "Use the initializeCompute endpoint to initialize compute jobs."
    assert refused(ask(server, fresh, consumer), text)


def test_unknown_service_is_refused(server: DemoServer, bought: tuple[Published, str], consumer: Consumer) -> None:
    assert refused(ask(server, bought[0], consumer, serviceId="nope"), "Invalid serviceId.")


def test_asset_without_nft_is_malformed(
    server: DemoServer, metadata_store: MetadataStore, consumer: Consumer, fresh: Published
) -> None:
    del metadata_store.documents[fresh.did]["nft"]
    assert refused(ask(server, fresh, consumer), "Asset malformed or disabled.")


@pytest.mark.parametrize(
    "change",
    [
        {"nftAddress": "0x" + "12" * 20},
        {"chainId": 1},
        {"chainId": "x"},
        {"id": "did:op:" + "0" * 64},
        {"services": "none"},
        {"nftAddress": None},
    ],
    ids=str,
)
def test_document_that_is_not_bound_to_its_did_is_refused(
    server: DemoServer, metadata_store: MetadataStore, consumer: Consumer, fresh: Published, change: dict[str, object]
) -> None:
    """[K18]"""
    metadata_store.documents[fresh.did] |= change
    reply = ask(server, fresh, consumer)
    assert reply.status == 400
    assert "Asset malformed or disabled." in reply.error_text()


def test_unknown_asset_is_refused(server: DemoServer, bought: tuple[Published, str], consumer: Consumer) -> None:
    reply = ask(server, bought[0], consumer, documentId="did:op:" + "0" * 64)
    assert (reply.status, reply.json()) == (400, {"error": "Cannot resolve DID"})


def test_unreachable_metadata_store_is_503_and_no_missing_asset(
    launch: LaunchServer, bought: tuple[Published, str], consumer: Consumer
) -> None:
    own = launch(wait=False, AQUARIUS_URL="http://127.0.0.1:9/planted-path")

    def listens() -> bool:
        try:
            return request("GET", own.url).status == 200
        except OSError:
            return False

    wait_until(listens)
    reply = ask(own, bought[0], consumer)
    text = "The metadata store cannot be reached, please try again later."
    assert (reply.status, reply.json()) == (503, {"error": text})
    ready = request("GET", f"{own.admin_url}/readyz")
    assert ready.status == 503
    # The operator is told more, but no address either.
    assert ready.json()["checks"]["metadata"].startswith(text)
    assert b"planted" not in ready.body
    assert "planted" not in own.child.stderr_tail(1 << 20)


# Fields


@pytest.mark.parametrize("name", ["documentId", "serviceId", "consumerAddress"])
@pytest.mark.parametrize("value", [None, ""], ids=["absent", "empty"])
def test_each_missing_field_is_named(
    server: DemoServer, bought: tuple[Published, str], consumer: Consumer, name: str, value: str | None
) -> None:
    reply = ask(server, bought[0], consumer, **{name: value})
    assert (reply.status, reply.json()["errors"]) == (400, {name: [f"The {name} field is required."]})


def test_all_missing_fields_are_named_at_once(server: DemoServer) -> None:
    reply = request("GET", f"{server.url}/api/services/initialize")
    assert list(reply.json()["errors"]) == ["documentId", "serviceId", "consumerAddress"]


@pytest.mark.parametrize("address", ["0x12", "nonsense", "0x" + "z" * 40, "9" * 10_000])
def test_malformed_consumer_is_400(
    server: DemoServer, bought: tuple[Published, str], consumer: Consumer, address: str
) -> None:
    reply = ask(server, bought[0], consumer, consumerAddress=address)
    assert (reply.status, list(reply.json()["errors"])) == (400, ["consumerAddress"])


@pytest.mark.parametrize("timeout", [None, -1, "soon"], ids=str)
def test_service_whose_orders_could_never_be_valid_is_not_quoted(
    server: DemoServer,
    publisher: StoringPublisher,
    metadata_store: MetadataStore,
    consumer: Consumer,
    origin: Origin,
    timeout: object,
) -> None:
    asset = publisher.publish([url_file(f"{origin.url}/data.csv")])
    metadata_store.documents[asset.did]["services"][0]["timeout"] = timeout
    parameters = {
        "documentId": asset.did,
        "serviceId": asset.service()["id"],
        "consumerAddress": consumer.address,
    }
    reply = request("GET", with_query(f"{server.url}/api/services/initialize", parameters))
    text = "Provider Ganache: The service cannot be used: its timeout in the DDO is missing or malformed."
    assert (reply.status, reply.json()) == (400, {"error": text})


def test_what_publishers_write_in_other_ways_is_understood(
    server: DemoServer,
    publisher: StoringPublisher,
    metadata_store: MetadataStore,
    consumer: Consumer,
    origin: Origin,
) -> None:
    """No state from the store, empty credentials, a number for the version, hex for the chain."""
    asset = publisher.publish([url_file(f"{origin.url}/data.csv")])
    document = metadata_store.documents[asset.did]
    del document["nft"]["state"]
    document.update(credentials=[], version=4.1, chainId=hex(document["chainId"]))
    document["services"][0]["credentials"] = {"allow": {}, "deny": {}}
    parameters = {
        "documentId": asset.did,
        "serviceId": asset.service()["id"],
        "consumerAddress": consumer.address,
        "fileIndex": 0,
    }
    reply = request("GET", with_query(f"{server.url}/api/services/initialize", parameters))
    assert (reply.status, reply.json().keys()) == (200, {"datatoken", "nonce", "providerFee"}), reply.body
