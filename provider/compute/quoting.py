"""initializeCompute: what has to be ordered, and paid, before the job can start (`provider-api.md` section 9.3)."""

import time
from collections.abc import Callable, Sequence

from provider.compute.choices import Choices, Visit
from provider.compute.environment import Environment
from provider.compute.environments import Environments
from provider.compute.gather_limited import in_turns
from provider.compute.items import Chosen, QuoteWish
from provider.compute.orders import OrderDesk
from provider.compute.other_providers import OtherProviders
from provider.compute.parameters import check_quoted_parameters
from provider.compute.payment import Offer, Standing, check_end, offers
from provider.orders.fees import quote_fee

Json = dict[str, object]


class Quoting:
    """`clock` gives unix seconds."""

    def __init__(
        self,
        *,
        choices: Choices,
        desk: OrderDesk,
        environments: Environments,
        others: OtherProviders,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._choices = choices
        self._desk = desk
        self._environments = environments
        self._others = others
        self._clock = clock

    async def answer(self, wish: QuoteWish) -> Json:
        """The reply.

        Raises ComputeError, ValidationFailed, and what chains and services raise when they do not answer.
        """
        check_end(wish.end, self._clock())
        await self._environments.find(wish.environment)
        wanted = wish.algorithm.item
        algorithm = await self._choices.algorithm_to_quote(wanted) if wanted is not None else None
        datasets = await self._choices.datasets(wish.datasets, algorithm, Visit(wish.consumer, starts=False))
        check_quoted_parameters(datasets, algorithm, wish.algorithm)
        items = (*datasets, algorithm) if algorithm is not None else datasets
        # As at the start: it is paid on the chain of the main dataset, at the price that it has there.
        environment = await self._environments.find(wish.environment, chain_id=datasets[0].network.chain_id)
        told = await self._offers(items, environment, wish)
        reply: Json = {"datasets": told[: len(datasets)]}
        if algorithm is not None:
            reply["algorithm"] = told[-1]
        return reply

    async def _offers(self, items: Sequence[Chosen], environment: Environment, wish: QuoteWish) -> list[Json]:
        enquiry = self._others.enquire()

        async def is_ours(chosen: Chosen) -> bool:
            return self._choices.is_opened_here(chosen) or await enquiry.is_ours(chosen)

        ours = await in_turns(is_ours, items)

        async def stand(index: int) -> Standing:
            if not ours[index]:
                return Standing(await self._desk.tariff(items[index].network, environment))
            return await self._desk.standing(items[index], environment, sender=wish.consumer, now=self._clock())

        standings = await in_turns(stand, range(len(items)))
        now = self._clock()
        decided = offers(standings, end=wish.end, now=now)

        async def tell(index: int) -> Json:
            if not ours[index]:
                return await enquiry.offer(items[index], consumer=wish.consumer)
            return self._own(items[index], decided[index], wish, now)

        return await in_turns(tell, range(len(items)))

    def _own(self, chosen: Chosen, offer: Offer, wish: QuoteWish, now: float) -> Json:
        reply: Json = {}
        if offer.amount is not None:
            reply["datatoken"] = chosen.service.datatoken
            reply["providerFee"] = quote_fee(
                chosen.network.account,
                token=chosen.network.fee_token,
                amount=offer.amount,
                valid_until=wish.end,
                datatoken=chosen.service.datatoken,
                service_id=chosen.service.id,
                environment=wish.environment,
                now=now,
            )
        if offer.valid_order is not None:
            reply["validOrder"] = offer.valid_order
        return reply
