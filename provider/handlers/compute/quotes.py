"""Endpoints that come before a job: `GET computeEnvironments` and `POST initializeCompute`."""

import time

from provider.compute.environments import Environments
from provider.compute.quoting import Quoting
from provider.handlers.base import Endpoint
from provider.handlers.compute.params import RAW_ALGORITHM_BODY_BYTES, InitializeComputeRequest
from provider.upstream.charges import charged_to


class ComputeEnvironmentsEndpoint(Endpoint[Environments]):
    """Lists the environments where jobs can run, by chain."""

    endpoint = "computeEnvironments"

    async def handle(self) -> None:
        """Reply with the list (`provider-api.md` section 5.11). Arguments are ignored."""
        self.reply_json(await self.deps.listing())


class InitializeComputeEndpoint(Endpoint[Quoting]):
    """Quotes what must be ordered and paid."""

    endpoint = "initializeCompute"
    max_body_bytes = RAW_ALGORITHM_BODY_BYTES

    async def handle(self) -> None:
        """Reply with the quote (`provider-api.md` sections 5.7 and 9.3)."""
        quote = InitializeComputeRequest.parse(self.arguments(), now=time.time_ns() // 1_000_000_000).quote
        if self.ticket is not None:
            # Each item costs a lookup. Requests to files and other Providers are charged in addition.
            self.ticket.check_rate()
            self.ticket.charge_requests(quote.item_count - 1)
        with charged_to(self.ticket):
            self.reply_json(await self.deps.answer(quote))
