"""What a search for an order makes of contracts that say what they like."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import cast

import pytest

from provider.chain import events
from provider.chain.logs import Log
from provider.commands.get.failures import NoAccess
from provider.commands.get.links import Links, Reply
from provider.commands.get.order import Node, OrderSearch

DATATOKEN, BUYER = "0x" + "D1" * 20, "0x" + "C3" * 20


class Provider:
    """Knows one datatoken, and takes no order."""

    account = SimpleNamespace(address=BUYER)

    async def get(self, name: str, **query: str) -> Reply:
        return Reply(200, {}, json.dumps({"datatoken": DATATOKEN}).encode())


class Chain:
    """Has one order, of this time."""

    def __init__(self, timestamp: int) -> None:
        self.timestamp = timestamp

    async def newest_logs(self, address: Sequence[str] | None, topics: Sequence[object]) -> AsyncIterator[Log]:
        data = b"".join(number.to_bytes(32) for number in (int(BUYER, 16), 10**18, 0, self.timestamp))
        consumer, publisher = ("0x" + who[2:].lower().rjust(64, "0") for who in (BUYER, DATATOKEN))
        yield Log(DATATOKEN, (events.ORDER_STARTED, consumer, publisher), data, 1, 0, "0x" + "1" * 64)


@pytest.mark.parametrize(
    ("timestamp", "shown"),
    [(1_700_000_000, "2023-11-14T22:13:20Z"), (10**12, str(10**12)), (2**256 - 1, str(2**256 - 1))],
)
def test_an_order_of_no_time_on_earth_is_told_as_any_other(timestamp: int, shown: str) -> None:
    search = OrderSearch(
        cast(Links, Provider()),
        "did:op:" + "1" * 64,
        service_id="s",
        order_tx_id=None,
        node=cast(Node, Chain(timestamp)),
        asset=None,
    )
    with pytest.raises(NoAccess, match=f"the newest is of {shown}: order again"):
        asyncio.run(search.run())
