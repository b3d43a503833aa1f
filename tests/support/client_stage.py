"""The environment in which a client library is driven against a server, and its description for the driver."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provider.testing.chain.keys import SPARE_KEYS
from provider.testing.stage import DemoChain, DemoServer
from tests.support.client_installs import Drive
from tests.support.indexer import Family, Indexer
from tests.support.metadata_store import MetadataStore
from tests.support.origin import Origin

PUBLISHER_KEY, CONSUMER_KEY, DECRYPTER_KEY = SPARE_KEYS[:3]


@dataclass(frozen=True)
class Stage:
    """The client's environment: a Provider, its metadata store and the indexer behind that, a chain, an origin."""

    server: DemoServer
    store: MetadataStore
    indexer: Indexer
    chain: DemoChain
    origin: Origin
    folder: Path

    def described(self, **more: object) -> dict[str, Any]:
        """Return the description that a driver reads from standard input."""
        described = describe(self.folder, self.chain, self.server, self.origin)
        return {**described, "aquarius": self.store.url, **more}


def describe(folder: Path, chain: DemoChain, server: DemoServer, origin: Origin) -> dict[str, Any]:
    """Return what a driver reads from standard input where no metadata store runs."""
    address_file = folder / "address.json"
    address_file.write_text(chain.contracts.address_file(), encoding="utf-8")
    return {
        "rpc": chain.url,
        "chainId": chain.contracts.chain_id,
        "provider": server.url,
        "addressFile": str(address_file),
        "publisherKey": PUBLISHER_KEY,
        "consumerKey": CONSUMER_KEY,
        "files": [f"{origin.url}/data.csv", f"{origin.url}/bytes/300000"],
    }


SetStage = Callable[[str, Family], Stage]


@dataclass(frozen=True)
class Driven:
    """One run of a client: the stage afterwards, and the report of each step."""

    stage: Stage
    drive: Drive
