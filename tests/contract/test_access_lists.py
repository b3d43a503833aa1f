"""Access lists by the real AccessList contract: who is listed, how often the chain is asked, and what fails."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from provider.assets.credentials import AccessList
from provider.cache import FactCache
from provider.chain.config import RpcConfig
from provider.chain.networks import Network, Networks
from provider.chain.rpc import Rpc
from provider.crypto.accounts import Account
from provider.errors import ChainUnavailable
from provider.policy.access_lists import AccessLists
from provider.policy.address_rule import AddressRule
from provider.testing.chain.keys import PROVIDER_KEY, PUBLISHER_KEY
from provider.testing.market.publisher import ZERO_ADDRESS
from provider.testing.stage import DemoChain
from tests.support.access_list import AccessListContract, deploy_access_list
from tests.support.rpc_proxy import RpcProxy, running_rpc_proxy

MEMBER = "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"
OTHER = "0xe2DD09d719Da89e5a3D0F2549c7E24566e947260"
STRANGER = "0xe08A1dAe983BC701D05E492DB80e0144f8f4b909"


@pytest.fixture(scope="module")
def contract(chain: DemoChain) -> AccessListContract:
    """A list of one member; tests do not change it."""
    return deploy_access_list(chain.wallet(PUBLISHER_KEY), MEMBER)


@pytest.fixture
def proxy(chain: DemoChain) -> Iterator[RpcProxy]:
    with running_rpc_proxy(chain.url) as running:
        yield running


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def opened(proxy: RpcProxy, clock: Clock | None = None) -> AsyncIterator[AccessLists]:
    rpc = Rpc([proxy.url], RpcConfig(timeout_seconds=60), chain_id=8996)
    account = Account.from_hex(PROVIDER_KEY)
    network = Network(
        chain_id=8996, name="Ganache", rpc=rpc, factory=ZERO_ADDRESS, fee_token=ZERO_ADDRESS, account=account
    )
    more = {"clock": clock} if clock is not None else {}
    cache = FactCache[Any, Any](name="access_list", max_entries=50, ttl_seconds=30, **more)
    try:
        yield AccessLists(Networks({8996: network}), cache=cache)
    finally:
        await rpc.close()


@pytest.mark.gen_test(timeout=20)
async def test_holders_of_a_token_are_listed(proxy: RpcProxy, contract: AccessListContract) -> None:
    asked = AccessList(8996, contract.address)
    async with opened(proxy) as lists:
        assert await lists.memberships([asked], MEMBER) == {asked: True}
        assert await lists.memberships([asked], STRANGER) == {asked: False}


@pytest.mark.gen_test(timeout=20)
async def test_a_role_may_need_an_address_a_list_or_both(proxy: RpcProxy, contract: AccessListContract) -> None:
    here, elsewhere = AccessList(8996, contract.address), AccessList(1, contract.address)
    named = frozenset({MEMBER.lower(), OTHER.lower()})
    async with opened(proxy) as lists:
        for addresses, its_lists, admitted in (
            (frozenset[str](), (), {MEMBER, STRANGER, OTHER}),
            (named, (), {MEMBER, OTHER}),
            (frozenset[str](), (here,), {MEMBER}),
            (named, (here,), {MEMBER}),
            (frozenset({OTHER.lower()}), (here,), set[str]()),
            # As in ocean-node, a list of one chain is no rule for documents of another.
            (frozenset[str](), (elsewhere,), {MEMBER, STRANGER, OTHER}),
        ):
            rule = AddressRule(addresses, its_lists, lists)
            assert rule.is_open(8996) is (not addresses and here not in its_lists)
            assert {who for who in (MEMBER, STRANGER, OTHER) if await rule.admits(who, 8996)} == admitted


@pytest.mark.gen_test(timeout=20)
async def test_each_list_is_asked_in_a_request_of_its_own_and_then_known(
    chain: DemoChain, proxy: RpcProxy, contract: AccessListContract
) -> None:
    other = deploy_access_list(chain.wallet(PUBLISHER_KEY))
    first, second = AccessList(8996, contract.address), AccessList(8996, other.address)
    async with opened(proxy) as lists:
        for _ in range(3):
            assert await lists.memberships([first, second, first], MEMBER) == {first: True, second: False}
    # Two publishers' contracts: neither's answer, text or slowness concerns the other.
    assert proxy.trips == [["eth_chainId", "eth_call"]] * 2


@pytest.mark.gen_test(timeout=20)
async def test_who_is_listed_later_is_seen_soon_and_who_is_removed_after_the_lifetime(
    chain: DemoChain, proxy: RpcProxy
) -> None:
    clock, own = Clock(), deploy_access_list(chain.wallet(PUBLISHER_KEY))
    asked = AccessList(8996, own.address)
    async with opened(proxy, clock) as lists:
        assert await lists.memberships([asked], MEMBER) == {asked: False}
        own.add(MEMBER)
        assert await lists.memberships([asked], MEMBER) == {asked: False}
        clock.now = 11.0
        assert await lists.memberships([asked], MEMBER) == {asked: True}
        own.remove_first()
        clock.now = 40.0
        assert await lists.memberships([asked], MEMBER) == {asked: True}
        clock.now = 42.0
        assert await lists.memberships([asked], MEMBER) == {asked: False}


@pytest.mark.gen_test(timeout=20)
async def test_unknown_chain_and_address_without_contract_are_absent(
    chain: DemoChain, proxy: RpcProxy, contract: AccessListContract
) -> None:
    elsewhere, empty = AccessList(1, contract.address), AccessList(8996, STRANGER)
    no_list = AccessList(8996, chain.contracts.factory)
    async with opened(proxy) as lists:
        assert await lists.memberships([elsewhere, empty, no_list], MEMBER) == {}
        # The contract refuses the question about the zero address.
        assert await lists.memberships([AccessList(8996, contract.address)], ZERO_ADDRESS) == {}


@pytest.mark.gen_test(timeout=20)
async def test_node_that_fails_is_no_answer_and_is_not_remembered(
    proxy: RpcProxy, contract: AccessListContract
) -> None:
    asked = AccessList(8996, contract.address)
    async with opened(proxy) as lists:
        proxy.up = False
        with pytest.raises(ChainUnavailable):
            await lists.memberships([asked], MEMBER)
        proxy.up = True
        assert await lists.memberships([asked], MEMBER) == {asked: True}
