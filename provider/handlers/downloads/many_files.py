"""Asks the origins of all files of a list for one request."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from typing import TypeVar

from provider.admission.entry import Ticket
from provider.compute.gather_limited import gather_limited

R = TypeVar("R")

# How many files of one list are asked for at a time, so that one request does not become a flood [K15].
FILES_AT_ONCE = 4


async def each_file(count: int, ask: Callable[[int], Awaitable[R]], ticket: Ticket | None) -> Sequence[R]:
    """Results of `ask` for the files 0 to `count` - 1, in order.

    The client pays for each file, and each file in progress takes one of its inspections. The work may outlive the
    request if others wait for the same answer.

    Raises:
        TooManyRequests: the client owes requests.
        ProviderError: what `ask` raises.
    """
    with ExitStack() as held:
        places = 1
        if ticket is not None:
            ticket.check_rate()
            ticket.charge_requests(count - 1)
            inspections = ticket.inspections(min(FILES_AT_ONCE, count))
            for inspection in inspections:
                held.callback(inspection.end)
            places = max(1, len(inspections))
        return await gather_limited(ask, range(count), limit=places)
