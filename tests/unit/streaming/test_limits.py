"""Limits of streams: who is admitted, and how a rate is shared."""

import pytest

from provider.errors import TooManyStreams
from provider.streaming.config import StreamConfig
from provider.streaming.limits import StreamLimits, StreamSlot


class Stream:
    """Remembers the rates it was given."""

    def __init__(self) -> None:
        self.rates: list[int] = []

    def pace(self, bytes_per_second: int) -> None:
        self.rates.append(bytes_per_second)


def test_no_limits_admit_everybody_and_pace_nobody() -> None:
    limits, stream = StreamLimits(StreamConfig()), Stream()
    with limits.admitted("a") as slot, limits.admitted("a"), limits.admitted("a"):
        slot.begin(stream)
    assert stream.rates == []


def test_a_stream_over_the_consumers_number_is_refused_until_one_ends() -> None:
    limits = StreamLimits(StreamConfig(max_streams_per_consumer=2))
    with limits.admitted("a"):
        with limits.admitted("a"), pytest.raises(TooManyStreams), limits.admitted("a"):
            pass
        with limits.admitted("a"):
            pass


def test_consumers_are_counted_apart() -> None:
    limits = StreamLimits(StreamConfig(max_streams_per_consumer=1))
    with limits.admitted("a"), limits.admitted("b"):
        pass


def test_a_refused_or_failed_stream_leaves_no_slot_behind() -> None:
    limits = StreamLimits(StreamConfig(max_streams_per_consumer=1))
    with pytest.raises(ValueError, match="origin"), limits.admitted("a"):
        raise ValueError("origin")
    with limits.admitted("a"):
        pass


def test_a_stream_that_ends_is_not_searched_among_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = StreamLimits(StreamConfig())
    slots = [limits.admitted("a") for _ in range(100)]
    compared: list[object] = []
    monkeypatch.setattr(StreamSlot, "__eq__", lambda one, other: compared.append(other) or one is other)
    for slot in reversed(slots):
        limits.leave(slot)
    assert compared == []


def test_a_consumers_rate_is_shared_by_its_running_streams() -> None:
    limits = StreamLimits(StreamConfig(max_bytes_per_second_per_consumer=1000))
    first, second = Stream(), Stream()
    with limits.admitted("a") as slot:
        slot.begin(first)
        with limits.admitted("a") as other:
            other.begin(second)
        assert (first.rates, second.rates) == ([1000, 500, 1000], [500])


def test_the_smaller_of_both_rates_counts() -> None:
    limits = StreamLimits(StreamConfig(max_bytes_per_second_per_stream=300, max_bytes_per_second_per_consumer=1000))
    assert (limits.rate(1), limits.rate(5)) == (300, 200)


class Counting:
    """Leases over hosts: `refuse` as when others hold them all, `away` as when nobody can count."""

    def __init__(self, *, refuse: bool = False, away: bool = False) -> None:
        self.refuse, self.away = refuse, away
        self.held: list[tuple[str, str]] = []

    async def acquire(self, consumer: str) -> str | None:
        if self.refuse:
            raise TooManyStreams
        if self.away:
            return None
        self.held.append((consumer, "lease"))
        return "lease"

    def release(self, consumer: str, lease: str) -> None:
        self.held.remove((consumer, lease))


@pytest.mark.gen_test
async def test_a_stream_counted_over_hosts_is_given_back_when_it_ends() -> None:
    leases = Counting()
    limits = StreamLimits(StreamConfig(max_streams_per_consumer=2), leases=leases)
    with limits.admitted("a") as slot:
        await limits.count_everywhere(slot)
        assert leases.held == [("a", "lease")]
    assert leases.held == []


@pytest.mark.gen_test
async def test_refusal_over_hosts_frees_the_slot_here() -> None:
    leases = Counting(refuse=True)
    limits = StreamLimits(StreamConfig(max_streams_per_consumer=1), leases=leases)
    with pytest.raises(TooManyStreams), limits.admitted("a") as slot:
        await limits.count_everywhere(slot)
    leases.refuse, leases.away = False, True
    with limits.admitted("a") as slot:
        await limits.count_everywhere(slot)
