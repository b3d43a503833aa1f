"""The fixtures of the whole server, for tests that break what it stands on."""

from collections.abc import Iterator

import pytest

from provider.testing.chain.keys import CONSUMER_KEY
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published
from provider.testing.stage import DemoChain, DemoServer
from tests.e2e.conftest import (
    LaunchServer,
    bought,
    consumer,
    metadata_store,
    origin,
    publisher,
    sell,
    server,
    server_folder,
)
from tests.e2e.conftest import launch as launch_unwatched
from tests.support.footprint import Footprint, held_too_long, warm_footprint

__all__ = [
    "bought",
    "consumer",
    "launch_unwatched",
    "metadata_store",
    "origin",
    "publisher",
    "sell",
    "server",
    "server_folder",
]


@pytest.fixture
def launch(launch_unwatched: LaunchServer, chain: DemoChain, bought: tuple[Published, str]) -> Iterator[LaunchServer]:
    """As everywhere; and after the test its servers must hold what they did after their first download."""
    watched: list[tuple[DemoServer, Footprint]] = []

    def start(**settings: str) -> DemoServer:
        own = launch_unwatched(**settings)
        warmed = Consumer(chain.wallet(CONSUMER_KEY), own.url).download(*bought, file_index=1)
        assert (warmed.status, warmed.complete) == (200, True)
        watched.append((own, warm_footprint(own.child.pid)))
        return own

    yield start
    held = [held_too_long(before, own.child.pid) for own, before in watched]
    assert not any(held), held
