"""Compute routes of ocean-node that an operator service cannot carry: they answer with the reason."""

from provider.errors import ComputeNotOffered
from provider.handlers.base import Endpoint


class NotOfferedEndpoint(Endpoint[None]):
    """`POST freeCompute` and `GET computeStreamableLogs`."""

    endpoint = "computeNotOffered"

    async def handle(self) -> None:
        """Raises ComputeNotOffered."""
        raise ComputeNotOffered
