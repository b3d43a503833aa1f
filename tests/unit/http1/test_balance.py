"""The number of connections that each worker holds decides who takes the next one."""

import os

import pytest

from provider.http1.balance import Balance


@pytest.mark.parametrize(
    ("mine", "others", "is_larger"),
    [
        (0, (0, 0), False),
        (1, (0, 5), True),
        (5, (5, 9), False),
        (6, (5, 5), True),
        # With many connections, an eighth more is balanced enough.
        (9, (8, 8), False),
        (10, (8, 8), True),
        (450, (400, 900), False),
        (451, (400, 900), True),
    ],
)
def test_a_share_is_larger_than_the_least_by_more_than_an_eighth(
    mine: int, others: tuple[int, ...], is_larger: bool
) -> None:
    balance = Balance(1 + len(others))
    for index, count in enumerate(others, start=1):
        balance.share(index).hold(count)
    share = balance.share(0)
    share.hold(mine)
    assert share.is_larger is is_larger


def test_a_single_worker_takes_every_connection() -> None:
    share = Balance(1).share(0)
    share.hold(1000)
    assert not share.is_larger


def test_a_successor_begins_with_none() -> None:
    balance = Balance(2)
    balance.share(0).hold(7)
    successor = balance.share(0)
    balance.share(1).hold(1)
    assert not successor.is_larger


def test_processes_see_the_numbers_of_each_other() -> None:
    balance = Balance(2)
    mine = balance.share(0)
    mine.hold(3)
    pid = os.fork()
    if pid == 0:
        balance.share(1).hold(2)
        os._exit(0)
    os.waitpid(pid, 0)
    assert mine.is_larger
    mine.hold(2)
    assert not mine.is_larger
