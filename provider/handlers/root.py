"""`GET /`: who this Provider is, for which chains, and where its endpoints are."""

from dataclasses import dataclass
from typing import Self

import orjson

from provider import __version__
from provider.auth import messages
from provider.chain.accounts import compressed_public_key
from provider.chain.networks import Networks
from provider.handlers.base import Endpoint, Frame
from provider.handlers.routes import NODE_ENDPOINTS, SERVICE_ENDPOINTS


@dataclass(frozen=True, slots=True)
class Identity:
    """How we are known where one node has one address, as in ocean-node: by the key of the first configured chain.

    `public_key`: compressed, hex with `0x`; `networks`: ids and names of all chains.
    """

    address: str
    public_key: str
    node_id: str
    networks: tuple[tuple[int, str], ...]

    @classmethod
    def of(cls, networks: Networks) -> Self:
        """At least one chain is configured, else no server starts."""
        account = next(iter(networks)).account
        return cls(
            address=account.address,
            public_key="0x" + compressed_public_key(account.public_key).hex(),
            node_id=messages.node_id(account.address),
            networks=tuple((network.chain_id, network.name) for network in networks),
        )


def describe(networks: Networks) -> bytes:
    """The root document (`provider-api.md` section 3). Nothing is asked of a node: each client call starts here.

    It holds what clients of Provider 2.1 look for and what those of ocean-node do: `providerAddresses` and
    `providerAddress`, and both sets of endpoint names, which clients match in any case.
    """
    identity = Identity.of(networks)
    endpoints = {**SERVICE_ENDPOINTS, **NODE_ENDPOINTS}
    return orjson.dumps(
        {
            "software": "Provider",
            "version": __version__,
            "chainIds": list(networks.chain_ids),
            "providerAddresses": {str(network.chain_id): network.account.address for network in networks},
            "providerAddress": identity.address,
            "nodeId": identity.node_id,
            "nodePublicKey": identity.public_key,
            "serviceEndpoints": {name: list(route) for name, route in endpoints.items()},
        },
        option=orjson.OPT_APPEND_NEWLINE,
    )


class RootEndpoint(Endpoint):
    """Answers with the document made at start."""

    endpoint = "root"

    def initialize(self, *, frame: Frame, document: bytes) -> None:
        """`document` is what `describe` made."""
        super().initialize(frame=frame)
        self._document = document

    async def handle(self) -> None:
        """Reply."""
        self.set_header("Content-Type", "application/json")
        self.set_header("Content-Length", str(len(self._document)))
        self.write(self._document)
