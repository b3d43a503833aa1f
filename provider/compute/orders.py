"""Orders of a compute request: loads the facts about each item, and decides whether the job may start with them.

`OrderedItem` and `authorize` are pure: they take facts and the time, and return the grant or raise a refusal (sections
8.3 and 10.1).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from provider.cache import FactCache
from provider.chain import contracts
from provider.chain.networks import ZERO_ADDRESS, Network
from provider.compute.environment import Environment
from provider.compute.gather_limited import gather_limited
from provider.compute.items import ALGORITHM, ResolvedItem
from provider.compute.payment import Grant, OrderStatus, Tariff, granted
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
    """An item with the facts of its order. `genuine`: its data NFT was created by the factory.

    A publisher's own contract could emit a fee that nobody paid, so orders of other NFTs do not count.
    """

    resolved: ResolvedItem
    tx_id: str
    genuine: bool
    facts: OrderFacts
    tariff: Tariff

    def order(self, *, sender: str, environment: str, now: float, tolerate_expired_fee: bool = False) -> Order:
        """Return the valid order of `sender` for exactly this environment. Raises OrderError."""
        if not self.genuine:
            raise OrderDatatokenUnknown
        return check_order(
            self.facts,
            self.resolved.service,
            tx_id=self.tx_id,
            sender=sender,
            provider=self.resolved.network.account.address,
            now=now,
            environment=environment,
            tolerate_expired_fee=tolerate_expired_fee,
        )

    def status(self, *, sender: str, environment: str, now: float) -> OrderStatus:
        """Return the status of the order before a quote. An invalid order counts as none."""
        try:
            order = self.order(sender=sender, environment=environment, now=now, tolerate_expired_fee=True)
        except OrderError:
            return OrderStatus(self.tariff)
        # A job may start in the grace period after the end. A quote asks the consumer to renew instead.
        return OrderStatus(self.tariff, order, is_live=now < order.fee.valid_until)


@dataclass(frozen=True, slots=True)
class Authorization:
    """Valid orders, in the order of the items, and the grant by the one whose fee is alive and pays for the job."""

    orders: tuple[Order, ...]
    grant: Grant


def authorize(items: Sequence[OrderedItem], *, sender: str, environment: str, now: float) -> Authorization:
    """Decide whether `sender` may start a job with these items in `environment`. Raises ComputeRefused.

    Every order must be valid for this environment. Only the fee that pays for the job must not have expired, as in
    Provider 2.1: the times in the other fees were never paid for.
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
            expired = expired or order_refused(item.resolved, error)
        except OrderError as error:
            raise order_refused(item.resolved, error) from error
    try:
        grant = granted([(orders[index], items[index].tariff) for index in live], now)
    except ComputeRefused as error:
        # If the expired fee may have been the one that paid, its item is named.
        raise expired or error from None
    return Authorization(tuple(orders), replace(grant, payer=live[grant.payer]))


def order_refused(resolved: ResolvedItem, error: OrderError) -> ComputeRefused:
    """Make the refusal of an item's order. The reason goes to the log only, since the wire has one code for all."""
    detail = f"{error.code}: {error}"
    if resolved.item.resource == ALGORITHM:
        return ComputeRefused(ALGORITHM, "in_use_or_not_on_chain", detail=detail)
    return ComputeRefused(f"{resolved.item.resource}.serviceId", "order_invalid", detail=detail)


class OrderLoader:
    """Loads the facts about orders and fee tokens from the chains."""

    def __init__(self, *, lookup: OrderLookup, decimals: FactCache[TokenKey, int]) -> None:
        self._lookup = lookup
        self._decimals = decimals

    async def ordered(
        self, items: Sequence[ResolvedItem], environment: Environment, *, wait: bool
    ) -> tuple[OrderedItem, ...]:
        """Load the facts of all items at once. `wait`: wait for transactions that a node does not know yet.

        Raises ComputeRefused for a malformed transaction id, ChainError.
        """

        async def ordered(resolved: ResolvedItem) -> OrderedItem:
            return await self._ordered(resolved, environment, wait=wait)

        # All in one turn of the loop, so that their questions share a request to the node.
        return tuple(await gather_limited(ordered, items, limit=len(items)))

    async def _ordered(self, resolved: ResolvedItem, environment: Environment, *, wait: bool) -> OrderedItem:
        try:
            tx_id = parse_tx_id(resolved.item.tx_id)
        except OrderNotFound as error:
            raise order_refused(resolved, error) from error
        genuine, (_, facts), tariff = await asyncio.gather(
            self._lookup.is_factory_nft(resolved.network, resolved.asset.data_nft),
            self._lookup.facts(
                resolved.network,
                data_nft=resolved.asset.data_nft,
                datatoken=resolved.service.datatoken,
                tx_id=tx_id,
                wait=wait,
            ),
            self.tariff(resolved.network, environment),
        )
        return OrderedItem(resolved, tx_id, genuine, facts, tariff)

    async def status(self, resolved: ResolvedItem, environment: Environment, *, sender: str, now: float) -> OrderStatus:
        """Return the status of an item's order before it is quoted. Raises ChainError."""
        if resolved.item.tx_id:
            try:
                # This request is unsigned, so it must not make us wait for a transaction of its choice.
                item = await self._ordered(resolved, environment, wait=False)
            except ComputeRefused:
                pass
            else:
                return item.status(sender=sender, environment=environment.id, now=now)
        return OrderStatus(await self.tariff(resolved.network, environment))

    async def tariff(self, network: Network, environment: Environment) -> Tariff:
        """Return the price of the environment in the chain's fee token. Raises ChainError."""
        price = environment.price_per_minute
        if price is None:
            raise ValueError("the environment has no price")
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
                raise ChainError(detail=f"chain {network.chain_id}: the fee token reports no decimals")
            return decimals

        return await self._decimals.get((network.chain_id, token), fetch)
