"""Sums that are published late."""

from prometheus_client import CollectorRegistry

from provider.metrics import Metrics


def hits(registry: CollectorRegistry, cache: str) -> float | None:
    return registry.get_sample_value("provider_cache_requests_total", {"cache": cache, "result": "hit"})


def test_summed_counts_appear_when_published_and_once() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    for _ in range(3):
        metrics.cache("ddo", "hit")
    metrics.cache("receipt", "hit")
    assert hits(registry, "ddo") is None
    metrics.publish()
    metrics.publish()
    assert (hits(registry, "ddo"), hits(registry, "receipt")) == (3, 1)
    metrics.cache("ddo", "hit")
    metrics.publish()
    assert hits(registry, "ddo") == 4
