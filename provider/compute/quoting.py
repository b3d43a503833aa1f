"""initializeCompute: says what a consumer must order and pay before a job can start (`provider-api.md` section 9.3)."""

import time
from collections.abc import Callable, Sequence

from provider.compute.environment import Environment
from provider.compute.environments import Environments
from provider.compute.gather_limited import gather_limited
from provider.compute.items import QuoteRequest, ResolvedItem
from provider.compute.orders import OrderLoader
from provider.compute.other_providers import OtherProviders
from provider.compute.parameters import check_quoted_parameters
from provider.compute.payment import Offer, OrderStatus, check_end, offers
from provider.compute.resolver import ItemResolver, Requester
from provider.orders.fees import quote_fee

Json = dict[str, object]


class Quoting:
    """Answers quotes. `clock` gives unix seconds."""

    def __init__(
        self,
        *,
        resolver: ItemResolver,
        order_loader: OrderLoader,
        environments: Environments,
        others: OtherProviders,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._resolver = resolver
        self._order_loader = order_loader
        self._environments = environments
        self._others = others
        self._clock = clock

    async def answer(self, request: QuoteRequest) -> Json:
        """Return the reply.

        Raises ComputeError, ValidationFailed, and the errors of chains and services that do not answer.
        """
        check_end(request.end, self._clock())
        await self._environments.find(request.environment)
        named = request.algorithm.item
        algorithm = await self._resolver.algorithm_to_quote(named) if named is not None else None
        datasets = await self._resolver.datasets(request.datasets, algorithm, Requester(request.consumer, starts=False))
        check_quoted_parameters(datasets, algorithm, request.algorithm)
        items = (*datasets, algorithm) if algorithm is not None else datasets
        # As at the start: the job is paid on the chain of the main dataset, at the price there.
        environment = await self._environments.find(request.environment, chain_id=datasets[0].network.chain_id)
        told = await self._offers(items, environment, request)
        reply: Json = {"datasets": told[: len(datasets)]}
        if algorithm is not None:
            reply["algorithm"] = told[-1]
        return reply

    async def _offers(
        self, items: Sequence[ResolvedItem], environment: Environment, request: QuoteRequest
    ) -> list[Json]:
        enquiry = self._others.enquire()

        async def is_ours(resolved: ResolvedItem) -> bool:
            return self._resolver.is_opened_here(resolved) or await enquiry.is_ours(resolved)

        ours = await gather_limited(is_ours, items)

        async def stand(index: int) -> OrderStatus:
            if not ours[index]:
                return OrderStatus(await self._order_loader.tariff(items[index].network, environment))
            return await self._order_loader.status(
                items[index], environment, sender=request.consumer, now=self._clock()
            )

        statuses = await gather_limited(stand, range(len(items)))
        now = self._clock()
        decided = offers(statuses, end=request.end, now=now)

        async def tell(index: int) -> Json:
            if not ours[index]:
                return await enquiry.offer(items[index], consumer=request.consumer)
            return self._own(items[index], decided[index], request, now)

        return await gather_limited(tell, range(len(items)))

    def _own(self, resolved: ResolvedItem, offer: Offer, request: QuoteRequest, now: float) -> Json:
        reply: Json = {}
        if offer.amount is not None:
            reply["datatoken"] = resolved.service.datatoken
            reply["providerFee"] = quote_fee(
                resolved.network.account,
                token=resolved.network.fee_token,
                amount=offer.amount,
                valid_until=request.end,
                datatoken=resolved.service.datatoken,
                service_id=resolved.service.id,
                environment=request.environment,
                now=now,
            )
        if offer.valid_order is not None:
            reply["validOrder"] = offer.valid_order
        return reply
