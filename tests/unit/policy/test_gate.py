"""With nothing configured the gate waits for nothing; what is configured decides."""

from collections.abc import Coroutine
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from provider.assets.credentials import parse_credentials
from provider.cache import FactCache
from provider.chain.networks import Network, Networks
from provider.errors import AccessDenied, PolicyServerUnavailable
from provider.policy.access_lists import AccessLists
from provider.policy.config import AccessConfig
from provider.policy.gate import DOWNLOAD, Gate
from provider.policy.policy_server import PolicyServer
from tests.support.assets import ASSET, NFT, SERVICE

ME = "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"
NETWORK = cast(Network, SimpleNamespace(account=SimpleNamespace(address=NFT)))
DENY_ME = parse_credentials({"deny": [{"type": "address", "values": [ME]}]})
LISTED = parse_credentials({"allow": [{"type": "accessList", "chainId": 7, "accessList": NFT}]})


def open_gate(policy: PolicyServer | None = None) -> Gate:
    cache = FactCache[Any, Any](name="x", max_entries=5, ttl_seconds=5)
    return Gate(AccessLists(Networks({}), cache=cache), policy=policy)


def at_once(work: Coroutine[Any, Any, None]) -> None:
    """Drive a coroutine that must never wait; no event loop is there that could make it go on."""
    with pytest.raises(StopIteration):
        work.send(None)


def test_nothing_is_awaited_when_nothing_is_configured() -> None:
    gate = open_gate()
    at_once(gate.ask_role("access", ME, "did:op:x", "s"))
    at_once(gate.ask_role_for_compute(ME))
    at_once(gate.admit(NETWORK, ASSET, SERVICE, ME, action=DOWNLOAD))
    at_once(gate.admit_encryption(NETWORK, ME))


def test_local_credentials_decide_without_a_policy_server() -> None:
    with pytest.raises(AccessDenied):
        open_gate().admit(NETWORK, replace(ASSET, credentials=DENY_ME), SERVICE, ME, action=None).send(None)


def test_access_list_of_an_unconfigured_chain_admits_nobody() -> None:
    with pytest.raises(AccessDenied):
        open_gate().admit(NETWORK, replace(ASSET, credentials=LISTED), SERVICE, ME, action=None).send(None)


def test_policy_server_stands_in_for_credentials_but_not_for_the_state() -> None:
    policy = PolicyServer("http://policy.test", AccessConfig())
    gate = open_gate(policy)
    at_once(gate.admit(NETWORK, replace(ASSET, credentials=DENY_ME), SERVICE, ME, action=None))
    with pytest.raises(AccessDenied):
        gate.admit(NETWORK, replace(ASSET, nft_state=3), SERVICE, ME, action=None).send(None)


def test_policy_server_is_never_asked_without_the_document() -> None:
    policy = PolicyServer("http://policy.test", AccessConfig())
    with pytest.raises(PolicyServerUnavailable):
        open_gate(policy).admit(NETWORK, ASSET, SERVICE, ME, action=DOWNLOAD).send(None)
