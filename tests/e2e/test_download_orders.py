"""GET download: orders good and bad, who may consume, and the fields of the request."""

import json
import time
from collections.abc import Callable

import pytest

from provider.testing.chain.keys import CONSUMER_KEY
from provider.testing.chain.wallet import TransactionReverted
from provider.testing.http_client import request, with_query
from provider.testing.market import forge
from provider.testing.market.consumer import Consumer, fee_tuple
from provider.testing.market.publisher import Published, url_file
from provider.testing.stage import DemoChain, DemoServer
from tests.support.downloads import ask, order_refusal, refused
from tests.support.metadata_store import MetadataStore, StoringPublisher
from tests.support.origin import CSV, Origin

pytestmark = pytest.mark.usefixtures("log_holds_no_secret")


# Orders


def test_order_of_somebody_else_is_refused(stranger: Consumer, bought: tuple[Published, str]) -> None:
    reason = "sender of order transaction is not the consumer/payer."
    assert refused(ask(stranger, *bought), order_refusal(bought[1], reason))


def test_payer_and_consumer_may_both_download(
    consumer: Consumer, stranger: Consumer, publisher: StoringPublisher, origin: Origin
) -> None:
    asset = publisher.publish([url_file(f"{origin.url}/data.csv")])
    publisher.mint(asset.datatokens[0], consumer.address)
    tx = consumer.order(asset, consumer=stranger.address)
    for who in (consumer, stranger):
        assert ask(who, asset, tx).body == CSV


def test_orders_of_one_transaction_all_count(
    chain: DemoChain, consumer: Consumer, publisher: StoringPublisher, origin: Origin
) -> None:
    """The payer on chain is then the factory."""
    file = url_file(f"{origin.url}/data.csv")
    asset = publisher.publish([file], [file])
    for datatoken in asset.datatokens:
        publisher.mint(datatoken, consumer.address)
    tx = consumer.order_many(chain.contracts.factory, [(asset, 0), (asset, 1)])
    for index in (0, 1):
        assert ask(consumer, asset, tx, index=index).body == CSV


@pytest.mark.parametrize("form", ["bare", "upper case"])
def test_transaction_id_is_taken_in_any_form(consumer: Consumer, bought: tuple[Published, str], form: str) -> None:
    asset, tx = bought
    assert ask(consumer, asset, tx[2:] if form == "bare" else "0x" + tx[2:].upper()).body == CSV


def test_order_expires_with_the_timeout_of_the_service(
    chain: DemoChain, consumer: Consumer, publisher: StoringPublisher, origin: Origin
) -> None:
    file = url_file(f"{origin.url}/data.csv")
    hourly, forever = publisher.publish([file], timeout_seconds=3600), publisher.publish([file], timeout_seconds=0)
    orders = {}
    with chain.clock_shifted(-7200):
        for asset in (hourly, forever):
            publisher.mint(asset.datatokens[0], consumer.address)
            orders[asset.did] = consumer.order(asset)
    assert ask(consumer, forever, orders[forever.did]).body == CSV
    got = ask(consumer, hourly, orders[hourly.did])
    assert got.status == 400
    text = order_refusal(orders[hourly.did], "The order has expired. current timestamp=")
    assert got.error_text().startswith(text)
    assert got.error_text().endswith("service timeout=3600")
    publisher.mint(hourly.datatokens[0], consumer.address)
    assert ask(consumer, hourly, consumer.order(hourly)).body == CSV


def test_reuse_renews_the_fee_but_never_the_order(
    chain: DemoChain, consumer: Consumer, stranger: Consumer, publisher: StoringPublisher, origin: Origin
) -> None:
    """[K3] An expired order stays expired, whoever reuses it; a live one goes on with the new transaction."""
    asset = publisher.publish([url_file(f"{origin.url}/data.csv")], timeout_seconds=3600)
    publisher.mint(asset.datatokens[0], consumer.address, 2 * 10**18)
    with chain.clock_shifted(-7200):
        old = consumer.order(asset)
    live = consumer.order(asset)
    for who in (consumer, stranger):
        reused = who.reuse_order(asset, old)
        assert "The order has expired." in ask(consumer, asset, reused).error_text()
    assert ask(consumer, asset, consumer.reuse_order(asset, live)).body == CSV
    reason = "sender of order transaction is not the consumer/payer."
    by_stranger = stranger.reuse_order(asset, live)
    assert refused(ask(stranger, asset, by_stranger), order_refusal(by_stranger, reason))


def test_reuse_of_nothing_is_no_order(
    consumer: Consumer, bought: tuple[Published, str], publisher: StoringPublisher
) -> None:
    asset, _ = bought
    for named in ("0x" + "ab" * 32, publisher.mint(asset.datatokens[0], consumer.address)):
        reused = consumer.reuse_order(asset, named)
        reason = f"Cannot find the event for the order transaction with tx id {reused}."
        assert refused(ask(consumer, asset, reused), order_refusal(reused, reason))


def test_failed_order_is_refused(stranger: Consumer, bought: tuple[Published, str]) -> None:
    with pytest.raises(TransactionReverted) as reverted:
        stranger.order(bought[0])  # has no datatoken to pay with
    tx = reverted.value.tx_id
    assert refused(ask(stranger, bought[0], tx), order_refusal(tx, "order transaction failed."))


def test_unknown_transaction_is_refused_within_bounds(consumer: Consumer, bought: tuple[Published, str]) -> None:
    tx = "0x" + "cd" * 32
    reason = f"Transaction with tx id {tx} was not found, it may not be confirmed yet."
    assert refused(ask(consumer, bought[0], tx), order_refusal(tx, reason))


@pytest.mark.parametrize(
    "tx", ["0x", "0x12", "no hex", "0x" + "g" * 64, "0x" + "1" * 10_000, "\u0661" * 64], ids=lambda t: t[:6]
)
def test_transaction_ids_that_are_none_are_refused(consumer: Consumer, bought: tuple[Published, str], tx: str) -> None:
    got = ask(consumer, bought[0], tx)
    assert got.status == 400
    assert got.error_text() == "Provider Ganache: The transaction id is not 32 bytes of hex."


def test_forged_events_open_nothing(consumer: Consumer, bought: tuple[Published, str], origin: Origin) -> None:
    """[K1] A contract of the attacker repeats a genuine quote and an OrderStarted."""
    asset, real_tx = bought
    fee = forge.provider_fee(fee_tuple(consumer.initialize(asset)["providerFee"]))
    me = consumer.address
    started = forge.order_started(me, payer=me, service_index=0, timestamp=int(time.time()))
    reused = forge.order_reused(real_tx, caller=me, timestamp=int(time.time()))
    before = len(origin.seen)
    for steps in ([fee, started], [started, fee], [fee, reused], [fee], [started]):
        tx, _ = forge.emit(consumer.wallet, steps)
        reason = f"Cannot find the event for the provider fee in tx id {tx}."
        assert refused(ask(consumer, asset, tx), order_refusal(tx, reason))
    assert len(origin.seen) == before


def test_order_of_another_service_or_datatoken_is_refused(
    consumer: Consumer, publisher: StoringPublisher, bought: tuple[Published, str], origin: Origin
) -> None:
    file = url_file(f"{origin.url}/data.csv")
    asset = publisher.publish([file], [file])
    publisher.mint(asset.datatokens[0], consumer.address, 2 * 10**18)
    tx = consumer.order(asset, 0)
    assert ask(consumer, asset, tx).body == CSV
    for other, order, index in ((asset, tx, 1), (asset, bought[1], 0), (bought[0], tx, 0)):
        reason = f"Cannot find the event for the provider fee in tx id {order}."
        assert refused(ask(consumer, other, order, index=index), order_refusal(order, reason))


@pytest.mark.parametrize("change", ["other key", "other service id", "other datatoken"])
def test_fee_of_another_quote_is_refused(
    chain: DemoChain,
    consumer: Consumer,
    publisher: StoringPublisher,
    bought: tuple[Published, str],
    signed_fee: Callable[..., dict[str, object]],
    change: str,
) -> None:
    asset, _ = bought
    datatoken, service_id = asset.datatokens[0], asset.service()["id"]
    fee = {
        "other key": lambda: signed_fee(datatoken, service_id, key=CONSUMER_KEY),
        "other service id": lambda: signed_fee(datatoken, "another"),
        "other datatoken": lambda: signed_fee("0x" + "12" * 20, service_id),
    }[change]()
    publisher.mint(datatoken, consumer.address)
    tx = consumer.order(asset, fee=fee)
    got = ask(consumer, asset, tx)
    assert got.status == 400
    expected = "does not match the provider address" if change == "other key" else "provider fee in tx id"
    assert expected in got.error_text()


# Whether the asset may be consumed


@pytest.mark.parametrize("state", range(6))
def test_state_of_the_nft_decides(
    consumer: Consumer,
    publisher: StoringPublisher,
    signed_fee: Callable[..., dict[str, object]],
    origin: Origin,
    state: int,
) -> None:
    asset = publisher.publish([url_file(f"{origin.url}/data.csv")])
    publisher.mint(asset.datatokens[0], consumer.address)
    tx = consumer.order(asset, fee=signed_fee(asset.datatokens[0], asset.service()["id"]))
    publisher.set_state(asset.data_nft, state)
    got = ask(consumer, asset, tx)
    assert got.body == CSV if state in (0, 5) else refused(got, "Provider Ganache: Asset is not consumable.")


def test_access_rules_hold_for_the_caller(
    consumer: Consumer, stranger: Consumer, publisher: StoringPublisher, origin: Origin
) -> None:
    deny = {"deny": [{"type": "address", "values": [stranger.address]}]}
    asset = publisher.publish([url_file(f"{origin.url}/data.csv")], credentials=deny)
    publisher.mint(asset.datatokens[0], consumer.address)
    tx = consumer.order(asset, consumer=stranger.address)
    assert ask(consumer, asset, tx).body == CSV
    code = "ConsumableCodes.CREDENTIAL_IN_DENY_LIST"
    text = f"Provider Ganache: Error: Access to asset {asset.did} was denied with code: {code}."
    assert refused(ask(stranger, asset, tx), text)


def test_compute_services_are_not_downloaded(
    consumer: Consumer, publisher: StoringPublisher, metadata_store: MetadataStore, origin: Origin
) -> None:
    asset = publisher.publish([url_file(f"{origin.url}/data.csv")])
    metadata_store.documents[asset.did]["services"][0]["type"] = "compute"
    service_id = asset.service()["id"]
    text = f"Provider Ganache: Service with index={service_id} is not an access service."
    assert refused(ask(consumer, asset, asset.publish_tx), text)


def test_unknown_asset_and_service_are_refused(consumer: Consumer, bought: tuple[Published, str]) -> None:
    assert refused(ask(consumer, *bought, serviceId="nope"), "Provider Ganache: Invalid serviceId.")
    did, nonce = "did:op:" + "0" * 64, consumer.next_nonce()
    signature = consumer.sign(did, nonce)
    assert refused(ask(consumer, *bought, nonce=nonce, documentId=did, signature=signature), "Cannot resolve DID")


# Fields


@pytest.mark.parametrize(
    "name", ["documentId", "serviceId", "consumerAddress", "transferTxId", "fileIndex", "nonce", "signature"]
)
def test_each_missing_field_is_named(consumer: Consumer, bought: tuple[Published, str], name: str) -> None:
    text = f"The {name} field is required."
    if name == "signature":
        text = "Invalid signature provided. Please check the nonce or documentId."
    for value in (None, ""):
        parameters = {**consumer.download_parameters(*bought), name: value}
        got = request("GET", with_query(f"{consumer.provider_url}/api/services/download", parameters))
        assert (got.status, got.json()["errors"]) == (400, {name: [text]}), value


def test_validation_ends_at_the_first_missing_field(server: DemoServer) -> None:
    reply = request("GET", f"{server.url}/api/services/download")
    assert reply.json()["errors"] == {"documentId": ["The documentId field is required."]}


@pytest.mark.parametrize("name", ["documentId", "serviceId", "consumerAddress", "transferTxId", "fileIndex", "nonce"])
def test_wrong_types_are_400(consumer: Consumer, bought: tuple[Published, str], name: str) -> None:
    for value in (["x"], {"a": 1}, True, "x" * 10_000, 1.5):
        parameters = {**consumer.download_parameters(*bought), name: value}
        url = f"{consumer.provider_url}/api/services/download"
        headers = {"Content-Type": "application/json"}
        reply = request("GET", url, body=json.dumps(parameters).encode(), headers=headers)
        assert reply.status == 400, str(value)[:9]
        assert reply.json().keys() <= {"error", "errors", "message", "success"}
