"""How long an origin that says "not now" asks to wait, and what the consumer is told about it."""

import pytest

from provider.errors import UpstreamBusy, UpstreamRefused
from provider.upstream.memory_source import MemorySource
from provider.upstream.patience import NOT_NOW, pause_seconds, refusal, retry_after_seconds
from provider.upstream.source import Headers

NOW = 784_111_777.0
TODAY, LATER = "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:51:37 GMT"


def fields(retry_after: str | None, date: str | None = None) -> Headers:
    named = (("Retry-After", retry_after), ("Date", date))
    return Headers((name, value) for name, value in named if value is not None)


class Answer(MemorySource):
    """An answer with this status."""

    def __init__(self, status: int, retry_after: str | None = None) -> None:
        super().__init__(b"", content_type="text/plain")
        self.status, self.headers = status, fields(retry_after)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("retry_after", "date", "seconds"),
    [
        (None, None, None),
        ("", None, None),
        ("0", None, 0.0),
        (" 120\t", None, 120.0),
        ("-1", None, None),
        ("1.5", None, None),
        ("²", None, None),
        ("1" * 10, None, None),
        ("Sun, 06 Nov 99999999999 08:49:37 GMT", None, None),
        (f"Sun, 06 Nov 1994 08:49:37 +{'9' * 20}", None, None),
        (LATER, None, 120.0),
        (LATER, LATER, 0.0),
        (TODAY, LATER, 0.0),
        ("Sun, 06 Nov 1994 08:51:37", None, None),
        ("tomorrow", None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(retry_after: str | None, date: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(fields(retry_after, date), now=NOW) == seconds


@pytest.mark.parametrize("status", sorted(NOT_NOW))
def test_not_now_is_busy_and_tells_what_the_origin_asked_for(status: int) -> None:
    error = refusal(Answer(status, "60"), "x", now=NOW)
    assert isinstance(error, UpstreamBusy)
    assert (error.http_status, str(error), error.retry_after_seconds) == (400, UpstreamRefused.text, 60)


def test_busy_tells_a_time_of_its_own_where_the_origin_told_none() -> None:
    assert refusal(Answer(503), "x", now=NOW).retry_after_seconds == 5


@pytest.mark.parametrize(("retry_after", "told"), [("0", 1), ("999999999", 86400)])
def test_what_is_told_is_a_second_at_least_and_a_day_at_most(retry_after: str, told: int) -> None:
    assert refusal(Answer(503, retry_after), "x", now=NOW).retry_after_seconds == told


@pytest.mark.parametrize("status", [204, 301, 403, 404, 500, 502, 504])
def test_other_answers_are_refusals_without_a_time(status: int) -> None:
    error = refusal(Answer(status, "60"), "x", now=NOW)
    assert (type(error), error.retry_after_seconds) == (UpstreamRefused, None)


@pytest.mark.parametrize(
    ("status", "retry_after", "pause"),
    [
        (503, "2", 2.0),
        (503, None, None),
        (429, None, None),
        (408, None, 0.0),
        (425, None, 0.0),
        (425, "3", 3.0),
        (500, "1", None),
    ],
)
def test_another_try_is_made_where_it_is_asked_for(status: int, retry_after: str | None, pause: float | None) -> None:
    assert pause_seconds(status, fields(retry_after), now=NOW) == pause
