"""Sessions are kept for their origin, for a while, in a bounded number."""

import time

import pytest

from provider.upstream.tls_sessions import SessionCache, TlsSession

FIRST, SECOND = ("https", "a.example", 443), ("https", "a.example", 8443)


def session(age_seconds: float = 0.0) -> TlsSession:
    return TlsSession(object(), time.monotonic() - age_seconds)  # type: ignore[arg-type]


def test_a_session_is_given_to_its_origin_as_often_as_asked() -> None:
    cache, kept = SessionCache(), session()
    cache.put(FIRST, kept)
    assert [cache.get(FIRST), cache.get(FIRST), cache.get(SECOND)] == [kept, kept, None]


def test_the_newest_takes_the_place_of_the_older() -> None:
    cache, newest = SessionCache(), session()
    cache.put(FIRST, session())
    cache.put(FIRST, newest)
    assert (cache.get(FIRST), len(cache)) == (newest, 1)


@pytest.mark.parametrize(("age_seconds", "given"), [(50.0, True), (70.0, False)])
def test_age_counts_from_the_look_at_the_certificate(age_seconds: float, given: bool) -> None:
    cache = SessionCache(age_seconds=60.0)
    cache.put(FIRST, session(age_seconds))
    assert (cache.get(FIRST) is not None) is given
    assert len(cache) == given


def test_beyond_the_bound_the_one_kept_longest_ago_goes() -> None:
    cache = SessionCache(max_entries=2)
    third = ("https", "b.example", 443)
    for origin in (FIRST, SECOND, FIRST, third):
        cache.put(origin, session())
    assert [cache.get(origin) is not None for origin in (FIRST, SECOND, third)] == [True, False, True]


def test_a_discarded_session_is_gone() -> None:
    cache = SessionCache()
    cache.put(FIRST, session())
    cache.discard(FIRST)
    cache.discard(SECOND)
    assert cache.get(FIRST) is None
