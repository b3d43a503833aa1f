"""A gauge whose label values come and go."""

from provider.observability.metrics.instruments import LabelValues
from provider.observability.metrics.metrics import Metrics


def test_a_gauge_shows_exactly_what_is_there_now() -> None:
    metrics, now = Metrics(), dict[LabelValues, float]({("one", "0"): 2.0})
    metrics.books.failing.follow_all(lambda: dict(now))
    name = metrics.books.failing.name
    assert metrics.snapshot()[name] == [(["one", "0"], 2.0)]
    now.clear()
    assert metrics.snapshot()[name] == []


def test_nothing_is_followed_when_metrics_are_off() -> None:
    metrics = Metrics(is_on=False)
    metrics.books.failing.follow_all(lambda: {("one", "0"): 2.0})
    assert metrics.snapshot() == {}
