"""A file is worth caching from its second request within a day on."""

from provider.slices.admission import Admission

DAY = 86_400.0


def test_the_second_request_within_a_day_admits() -> None:
    admission = Admission(2)
    assert [admission.admits(b"a", now=now) for now in (0, DAY, DAY + 1)] == [False, True, True]


def test_a_day_without_a_request_begins_anew() -> None:
    admission = Admission(2)
    assert [admission.admits(b"a", now=now) for now in (0, 1, DAY + 2)] == [False, True, False]


def test_the_first_request_admits_if_the_operator_says_so() -> None:
    assert Admission(1).admits(b"a", now=0)


def test_the_longest_unseen_file_is_forgotten_first() -> None:
    admission = Admission(2, max_files=2)
    for key in (b"a", b"b", b"a", b"c"):
        admission.admits(key, now=0)
    assert admission.admits(b"a", now=0)
    assert not admission.admits(b"b", now=0)
