"""The contents of a compute request (pure): datasets, an algorithm, and the services behind them once resolved."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from provider.assets.ddo import Asset, Service
from provider.chain.networks import Network

ALGORITHM = "algorithm"


@dataclass(frozen=True, slots=True)
class Item:
    """A service of an asset, with its order if there is one.

    `resource`: its name in refusals.
    Texts are as sent, empty when absent; `userdata` is the consumer's, as sent.
    """

    resource: str
    did: str
    service_id: str
    tx_id: str
    userdata: object = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A published algorithm (`item`) or a raw one (`meta`). If there is an item, `meta` is ignored [K21]."""

    item: Item | None
    meta: Mapping[str, object] | None = field(default=None, repr=False)
    user_data: object = field(default=None, repr=False)
    custom_data: object = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ResolvedItem:
    """An item with the asset, network and service that it names."""

    item: Item
    asset: Asset
    network: Network
    service: Service


def dataset_resource(index: int) -> str:
    """Return the name of the dataset at `index` in refusals (`provider-api.md` section 10.2)."""
    return "dataset" if index == 0 else f"datasets[{index}]"


@dataclass(frozen=True, slots=True)
class QuoteRequest:
    """The request of initializeCompute: what the items cost in `environment` until `end` (unix seconds)."""

    datasets: tuple[Item, ...]
    algorithm: Algorithm
    environment: str
    end: int
    consumer: str

    @property
    def item_count(self) -> int:
        """Number of services that the request names."""
        return len(self.datasets) + (self.algorithm.item is not None)


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A request to start a job. `consumer` is checksummed; `owner` is the same as sent, as the operator knows it."""

    datasets: tuple[Item, ...]
    algorithm: Algorithm
    environment: str
    consumer: str
    owner: str
    output: object = field(default=None, repr=False)
    policy_data: object = field(default=None, repr=False)
