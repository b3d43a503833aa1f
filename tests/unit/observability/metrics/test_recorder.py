"""What is told is what is read: counts, looks, streams under way, and every family in the text of Prometheus."""

import ast
import re
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

import provider
from provider.cache import CacheCounts
from provider.observability.metrics import Metrics, NoMetrics
from provider.observability.metrics.catalog import FAMILIES
from provider.observability.metrics.document import PAGE, page
from provider.observability.metrics.exposition import expose
from provider.observability.metrics.values import Histogram, merge


@dataclass
class Body:
    bytes_sent: int = 0


@dataclass
class Held:
    counts: CacheCounts = field(default_factory=CacheCounts)
    max_entries: int = 7

    def __len__(self) -> int:
        return 3


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What Prometheus' own client library reads in our text."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(expose(metrics.read()).decode())
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return samples(metrics).get((name, tuple(sorted(labels.items()))))


def end(metrics: Metrics, body: Body, *, seconds: float = 1.0, outcome: str = "complete") -> None:
    metrics.stream_ended(body, service_type="access", file_type="url", path="splice", outcome=outcome, seconds=seconds)


def test_requests_are_counted_and_timed() -> None:
    metrics = Metrics()
    for status in (200, 200, 404):
        metrics.request("nonce", status, 0.002)
    assert value(metrics, "provider_requests_total", endpoint="nonce", status="200") == 2
    assert value(metrics, "provider_requests_total", endpoint="nonce", status="404") == 1
    assert value(metrics, "provider_request_seconds_count", endpoint="nonce") == 3
    assert value(metrics, "provider_request_seconds_sum", endpoint="nonce") == pytest.approx(0.006)
    assert value(metrics, "provider_request_seconds_bucket", endpoint="nonce", le="0.001") == 0
    assert value(metrics, "provider_request_seconds_bucket", endpoint="nonce", le="0.0025") == 3


def test_bytes_of_streams_under_way_are_sent_and_those_of_ended_ones_stay() -> None:
    metrics = Metrics()
    one, other = Body(), Body()
    metrics.stream_begins("download", one)
    metrics.stream_begins("download", other)
    one.bytes_sent, other.bytes_sent = 100, 20
    assert value(metrics, "provider_sent_bytes_total", endpoint="download") == 120
    assert value(metrics, "provider_streams_in_progress") == 2
    end(metrics, one)
    other.bytes_sent = 50
    metrics.stream_failed(other)
    assert value(metrics, "provider_sent_bytes_total", endpoint="download") == 150
    assert value(metrics, "provider_streams_in_progress") == 0
    labels = {"endpoint": "download", "path": "splice", "outcome": "complete"}
    assert value(metrics, "provider_streams_total", **labels) == 1
    assert value(metrics, "provider_streamed_bytes_total", **labels, service_type="access", file_type="url") == 100
    assert metrics.ended_bytes() == 150


def test_throughput_is_told_of_bodies_that_are_long_enough() -> None:
    metrics = Metrics()
    for size in (65535, 65536):
        body = Body(size)
        metrics.stream_begins("download", body)
        end(metrics, body, seconds=0.5)
    assert value(metrics, "provider_stream_bytes_per_second_count", path="splice") == 1
    assert value(metrics, "provider_stream_bytes_per_second_sum", path="splice") == 131072


def test_caches_are_looked_at() -> None:
    metrics = Metrics()
    held = Held()
    metrics.watch_cache("ddo", held)
    held.counts = CacheCounts(hits=4, misses=2, evictions=1, hit_age_seconds=10.0)
    assert value(metrics, "provider_cache_requests_total", cache="ddo", result="hit") == 4
    assert value(metrics, "provider_cache_requests_total", cache="ddo", result="miss") == 2
    assert value(metrics, "provider_cache_evictions_total", cache="ddo") == 1
    assert value(metrics, "provider_cache_entries", cache="ddo") == 3
    assert value(metrics, "provider_cache_max_entries", cache="ddo") == 7
    assert value(metrics, "provider_cache_hit_age_seconds_sum", cache="ddo") == 10
    assert value(metrics, "provider_cache_hit_age_seconds_count", cache="ddo") == 4


def test_decryption_is_timed_whether_it_succeeds_or_not() -> None:
    metrics = Metrics()
    with metrics.decrypting("files"):
        pass
    with pytest.raises(ValueError), metrics.decrypting("document"):  # noqa: PT011 - ours
        raise ValueError
    assert value(metrics, "provider_decrypt_seconds_count", kind="files", result="ok") == 1
    assert value(metrics, "provider_decrypt_seconds_count", kind="document", result="failed") == 1


def test_what_a_chain_tells_has_its_id() -> None:
    metrics = Metrics()
    chain = metrics.chain(137)
    chain.exchange("eth_call", "ok", 0.01)
    chain.calls(3)
    chain.put_aside(0)
    chain.hedged()
    assert value(metrics, "provider_chain_heads_total", chain="137") == 0
    chain.head(9)
    chain.head(9)
    chain.endpoint_height(1, 8)
    metrics.watch_endpoints(137, lambda: {0: False, 1: True})
    assert value(metrics, "provider_rpc_seconds_count", chain="137", method="eth_call", outcome="ok") == 1
    assert value(metrics, "provider_rpc_calls_total", chain="137") == 3
    assert value(metrics, "provider_rpc_failovers_total", chain="137", endpoint="1") == 1
    assert value(metrics, "provider_rpc_failovers_total", chain="137", endpoint="2") == 0
    assert value(metrics, "provider_rpc_hedges_total", chain="137") == 1
    assert value(metrics, "provider_chain_block_height", chain="137") == 9
    assert value(metrics, "provider_chain_heads_total", chain="137") == 2
    assert value(metrics, "provider_rpc_endpoint_block", chain="137", endpoint="2") == 8
    assert value(metrics, "provider_rpc_endpoint_up", chain="137", endpoint="1") == 0


def test_who_stepped_back_counts_on_and_says_nothing_of_how_things_are(tmp_path: Path) -> None:
    old, new = Metrics(str(tmp_path)), Metrics(str(tmp_path))
    for metrics, is_up, behind in ((old, False, 900), (new, True, 1)):
        metrics.watch_endpoints(1, lambda is_up=is_up: {0: is_up})
        metrics.watch_redis(("nonce",), lambda is_up=is_up: is_up)
        metrics.watch_index(lambda behind=behind: {1: behind})
        metrics.watch_requests(lambda: 2)
        metrics.request("download", 200, 0.1)
    old.step_back()
    old.request("download", 200, 0.1)
    told = merge([old.snapshot(), new.snapshot()])
    assert told["provider_rpc_endpoint_up"] == {("1", "1"): True}
    assert told["provider_redis_up"] == {(): True}
    assert told["provider_index_blocks_behind"] == {("1",): 1}
    assert told["provider_requests_total"] == {("download", "200"): 3}
    assert told["provider_requests_in_progress"] == {(): 4}
    assert told["provider_workers"] == {(): 2}


def test_who_steps_back_tells_the_others_at_once(tmp_path: Path) -> None:
    old = Metrics(str(tmp_path))
    old.watch_endpoints(1, lambda: {0: False})
    old.publish()
    path = next(tmp_path.glob("*.json"))
    assert "provider_rpc_endpoint_up" in orjson.loads(path.read_bytes())[1]
    old.step_back()
    assert "provider_rpc_endpoint_up" not in orjson.loads(path.read_bytes())[1]


def test_off_counts_nothing_and_still_times_blocks() -> None:
    metrics = NoMetrics()
    metrics.request("nonce", 200, 0.1)
    metrics.stream_begins("download", Body())
    with metrics.decrypting("files"):
        pass
    assert metrics.snapshot() == {}
    assert not metrics.is_on


def test_a_bucket_holds_what_equals_its_bound() -> None:
    family = FAMILIES["provider_request_seconds"]
    histogram = Histogram(family)
    for bound in family.buckets:
        histogram.observe(bound)
    histogram.observe(family.buckets[-1] + 1)
    assert histogram.values[()][1:] == [1] * (len(family.buckets) + 1)


def test_page_is_current() -> None:
    assert PAGE.read_text() == page(), "run `python -m provider.observability.metrics.document`"


def test_names_follow_prometheus() -> None:
    for name, family in FAMILIES.items():
        assert name == family.name
        assert re.fullmatch(r"(provider|process)_[a-z_]+", name)
        assert (family.kind == "counter") == name.endswith("_total"), name
        assert bool(family.buckets) == (family.kind == "histogram"), name
        assert list(family.buckets) == sorted(family.buckets), name
        assert family.help.endswith("."), name
        assert not re.search(r"milli|_ms\b|micro|kilo|mega", name)
        assert not {"did", "address", "url", "tx", "consumer", "le", "quantile"} & family.labels.keys(), name


def test_metric_names_stand_in_the_catalog_only() -> None:
    root = Path(provider.__file__).parent
    for path in root.rglob("*.py"):
        if path.is_relative_to(root / "metrics") or path.is_relative_to(root / "demo"):
            continue
        texts = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
        strays = {text for text in texts if isinstance(text, str) and re.fullmatch(r"provider_\w+_total", text)}
        assert strays <= FAMILIES.keys(), path
