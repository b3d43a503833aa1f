"""Traces as a collector gets them, whom they are passed on to, and what never stands in them."""

import os
import signal
from collections.abc import Mapping

import pytest

from provider.testing.http_client import request, with_query
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, url_file
from tests.e2e.conftest import LaunchServer, Sell
from tests.support.logs import tracebacks
from tests.support.metadata_store import MetadataStore
from tests.support.origin import Origin, wait_until
from tests.support.otlp import Collector, Span, running_collector
from tests.support.witness import witness

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
STEPS = ["signature", "nonce", "asset", "order", "files", "upstream", "stream"]
HEADERS = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=planted-tracestate"}


def settings(collector: Collector) -> Mapping[str, str]:
    return {
        "PROVIDER_TRACING": "otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "PROVIDER_RECEIPT_WAIT_SECONDS": "0.3",
    }


def top(collector: Collector, name: str = "download") -> list[Span]:
    return [span for span in collector.spans() if span.name == name]


def test_a_download_is_traced_step_by_step_and_tells_no_secret(
    launch: LaunchServer, consumer: Consumer, sell: Sell, origin: Origin, metadata_store: MetadataStore
) -> None:
    asset, tx = sell(url_file(f"{origin.url}/data.csv?key=planted-query", headers={"X-Key": "planted-header"}))
    with running_collector() as collector:
        own = launch(**settings(collector))
        buyer = Consumer(consumer.wallet, own.url)
        url = with_query(f"{own.url}/api/services/download", buyer.download_parameters(asset, tx))
        assert request("GET", url, headers=HEADERS).status == 200
        wait_until(lambda: bool(top(collector)))
        refused = with_query(f"{own.url}/api/services/download", buyer.download_parameters(asset, "0x" + "14" * 32))
        assert request("GET", refused).status == 400
        wait_until(lambda: len(top(collector)) == 2)
        served, failed = top(collector)
        check_served(collector, served)
        assert failed.trace != TRACE
        assert failed.parent == ""
        assert failed.attributes["error.type"] == "order_not_found"
        for body in collector.bodies:
            assert not list(witness.secrets_in(body))
            for mark in (asset.did, consumer.address, origin.url, "127.0.0.1", tx, "planted"):
                assert mark.lower().encode() not in body.lower()
    passed_on = [trace for trace in metadata_store.traceparents if trace]
    assert passed_on[0] == f"00-{TRACE}-{served.id}-01"
    assert all("traceparent" not in {name.lower() for name in seen.headers} for seen in origin.seen)


def check_served(collector: Collector, served: Span) -> None:
    assert (served.trace, served.parent, served.service) == (TRACE, PARENT, "ocean-provider")
    assert served.attributes["http.response.status_code"] == 200
    assert served.attributes["provider.outcome"] == "complete"
    steps = [span for span in collector.spans() if span.parent == served.id]
    assert [span.name for span in sorted(steps, key=lambda span: span.began_ns)] == STEPS
    for span in steps:
        assert served.began_ns <= span.began_ns <= span.ended_ns <= served.ended_ns


def test_what_was_not_sent_yet_is_sent_at_the_end(launch: LaunchServer) -> None:
    with running_collector() as collector:
        own = launch(**{**settings(collector), "OTEL_BSP_SCHEDULE_DELAY": "600000", "OTEL_SERVICE_NAME": "mine"})
        url = f"{own.url}/api/services/nonce?userAddress=0x{'12' * 20}"
        assert request("GET", url).status == 200
        os.kill(own.child.pid, signal.SIGTERM)
        wait_until(lambda: bool(top(collector, "nonce")))
        assert top(collector, "nonce")[0].service == "mine"


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "nonsense"])
def test_variables_of_opentelemetry_alone_change_nothing(
    endpoint: str, launch: LaunchServer, consumer: Consumer, bought: tuple[Published, str]
) -> None:
    asset, tx = bought
    own = launch(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_TRACES_EXPORTER="otlp")
    assert Consumer(consumer.wallet, own.url).download(asset, tx).status == 200


def test_a_collector_that_is_away_holds_up_nothing(
    launch: LaunchServer, consumer: Consumer, bought: tuple[Published, str]
) -> None:
    asset, tx = bought
    own = launch(PROVIDER_TRACING="otlp", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert Consumer(consumer.wallet, own.url).download(asset, tx).status == 200
    os.kill(own.child.pid, signal.SIGTERM)
    own.child.stop()
    assert tracebacks(own.child.stderr_tail(1 << 20)) == []
