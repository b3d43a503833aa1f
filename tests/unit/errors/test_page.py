"""`docs/errors.md` is current, and every error says what to do about it."""

from typing import get_args

from provider.errors.compute import COMPUTE_REASONS
from provider.errors.document import PAGE, STREAM_ENDS, error_classes, is_raised, page
from provider.streaming.relay import Outcome

RAISED = [error for error in error_classes() if is_raised(error)]


def test_every_error_has_a_cause_and_a_remedy_of_its_own() -> None:
    """The docstring is the cause; `remedy` says what the reader of docs/errors.md can do."""
    assert [error.__name__ for error in RAISED if not (error.__doc__ or "").strip()] == []
    assert [error.__name__ for error in RAISED if not vars(error).get("remedy")] == []


def test_codes_are_unique() -> None:
    codes = [error.code for error in RAISED]
    assert len(codes) == len(set(codes))


def test_a_body_of_its_own_has_a_shape_of_its_own() -> None:
    assert [error for error in error_classes() if "body" in vars(error) and "shape" not in vars(error)] == []


def test_reasons_of_refused_compute_requests_are_sorted() -> None:
    assert list(COMPUTE_REASONS) == sorted(COMPUTE_REASONS)


def test_ends_are_those_of_the_relay() -> None:
    assert {*STREAM_ENDS, "complete"} == set(get_args(Outcome))


def test_page_is_current() -> None:
    assert PAGE.read_text() == page(), "run `python -m provider.errors.document`"


def test_texts_given_where_an_error_is_raised_are_on_the_page() -> None:
    text = page()
    for shown in ("Missing chainId query parameter.", "Checksum doesn't match.", "Asset end of life"):
        assert f"`{shown}`" in text
