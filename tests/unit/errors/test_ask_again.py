"""When a refused client may come back."""

import pytest

from provider.errors import ChainUnavailable, TooManyRequests


@pytest.mark.parametrize(("seconds", "told"), [(0.0001, 1), (0.2, 1), (1.0, 1), (1.002, 2), (119.5, 120), (120.0, 120)])
def test_the_next_whole_second_is_told(seconds: float, told: int) -> None:
    assert TooManyRequests(after_seconds=seconds).retry_after_seconds == told


def test_a_difference_of_clock_readings_costs_no_second() -> None:
    # Of a machine that has run for seven minutes: the sum needs one bit more than either reading had.
    now = 420.123
    pause = (now + 120) - now
    assert pause > 120
    error = ChainUnavailable()
    error.ask_again_in(pause)
    assert error.retry_after_seconds == 120
