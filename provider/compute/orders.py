"""Orders of a compute request: what the chain says of each item, and whether the job may start with them.

`OrderedItem` and `authorize` are pure: facts and the time in, the grant or a refusal out (sections 8.3 and 10.1).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from provider.cache import FactCache
from provider.chain import contracts
from provider.chain.networks import ZERO_ADDRESS, Network
from provider.compute.environment import Environment
from provider.compute.gather_limited import in_turns
from provider.compute.items import ALGORITHM, Chosen
from provider.compute.payment import Grant, Standing, Tariff, granted
from provider.errors import (
    ChainError,
    ComputeRefused,
    OrderDatatokenUnknown,
    OrderError,
    OrderFeeExpired,
    OrderNotFound,
)
from provider.orders.check import Order, OrderFacts, check_order, parse_tx_id
from provider.orders.lookup import OrderLookup

TokenKey = tuple[int, str]
"""Chain id, token."""


@dataclass(frozen=True, slots=True)
class OrderedItem:
    """An item with what the chain says of its order. `genuine`: its data NFT is one of the factory's.

    A publisher's own contract could emit a fee that nobody paid, hence nothing of another NFT counts.
    """

    chosen: Chosen
    tx_id: str
    genuine: bool
    facts: OrderFacts
    tariff: Tariff

    def order(self, *, sender: str, environment: str, now: float, tolerate_expired_fee: bool = False) -> Order:
        """The valid order of `sender` for exactly this environment. Raises OrderError."""
        if not self.genuine:
            raise OrderDatatokenUnknown
        return check_order(
            self.facts,
            self.chosen.service,
            tx_id=self.tx_id,
            sender=sender,
            provider=self.chosen.network.account.address,
            now=now,
            environment=environment,
            tolerate_expired_fee=tolerate_expired_fee,
        )

    def standing(self, *, sender: str, environment: str, now: float) -> Standing:
        """How the order stands before a quote; a bad one counts as none."""
        try:
            order = self.order(sender=sender, environment=environment, now=now, tolerate_expired_fee=True)
        except OrderError:
            return Standing(self.tariff)
        # The grace after the end is for starting a job; whoever asks for a quote is told to renew.
        return Standing(self.tariff, order, is_live=now < order.fee.valid_until)


@dataclass(frozen=True, slots=True)
class Authorization:
    """All orders are valid, in the order of the items, and the fee of one is alive and pays for the job."""

    orders: tuple[Order, ...]
    grant: Grant


def authorize(items: Sequence[OrderedItem], *, sender: str, environment: str, now: float) -> Authorization:
    """May `sender` start a job with these items in `environment`? Raises ComputeRefused.

    Every order must be valid for this environment, but only the fee that pays for the job must not have expired, as in
    Provider 2.1: what the other fees say about time was never paid for.
    """
    orders: list[Order] = []
    live: list[int] = []
    expired: ComputeRefused | None = None
    for index, item in enumerate(items):
        try:
            orders.append(item.order(sender=sender, environment=environment, now=now, tolerate_expired_fee=True))
            item.order(sender=sender, environment=environment, now=now)
            live.append(index)
        except OrderFeeExpired as error:
            expired = expired or order_refused(item.chosen, error)
        except OrderError as error:
            raise order_refused(item.chosen, error) from error
    try:
        grant = granted([(orders[index], items[index].tariff) for index in live], now)
    except ComputeRefused as error:
        # A fee that has expired may have been the one that paid: then its item is named.
        raise expired or error from None
    return Authorization(tuple(orders), replace(grant, payer=live[grant.payer]))


def order_refused(chosen: Chosen, error: OrderError) -> ComputeRefused:
    """The refusal of an item's order; the reason goes to the log, as the wire has one code for all."""
    detail = f"{error.code}: {error}"
    if chosen.item.resource == ALGORITHM:
        return ComputeRefused(ALGORITHM, "in_use_or_not_on_chain", detail=detail)
    return ComputeRefused(f"{chosen.item.resource}.serviceId", "order_invalid", detail=detail)


class OrderDesk:
    """Asks the chains about orders and fee tokens."""

    def __init__(self, *, lookup: OrderLookup, decimals: FactCache[TokenKey, int]) -> None:
        self._lookup = lookup
        self._decimals = decimals

    async def ordered(
        self, items: Sequence[Chosen], environment: Environment, *, wait: bool
    ) -> tuple[OrderedItem, ...]:
        """Facts of all items at once. `wait`: for transactions that a node does not know yet.

        Raises ComputeRefused for text that is no transaction id, ChainError.
        """

        async def ordered(chosen: Chosen) -> OrderedItem:
            return await self._ordered(chosen, environment, wait=wait)

        # All in one turn of the loop, since their questions then share an exchange with the node.
        return tuple(await in_turns(ordered, items, at_once=len(items)))

    async def _ordered(self, chosen: Chosen, environment: Environment, *, wait: bool) -> OrderedItem:
        try:
            tx_id = parse_tx_id(chosen.item.tx_id)
        except OrderNotFound as error:
            raise order_refused(chosen, error) from error
        genuine, (_, facts), tariff = await asyncio.gather(
            self._lookup.is_factory_nft(chosen.network, chosen.asset.data_nft),
            self._lookup.facts(
                chosen.network,
                data_nft=chosen.asset.data_nft,
                datatoken=chosen.service.datatoken,
                tx_id=tx_id,
                wait=wait,
            ),
            self.tariff(chosen.network, environment),
        )
        return OrderedItem(chosen, tx_id, genuine, facts, tariff)

    async def standing(self, chosen: Chosen, environment: Environment, *, sender: str, now: float) -> Standing:
        """How an item stands before it is quoted. Raises ChainError."""
        if chosen.item.tx_id:
            try:
                # Nobody has signed this request: it may not make us wait for a transaction of its choice.
                item = await self._ordered(chosen, environment, wait=False)
            except ComputeRefused:
                pass
            else:
                return item.standing(sender=sender, environment=environment.id, now=now)
        return Standing(await self.tariff(chosen.network, environment))

    async def tariff(self, network: Network, environment: Environment) -> Tariff:
        """Price of the environment in the chain's fee token. Raises ChainError."""
        price = environment.price_per_minute
        if price is None:
            raise ValueError("an environment without price is never found")
        if network.chain_id != environment.chain_id:
            return Tariff(price, network.fee_token, 0, accepted=False)
        decimals = 0
        if price and network.fee_token != ZERO_ADDRESS:
            decimals = await self._token_decimals(network)
        return Tariff(price, network.fee_token, decimals)

    async def _token_decimals(self, network: Network) -> int:
        token = network.fee_token

        async def fetch() -> int:
            decimals = contracts.decode_uint(await network.rpc.submit(contracts.decimals_call(token)))
            if decimals is None or decimals > 255:
                raise ChainError(detail=f"chain {network.chain_id}: the fee token tells no decimals")
            return decimals

        return await self._decimals.get((network.chain_id, token), fetch)
