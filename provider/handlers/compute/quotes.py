"""Before a job: `GET computeEnvironments` and `POST initializeCompute`."""

from provider.compute.environments import Environments
from provider.compute.quoting import Quoting
from provider.handlers.base import Endpoint
from provider.handlers.compute.params import RAW_ALGORITHM_BODY_BYTES, InitializeComputeRequest
from provider.upstream.charges import charged_to


class ComputeEnvironmentsEndpoint(Endpoint[Environments]):
    """Where jobs can run, by chain."""

    endpoint = "computeEnvironments"

    async def handle(self) -> None:
        """`provider-api.md` section 5.11; whatever is sent along is ignored."""
        self.reply_json(await self.deps.listing())


class InitializeComputeEndpoint(Endpoint[Quoting]):
    """What has to be ordered and paid."""

    endpoint = "initializeCompute"
    max_body_bytes = RAW_ALGORITHM_BODY_BYTES

    async def handle(self) -> None:
        """`provider-api.md` sections 5.7 and 9.3."""
        quote = InitializeComputeRequest.parse(self.arguments()).quote
        if self.ticket is not None:
            # Each item has to be looked up; what files and other Providers are asked for comes on top.
            self.ticket.check_rate()
            self.ticket.charge_requests(quote.item_count - 1)
        with charged_to(self.ticket):
            self.reply_json(await self.deps.answer(quote))
