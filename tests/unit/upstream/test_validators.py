"""Dates as origins and consumers write them: each of the three forms is read, and nothing that only resembles them."""

from datetime import UTC, datetime

import pytest

from provider.upstream.validators import http_date_text, parse_http_date
from provider.upstream.wish import read_wish

WANTED = datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun Nov 06 08:49:37 1994",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 10:49:37 +0200",
    ],
)
def test_a_date_is_read_in_each_form_and_in_utc(text: str) -> None:
    assert parse_http_date(text) == WANTED
    assert http_date_text(parse_http_date(text) or datetime.now(UTC)) == "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 GMT http://secret.example/x",
        "Sun, 06 Nov 1994 08:49:37 GMT\n",
        "http://secret.example/, 06 Nov 1994 08:49:37 GMT",
        "Sun, ٠6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 0_8:49:37 GMT",
        "Sun, 06 Nov 1994 08.49.37 GMT",
        "Sun, 06 Nov 1994 08:49 GMT",
        "Sun, 06 Nov 1994 25:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 +9999",
        "Sun, 06 Nov 1994 08:49:37 +99999999999999999999",
        "Sun, 06 Nov 99999999999 08:49:37 GMT",
    ],
)
def test_what_is_no_date_is_none(text: str | None) -> None:
    assert parse_http_date(text) is None


@pytest.mark.parametrize("name", ["If-Modified-Since", "If-Unmodified-Since", "If-Range"])
def test_a_time_that_utc_does_not_have_is_no_condition(name: str) -> None:
    """One hour after the last hour that can be told."""
    wish = read_wish({name: "Fri, 31 Dec 9999 23:59:59 -0100", "Range": "bytes=0-1"})
    assert wish.preconditions is None or not wish.preconditions.fields
    assert wish.if_range is None
