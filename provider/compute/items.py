"""What a compute request names (pure): datasets, an algorithm, and the services behind them once they are found."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from provider.assets.ddo import Asset, Service
from provider.chain.networks import Network

ALGORITHM = "algorithm"


@dataclass(frozen=True, slots=True)
class Item:
    """A service of an asset, with the order for it where there is one.

    `resource` names it in refusals; texts are as sent, empty when absent. `userdata` is the consumer's, as sent.
    """

    resource: str
    did: str
    service_id: str
    tx_id: str
    userdata: object = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A published algorithm (`item`), or a raw one (`meta`); with an item, `meta` counts for nothing [K21]."""

    item: Item | None
    meta: Mapping[str, object] | None = field(default=None, repr=False)
    user_data: object = field(default=None, repr=False)
    custom_data: object = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ResolvedItem:
    """An item and what it names."""

    item: Item
    asset: Asset
    network: Network
    service: Service


def dataset_resource(index: int) -> str:
    """How refusals call the dataset at `index` (`provider-api.md` section 10.2)."""
    return "dataset" if index == 0 else f"datasets[{index}]"


@dataclass(frozen=True, slots=True)
class QuoteRequest:
    """initializeCompute: what the items cost in `environment` until `end` (unix seconds)."""

    datasets: tuple[Item, ...]
    algorithm: Algorithm
    environment: str
    end: int
    consumer: str

    @property
    def item_count(self) -> int:
        """Number of services that are named."""
        return len(self.datasets) + (self.algorithm.item is not None)


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A job to start. `consumer` is checksummed; `owner` is the same as sent, which is how the operator knows it."""

    datasets: tuple[Item, ...]
    algorithm: Algorithm
    environment: str
    consumer: str
    owner: str
    output: object = field(default=None, repr=False)
    policy_data: object = field(default=None, repr=False)
