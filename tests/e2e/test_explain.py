"""`provider explain` says of each order what the server says of it, and at which step it is refused."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from provider.testing.chain.wallet import TransactionReverted
from provider.testing.market import forge
from provider.testing.market.consumer import Consumer, fee_tuple
from provider.testing.market.publisher import Published, url_file
from provider.testing.ports import free_ports
from provider.testing.stage import DemoChain
from tests.e2e.conftest import LaunchServer, Sell
from tests.support.downloads import ask
from tests.support.measured import MeasuredChildren
from tests.support.metadata_store import MetadataStore, StoringPublisher
from tests.support.origin import CSV, Origin, wait_until
from tests.support.witness import witness


@dataclass(frozen=True)
class Explained:
    """What the command printed and returned."""

    status: int
    printed: str
    errors: str

    def findings(self) -> dict[str, dict[str, Any]]:
        return {finding["what"]: finding for finding in json.loads(self.printed)["findings"]}

    def failed(self) -> dict[str, str]:
        """Details of the steps that fail, by name."""
        return {what: found["detail"] for what, found in self.findings().items() if found["state"] == "FAIL"}


Explain = Callable[..., Explained]


@pytest.fixture
def explain(children: MeasuredChildren, chain: DemoChain, metadata_store: MetadataStore, tmp_path: Path) -> Explain:
    """Run the command with the settings of the servers of these tests."""
    (tmp_path / "address.json").write_text(chain.contracts.address_file(), encoding="utf-8")
    settings = {
        "NETWORK_URL": chain.url,
        "PROVIDER_PRIVATE_KEY": chain.provider_key,
        "ADDRESS_FILE": str(tmp_path / "address.json"),
        "STORAGE_PATH": str(tmp_path / "provider.db"),
        "AQUARIUS_URL": metadata_store.url,
        "ALLOW_NON_PUBLIC_IP": "true",
        "PROVIDER_RECEIPT_WAIT_SECONDS": "0.1",
    }

    def run(
        asset: Published, tx: str, consumer: Consumer, *more: str, form: str = "--json", did: str = "", **others: str
    ) -> Explained:
        named = ("--did", did or asset.did, "--tx", tx, "--consumer", consumer.address.lower())
        done = children.run("explain", *named, *([form] if form else []), *more, **{**settings, **others})
        assert not list(tmp_path.glob("provider.db*"))
        assert list(witness.secrets_in((done.stdout + done.stderr).encode())) == []
        return Explained(done.returncode, done.stdout, done.stderr)

    return run


def alike(explained: Explained, asked: Any, step: str) -> bool:
    """Does the command refuse at one step, with what the server answered?"""
    assert (explained.status, asked.status) == (1, 400)
    assert list(explained.failed()) == [step]
    said = asked.error_text().removeprefix("Provider Ganache: ")
    # The end holds the time of the question.
    assert said.partition(" current timestamp=")[0] in explained.failed()[step]
    return True


def test_a_quota_that_is_used_up_is_told_as_the_server_counts_it(
    explain: Explain, launch: LaunchServer, sell: Sell, consumer: Consumer, origin: Origin, server_folder: Path
) -> None:
    asset, tx = sell(url_file(f"{origin.url}/data.csv"))
    quota = {"PROVIDER_QUOTA_DOWNLOADS_PER_ORDER": "1"}
    untouched = explain(asset, tx, consumer, **quota)
    assert (untouched.status, untouched.findings()["quota of order"]["detail"]) == (0, "0 of 1 downloads")
    file = {"STORAGE_PATH": str(server_folder / "explained.db")}
    own = launch(**file, **quota)
    assert Consumer(consumer.wallet, own.url).download(asset, tx).complete

    def is_told() -> bool:
        """The end of a download is counted beside it."""
        told = explain(asset, tx, consumer, **file, **quota)
        return told.status == 1 and told.failed() == {"quota of order": "quota_exhausted: 1 of 1 downloads"}

    wait_until(is_told)


def test_a_good_order_is_served_and_each_step_says_what_it_saw(
    explain: Explain, consumer: Consumer, bought: tuple[Published, str], origin: Origin
) -> None:
    asset, tx = bought
    told = explain(asset, tx, consumer)
    assert (told.status, told.errors) == (0, "")
    found = told.findings()
    assert list(found) == [
        "asset",
        "service",
        "NFT state",
        "access",
        "service type",
        "datatoken",
        "transaction",
        "provider fee",
        "order event",
        "amount",
        "time",
        "buyer",
        "file list",
        "origin",
    ]
    assert {finding["state"] for finding in found.values()} == {"ok"}
    assert asset.data_nft in found["asset"]["detail"]
    assert tx in found["order event"]["detail"]
    assert consumer.address in found["buyer"]["detail"]
    assert f"answers, {len(CSV)} bytes" in found["origin"]["detail"]
    assert urlsplit(origin.url).netloc not in told.printed
    table = explain(asset, tx, consumer, form="")
    assert table.printed.endswith("would be served: 14 ok, 0 failures, 0 warnings\n")
    assert explain(asset, tx, consumer, form="--quiet").printed == ""


def test_a_reused_order_names_the_first_one(
    explain: Explain, consumer: Consumer, publisher: StoringPublisher, origin: Origin
) -> None:
    asset = publisher.publish([url_file(f"{origin.url}/data.csv")], timeout_seconds=3600)
    publisher.mint(asset.datatokens[0], consumer.address)
    first = consumer.order(asset)
    told = explain(asset, consumer.reuse_order(asset, first), consumer)
    assert told.status == 0
    assert first in told.findings()["order event"]["detail"]
    assert "ends 20" in told.findings()["time"]["detail"]


def test_refused_orders_are_explained_as_they_are_refused(
    explain: Explain,
    chain: DemoChain,
    consumer: Consumer,
    stranger: Consumer,
    publisher: StoringPublisher,
    bought: tuple[Published, str],
    origin: Origin,
) -> None:
    asset, tx = bought
    told = explain(asset, tx, stranger)
    assert alike(told, ask(stranger, asset, tx), "buyer")
    assert f"consumer {consumer.address}" in told.findings()["transaction"]["detail"]

    unknown = "0x" + "cd" * 32
    told = explain(asset, unknown, consumer)
    assert alike(told, ask(consumer, asset, unknown), "transaction")
    assert {told.findings()[step]["state"] for step in ("provider fee", "order event", "time", "buyer")} == {"-"}
    assert told.findings()["origin"]["state"] == "ok"
    assert alike(explain(asset, "0x12", consumer), ask(consumer, asset, "0x12"), "transaction")

    with pytest.raises(TransactionReverted) as reverted:
        stranger.order(asset)
    reverted_tx = reverted.value.tx_id
    assert alike(explain(asset, reverted_tx, stranger), ask(stranger, asset, reverted_tx), "transaction")

    fee = forge.provider_fee(fee_tuple(consumer.initialize(asset)["providerFee"]))
    forged, _ = forge.emit(consumer.wallet, [fee])
    assert alike(explain(asset, forged, consumer), ask(consumer, asset, forged), "provider fee")

    hourly = publisher.publish([url_file(f"{origin.url}/data.csv")], timeout_seconds=3600)
    publisher.mint(hourly.datatokens[0], consumer.address, 2 * 10**18)
    of_nothing = consumer.reuse_order(hourly, "0x" + "ab" * 32)
    assert alike(explain(hourly, of_nothing, consumer), ask(consumer, hourly, of_nothing), "order event")
    with chain.clock_shifted(-7200):
        old = consumer.order(hourly)
    assert alike(explain(hourly, old, consumer), ask(consumer, hourly, old), "time")


def test_refused_assets_and_files_are_explained_as_they_are_refused(
    explain: Explain,
    consumer: Consumer,
    stranger: Consumer,
    publisher: StoringPublisher,
    metadata_store: MetadataStore,
    sell: Sell,
    signed_fee: Callable[..., dict[str, object]],
    origin: Origin,
) -> None:
    deny = {"deny": [{"type": "address", "values": [stranger.address]}]}
    file = url_file(f"{origin.url}/data.csv")
    denied = publisher.publish([file], credentials=deny)
    publisher.mint(denied.datatokens[0], consumer.address)
    tx = consumer.order(denied, consumer=stranger.address)
    assert alike(explain(denied, tx, stranger), ask(stranger, denied, tx), "access")
    assert explain(denied, tx, consumer).status == 0

    asset = publisher.publish([file])
    publisher.mint(asset.datatokens[0], consumer.address)
    # A quote would let the server remember the state.
    tx = consumer.order(asset, fee=signed_fee(asset.datatokens[0], asset.service()["id"]))
    publisher.set_state(asset.data_nft, 1)
    assert alike(explain(asset, tx, consumer), ask(consumer, asset, tx), "NFT state")

    asset, tx = sell(file)
    assert alike(
        explain(asset, tx, consumer, "--service", "nope"), ask(consumer, asset, tx, serviceId="nope"), "service"
    )
    assert alike(explain(asset, tx, consumer, "--file-index", "9"), ask(consumer, asset, tx, fileIndex=9), "file list")
    metadata_store.documents[asset.did]["services"][0]["type"] = "compute"
    assert explain(asset, tx, consumer).failed().keys() == {"service type"}

    (nowhere,) = free_ports(1)
    for bad, code in (
        (f"http://127.0.0.1:{nowhere}/x", "upstream_unreachable"),
        (f"{origin.url}/status/403", "upstream_refused"),
    ):
        asset, tx = sell(url_file(bad))
        told = explain(asset, tx, consumer)
        assert told.status == 1
        assert told.failed()["origin"].startswith(f"{code}: ")
        assert urlsplit(bad).netloc not in told.printed
        assert "Publisher" in told.findings()["origin"]["what_to_do"]
    unknown = explain(asset, tx, consumer, did="did:op:" + "0" * 64)
    assert unknown.failed().keys() == {"asset"}


def test_arguments_and_settings_that_are_wrong(
    explain: Explain, consumer: Consumer, bought: tuple[Published, str]
) -> None:
    assert explain(*bought, consumer, "--consumer", "0x12").status == 2
    assert explain(*bought, consumer, "--file-index", "-1").status == 2
    assert explain(*bought, consumer, "--config", "/nonexistent").status == 2
