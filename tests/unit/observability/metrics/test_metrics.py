"""Metrics show what was counted: counts, followed values, streams in progress, and the text for Prometheus."""

import ast
import re
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

import provider
from provider.cache import CacheCounts
from provider.observability.metrics import Board, Metrics
from provider.observability.metrics.document import PAGE, page
from provider.observability.metrics.exposition import expose
from provider.observability.metrics.metrics import DECLARED, GROUPS
from provider.observability.metrics.traffic import Requests
from provider.observability.metrics.values import merge
from provider.streaming.progress import Progress
from tests.support.syntax import nodes_of


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
        for family in text_string_to_metric_families(expose(merge([metrics.snapshot()])).decode())
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return samples(metrics).get((name, tuple(sorted(labels.items()))))


def begin(metrics: Metrics) -> Progress:
    return Progress(total=metrics.streams.start("download"))


def end(metrics: Metrics, progress: Progress, *, seconds: float = 1.0, resumes: int = 0) -> None:
    metrics.streams.end(
        progress,
        service_type="access",
        file_type="url",
        path="splice",
        outcome="complete",
        resumes=resumes,
        seconds=seconds,
    )


def test_requests_are_counted_and_timed() -> None:
    metrics = Metrics()
    for status in (200, 200, 404):
        metrics.requests.answer("nonce", status, 0.002)
    assert value(metrics, "provider_requests_total", endpoint="nonce", status="200") == 2
    assert value(metrics, "provider_requests_total", endpoint="nonce", status="404") == 1
    assert value(metrics, "provider_request_seconds_count", endpoint="nonce") == 3
    assert value(metrics, "provider_request_seconds_sum", endpoint="nonce") == pytest.approx(0.006)
    assert value(metrics, "provider_request_seconds_bucket", endpoint="nonce", le="0.001") == 0
    assert value(metrics, "provider_request_seconds_bucket", endpoint="nonce", le="0.0025") == 3


def test_bytes_of_streams_under_way_are_sent_and_those_of_ended_ones_stay() -> None:
    metrics = Metrics()
    one, other = begin(metrics), begin(metrics)
    one.add(100)
    other.add(20)
    assert value(metrics, "provider_sent_bytes_total", endpoint="download") == 120
    assert value(metrics, "provider_streams_in_progress") == 2
    end(metrics, one)
    other.add(30)
    metrics.streams.fail()
    assert value(metrics, "provider_sent_bytes_total", endpoint="download") == 150
    assert value(metrics, "provider_streams_in_progress") == 0
    labels = {"endpoint": "download", "path": "splice", "outcome": "complete"}
    assert value(metrics, "provider_streams_total", **labels) == 1
    assert value(metrics, "provider_streamed_bytes_total", **labels, service_type="access", file_type="url") == 100
    assert metrics.streams.all_sent() == 150


def test_throughput_is_told_of_bodies_that_are_long_enough() -> None:
    metrics = Metrics()
    for size in (65535, 65536):
        body = begin(metrics)
        body.add(size)
        end(metrics, body, seconds=0.5)
    assert value(metrics, "provider_stream_bytes_per_second_count", path="splice") == 1
    assert value(metrics, "provider_stream_bytes_per_second_sum", path="splice") == 131072


def test_caches_are_looked_at() -> None:
    metrics = Metrics()
    held = Held()
    metrics.caches.follow("ddo", held)
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
    with metrics.files.decrypting("files"):
        pass
    with pytest.raises(ValueError), metrics.files.decrypting("document"):  # noqa: PT011 - ours
        raise ValueError
    assert value(metrics, "provider_decrypt_seconds_count", kind="files", result="ok") == 1
    assert value(metrics, "provider_decrypt_seconds_count", kind="document", result="failed") == 1


def test_resumes_are_counted_with_the_end_of_their_stream() -> None:
    metrics = Metrics()
    for resumes in (0, 3):
        progress = begin(metrics)
        end(metrics, progress, resumes=resumes)
    assert value(metrics, "provider_stream_resumes_total", endpoint="download") == 3
    assert value(metrics, "provider_streams_resumed_total", endpoint="download") == 1


def test_who_stepped_back_counts_on_and_says_nothing_of_how_things_are() -> None:
    old, new = Metrics(), Metrics()
    for metrics, is_up, behind in ((old, False, 900), (new, True, 1)):
        metrics.chains.endpoint_up.follow(lambda is_up=is_up: is_up, 1, 1)
        metrics.redis.up.follow(lambda is_up=is_up: is_up)
        metrics.index.blocks_behind.follow(lambda behind=behind: behind, 1)
        metrics.requests.in_progress.follow(lambda: 2)
        metrics.requests.answer("download", 200, 0.1)
    old.hand_over()
    old.requests.answer("download", 200, 0.1)
    told = merge([old.snapshot(), new.snapshot()])
    assert told["provider_rpc_endpoint_up"] == {("1", "1"): True}
    assert told["provider_redis_up"] == {(): True}
    assert told["provider_index_blocks_behind"] == {("1",): 1}
    assert told["provider_requests_total"] == {("download", "200"): 3}
    assert told["provider_requests_in_progress"] == {(): 4}
    assert told["provider_workers"] == {(): 2}


def test_who_stepped_back_shows_the_others_sums_only(tmp_path: Path) -> None:
    old = Metrics()
    board = Board(old, lambda _: {}, str(tmp_path))
    old.chains.endpoint_up.follow(lambda: False, 1, 1)
    board.write()
    path = next(tmp_path.glob("*.json"))
    assert "provider_rpc_endpoint_up" in orjson.loads(path.read_bytes())[1]
    old.hand_over()
    board.write()
    assert "provider_rpc_endpoint_up" not in orjson.loads(path.read_bytes())[1]


def test_off_counts_nothing_and_knows_how_much_was_sent() -> None:
    metrics = Metrics(is_on=False)
    metrics.requests.answer("nonce", 200, 0.1)
    metrics.requests.in_progress.follow(lambda: 1)
    metrics.chains.endpoint_block.set(5, 1, 1)
    progress = begin(metrics)
    progress.add(7)
    with metrics.files.decrypting("files"):
        pass
    end(metrics, progress)
    assert metrics.snapshot() == {}
    assert metrics.streams.all_sent() == 7
    for group in (group for group in vars(metrics).values() if isinstance(group, GROUPS)):
        assert group.instruments == []
        assert not any(getattr(group, name).values for name in group.declared())


def test_each_process_counts_by_itself() -> None:
    Metrics().requests.answer("nonce", 200, 0.1)
    assert value(Metrics(), "provider_requests_total", endpoint="nonce", status="200") is None
    assert Requests.answered.values == {}


def test_a_missing_label_fails_where_it_is_counted() -> None:
    requests = Requests()
    with pytest.raises(TypeError, match="provider_requests_total has 2 labels, not 1"):
        requests.answered.add("download")
    with pytest.raises(TypeError):
        requests.seconds.observe(0.1)


def test_a_bucket_holds_what_equals_its_bound() -> None:
    histogram = Requests().seconds
    for bound in (*histogram.buckets, histogram.buckets[-1] + 1):
        histogram.observe(bound, "nonce")
    assert histogram.values["nonce",][1:] == [1] * (len(histogram.buckets) + 1)


def test_page_is_current() -> None:
    assert PAGE.read_text() == page(), "run `python -m provider.observability.metrics.document`"


def test_names_follow_prometheus() -> None:
    for name, metric in DECLARED.items():
        assert name == metric.name
        assert re.fullmatch(r"(provider|process)_[a-z_]+", name), name
        assert (metric.kind == "counter") == name.endswith("_total"), name
        assert bool(metric.buckets) == (metric.kind == "histogram"), name
        assert metric.merge == "sum" or metric.kind == "gauge", name
        assert list(metric.buckets) == sorted(metric.buckets), name
        assert metric.help.endswith("."), name
        assert not re.search(r"milli|_ms\b|micro|kilo|mega", name), name
        assert not {"address", "url", "tx", "consumer", "le", "quantile"} & metric.labels.keys(), name
        # Of the files that fail, the worst are named.
        assert "did" not in metric.labels or name == "provider_asset_failing"


def test_metrics_are_named_in_their_declarations_only() -> None:
    root = Path(provider.__file__).parent
    for path in root.rglob("*.py"):
        if path.is_relative_to(root / "observability" / "metrics") or path.is_relative_to(root / "demo"):
            continue
        texts = {node.value for node in nodes_of(path, ast.Constant)}
        strays = {text for text in texts if isinstance(text, str) and re.fullmatch(r"provider_\w+_total", text)}
        assert not strays, path
