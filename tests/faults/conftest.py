"""The fixtures of the whole server, for tests that break what it stands on."""

from tests.e2e.conftest import (
    bought,
    consumer,
    launch,
    metadata_store,
    origin,
    publisher,
    sell,
    server,
    server_folder,
)

__all__ = [
    "bought",
    "consumer",
    "launch",
    "metadata_store",
    "origin",
    "publisher",
    "sell",
    "server",
    "server_folder",
]
