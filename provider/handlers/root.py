"""`GET /`: who this Provider is, for which chains, and where its endpoints are."""

from collections.abc import Mapping

from provider import __version__
from provider.chain.networks import Networks
from provider.handlers.base import Endpoint, Frame
from provider.handlers.routes import SERVICE_ENDPOINTS


def describe(networks: Networks) -> Mapping[str, object]:
    """The root document (`provider-api.md` section 3). Nothing is asked of a node: each client call starts here."""
    return {
        "software": "Provider",
        "version": __version__,
        "chainIds": list(networks.chain_ids),
        "providerAddresses": {str(network.chain_id): network.account.address for network in networks},
        "serviceEndpoints": {name: list(route) for name, route in SERVICE_ENDPOINTS.items()},
    }


class RootEndpoint(Endpoint):
    """Answers with the document made at start."""

    endpoint = "root"

    def initialize(self, *, frame: Frame, document: Mapping[str, object]) -> None:
        """`document` is what `describe` made."""
        super().initialize(frame=frame)
        self._document = document

    async def handle(self) -> None:
        """Reply."""
        self.reply_json(self._document)
