"""How long the rest of a chain is said to take."""

import pytest

from provider.assets.progress import Progress, told_duration


def test_nothing_is_known_before_the_second_page_and_nothing_is_left_at_the_end() -> None:
    progress = Progress()
    assert progress.left_seconds(100) is None
    assert progress.left_seconds(0) == 0
    progress.note(10, 1.0)
    assert progress.left_seconds(100) is None
    progress.note(20, 1.0)
    assert progress.left_seconds(100) is None


def test_the_rate_is_that_of_the_last_minute() -> None:
    progress = Progress()
    for second in range(100):
        progress.note(second * 1000, float(second))
    assert progress.blocks_per_second == pytest.approx(1000)
    for second in range(100, 300):
        progress.note(99_000 + (second - 99) * 10, float(second))
    assert progress.blocks_per_second == pytest.approx(10)
    assert progress.left_seconds(600) == pytest.approx(60)


def test_many_pages_a_second_take_no_memory() -> None:
    progress = Progress()
    for page in range(100_000):
        progress.note(page, page / 500)
    assert len(progress._read) < 70
    assert progress.blocks_per_second == pytest.approx(500, rel=0.01)


def test_a_chain_that_was_cut_back_has_no_negative_rate() -> None:
    progress = Progress()
    progress.note(100, 0.0)
    progress.note(50, 10.0)
    assert progress.left_seconds(10) is None


def test_a_pause_is_not_part_of_the_rate() -> None:
    progress = Progress()
    progress.note(0, 0.0)
    progress.note(1000, 1.0)
    progress.rest()
    progress.note(1001, 500.0)
    assert progress.left_seconds(10) is None


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.4, "0 s"), (119, "119 s"), (720, "12 min"), (12_600, "3.5 h"), (7 * 86_400, "7 days")]
)
def test_a_duration_is_told_in_one_unit(seconds: float, told: str) -> None:
    assert told_duration(seconds) == told
