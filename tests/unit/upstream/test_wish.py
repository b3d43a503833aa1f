"""Ranges and conditions that a consumer sends, and how conditions are decided (RFC 9110 section 13)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.upstream.source import Headers
from provider.upstream.wish import NO_WISH, Wish, read_wish

OLD, CHANGED, LATER = "Tue, 01 Sep 2026 10:00:00 GMT", "Wed, 02 Sep 2026 10:00:00 GMT", "Thu, 03 Sep 2026 10:00:00 GMT"
OLD_FORM = "Tuesday, 01-Sep-26 10:00:00 GMT"
NAMES = ["Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since"]
FILE = Headers([("ETag", '"v2"'), ("Last-Modified", CHANGED), ("Date", LATER)])


def asked(**fields: str) -> Wish:
    return read_wish({name.replace("_", "-"): value for name, value in fields.items()})


def test_a_request_without_any_of_it_is_no_wish() -> None:
    assert asked(Accept="*/*", Host="x") is NO_WISH
    assert NO_WISH.fields == ()


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({"Range": "bytes=5-", "If_Range": '"v1"'}, [("Range", "bytes=5-"), ("If-Range", '"v1"')]),
        ({"Range": "bytes=5-", "If_Range": OLD}, [("Range", "bytes=5-"), ("If-Range", OLD)]),
        ({"Range": "bytes=5-", "If_Range": OLD_FORM}, [("Range", "bytes=5-"), ("If-Range", OLD)]),
        ({"Range": "bytes=5-", "If_Range": "Tue Sep  1 10:00:00 2026"}, [("Range", "bytes=5-"), ("If-Range", OLD)]),
        ({"Range": "bytes=5-"}, [("Range", "bytes=5-")]),
        # A condition that can never hold leaves the whole file, and nothing to ask.
        ({"Range": "bytes=5-", "If_Range": 'W/"v1"'}, []),
        ({"Range": "bytes=5-", "If_Range": '"a", "b"'}, []),
        ({"Range": "bytes=5-", "If_Range": "v1"}, []),
        ({"Range": "bytes=5-", "If_Range": ""}, []),
        ({"If_Range": '"v1"'}, []),
        ({"Range": "lines=1-2", "If_Range": '"v1"'}, []),
        # RFC 9110 section 5.6.1.2: a list may have empty elements.
        ({"If_Match": '"a",, "b",'}, [("If-Match", '"a", "b"')]),
        ({"If_Match": '"a",W/"b" , "c,d"'}, [("If-Match", '"a", W/"b", "c,d"')]),
        ({"If_Match": " * "}, []),
        ({"If_Match": '"a"', "If_Unmodified_Since": OLD}, [("If-Match", '"a"')]),
        ({"If_None_Match": '"a"', "If_Modified_Since": OLD}, [("If-None-Match", '"a"')]),
        ({"If_Unmodified_Since": OLD, "If_Modified_Since": OLD}, [(f"If-{u}odified-Since", OLD) for u in ("Unm", "M")]),
        ({"If_Modified_Since": "yesterday"}, []),
        ({"If_Modified_Since": "Tue, 01 Sep 2026 10:00:00"}, []),
        ({"If_None_Match": "nonsense"}, []),
        ({"If_None_Match": ", ".join(f'"{n}"' for n in range(999))}, []),
    ],
)  # fmt: skip
def test_an_origin_is_asked_in_the_usual_form(fields: dict[str, str], sent: list[tuple[str, str]]) -> None:
    assert list(asked(**fields).fields) == sent


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"If_Match": '"v2"'}, None),
        ({"If_Match": '"v1", "v2"'}, None),
        ({"If_Match": "*"}, None),
        ({"If_Match": '"v1"'}, "failed"),
        ({"If_Match": 'W/"v2"'}, "failed"),
        ({"If_Match": "v2"}, "failed"),
        ({"If_Match": ""}, "failed"),
        ({"If_Unmodified_Since": OLD}, "failed"),
        ({"If_Unmodified_Since": CHANGED}, None),
        ({"If_Unmodified_Since": LATER}, None),
        ({"If_Match": '"v2"', "If_Unmodified_Since": OLD}, None),
        ({"If_None_Match": '"v2"'}, "not_modified"),
        ({"If_None_Match": 'W/"v2"'}, "not_modified"),
        ({"If_None_Match": "*"}, "not_modified"),
        ({"If_None_Match": '"v1"'}, None),
        ({"If_None_Match": '"v1", "v2"'}, "not_modified"),
        ({"If_None_Match": ", ".join(f'"v{n}"' for n in range(999))}, "not_modified"),
        ({"If_None_Match": "nonsense"}, None),
        ({"If_Modified_Since": OLD}, None),
        ({"If_Modified_Since": CHANGED}, "not_modified"),
        ({"If_Modified_Since": LATER}, "not_modified"),
        ({"If_None_Match": '"v1"', "If_Modified_Since": LATER}, None),
        ({"If_Match": '"v1"', "If_None_Match": '"v2"'}, "failed"),
        ({"If_Match": '"v2"', "If_None_Match": '"v2"'}, "not_modified"),
        ({"If_Unmodified_Since": OLD, "If_Modified_Since": LATER}, "failed"),
    ],
)
def test_conditions_are_decided_in_the_order_of_section_13_2_2(fields: dict[str, str], expected: str | None) -> None:
    conditions = asked(**fields).preconditions
    assert conditions is not None
    assert conditions.decide(FILE) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"If_Match": '"v2"'}, "failed"),
        ({"If_Match": "*"}, None),
        ({"If_None_Match": '"v2"'}, None),
        ({"If_None_Match": "*"}, "not_modified"),
        ({"If_Unmodified_Since": OLD}, None),
        ({"If_Modified_Since": LATER}, None),
    ],
)
def test_a_file_without_validators_has_nothing_to_compare(fields: dict[str, str], expected: str | None) -> None:
    conditions = asked(**fields).preconditions
    assert conditions is not None
    assert conditions.decide(Headers()) == expected


@pytest.mark.parametrize(
    ("if_range", "holds"),
    [('"v2"', True), ('"v1"', False), (CHANGED, True), (OLD, False), (LATER, False)],
)
def test_a_part_is_of_use_of_the_named_version_only(if_range: str, holds: bool) -> None:
    assert asked(Range="bytes=5-", If_Range=if_range).version_holds(FILE) is holds


def test_a_file_object_without_a_range_leaves_the_wish_of_the_consumer() -> None:
    wish = asked(Range="bytes=5-", If_Range='"v2"')
    assert wish.of([("X", "y")]) is wish


def test_a_date_that_is_not_strong_names_no_version() -> None:
    """A file that changed within the last minute may change again in the same second."""
    young = Headers([("Last-Modified", CHANGED), ("Date", CHANGED)])
    assert not asked(Range="bytes=5-", If_Range=CHANGED).version_holds(young)
    assert not asked(Range="bytes=5-", If_Range=CHANGED).version_holds(Headers([("Last-Modified", CHANGED)]))


def test_the_range_of_a_file_object_wins_and_brings_no_condition_of_the_consumer() -> None:
    wish = asked(Range="bytes=5-", If_Range='"v2"', If_Match='"v2"').of([("X", "y"), ("range", "bytes=0-1")])
    assert (wish.ranges, wish.if_range, wish.of_file_object) == ("bytes=0-1", None, True)
    assert wish.fields == (("If-Match", '"v2"'),)


@given(st.dictionaries(st.sampled_from(NAMES), st.text()))
def test_any_text_is_read_and_what_is_sent_is_printable(fields: dict[str, str]) -> None:
    wish = read_wish(fields)
    sent = dict(wish.fields)
    assert all(value.isprintable() for value in sent.values())
    assert "If-Range" not in sent or "Range" in sent
    if wish.preconditions is not None:
        assert wish.preconditions.decide(FILE) in (None, "failed", "not_modified")
