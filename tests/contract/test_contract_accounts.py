"""ERC-1271 on a real EVM: who is a contract, what it takes for its signature, and what asking costs."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account as EthAccount
from eth_account.messages import encode_defunct
from eth_utils import keccak

from provider.auth import messages
from provider.auth.identify import Identifier, Signed
from provider.auth.nonce_store import NonceStore
from provider.auth.sqlite_store import SqliteNonceStore
from provider.auth.token import PresentedToken
from provider.auth.tokens import Tokens
from provider.cache import FactCache
from provider.chain.config import RpcConfig
from provider.chain.contract_accounts import BURST, UNKNOWN_PART, ContractAccounts
from provider.chain.networks import ZERO_ADDRESS, Network, Networks
from provider.chain.rpc import Rpc
from provider.crypto.accounts import Account
from provider.errors import (
    AssetNotFound,
    ChainUnavailable,
    ContractChecksBusy,
    MetadataStoreUnavailable,
    NonceRefused,
    ProviderError,
    SignatureInvalid,
)
from provider.handlers.identity.token_params import NamedChain
from provider.testing.chain.keys import PROVIDER_KEY, PUBLISHER_KEY, SPARE_KEYS
from provider.testing.stage import DemoChain
from tests.support.contract_account import ANSWERS_TRUE, GREEDY, REVERTING, SHORT_MAGIC, deploy, owned_by
from tests.support.rpc_proxy import RpcProxy, running_rpc_proxy

OWNER = EthAccount.from_key(SPARE_KEYS[5])
STRANGER = EthAccount.from_key(SPARE_KEYS[6])
DID = "did:op:" + "00" * 32
CACHED, LIFETIME_SECONDS = 100, 30.0
UNKNOWN_BURST = int(BURST * UNKNOWN_PART)
HONEST, FORGER = b"\x08\x08\x08\x08", b"\x09\x09\x09\x09"


@pytest.fixture(scope="module")
def wallet(chain: DemoChain) -> str:
    """A wallet contract of OWNER's."""
    return deploy(chain.wallet(PUBLISHER_KEY), owned_by(OWNER.address))


@pytest.fixture
def rpc(chain: DemoChain) -> Iterator[RpcProxy]:
    with running_rpc_proxy(chain.url) as proxy:
        yield proxy


def cache(clock: Callable[[], float] = time.monotonic) -> FactCache[tuple[int, str], bool]:
    return FactCache(name="contract_account", max_entries=CACHED, ttl_seconds=LIFETIME_SECONDS, clock=clock)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class SoughtChain:
    """The chain of an asset that is not in memory; counts how often it is looked for."""

    found: int | ProviderError
    sought: int = 0

    def known(self) -> None:
        return None

    async def find(self) -> int:
        self.sought += 1
        if isinstance(self.found, ProviderError):
            raise self.found
        return self.found


class Desk:
    """An Identifier with all its parts, over the counting proxy."""

    def __init__(self, rpc: RpcProxy, store: NonceStore, chains: int) -> None:
        self.rpc = rpc
        self.clock = Clock()
        first = Network(
            chain_id=8996,
            name="Ganache",
            rpc=Rpc([rpc.url], RpcConfig(timeout_seconds=60), chain_id=8996),
            factory=ZERO_ADDRESS,
            fee_token="0x" + "00" * 20,
            account=Account.from_hex(PROVIDER_KEY),
        )
        networks = [replace(first, chain_id=8996 + number) for number in range(chains)]
        self.networks = Networks({network.chain_id: network for network in networks})
        self.contracts = ContractAccounts(self.networks, holding_code=cache(self.clock), clock=self.clock)
        self.store = store
        self.identifier = Identifier(store, Tokens(b"k" * 32, store, max_lifetime_seconds=60), contracts=self.contracts)

    async def ask(self, address: str, signature: str, nonce: str, chain_id: int | None = 8996, **more: Any) -> str:
        texts = messages.download(document_id=DID, consumer=address, nonce=nonce)
        options = {"chain": None if chain_id is None else NamedChain(chain_id), **more}
        proof = Signed(address, address, nonce, signature, options.pop("token", None))
        return await self.identifier.identify(proof, texts, **options)

    @property
    def methods(self) -> list[list[str]]:
        return [[method for method in trip if method != "eth_chainId"] for trip in self.rpc.trips]


@asynccontextmanager
async def desk(rpc: RpcProxy, folder: Path, chains: int = 1) -> AsyncIterator[Desk]:
    store = SqliteNonceStore(folder / "n.db")
    opened = Desk(rpc, store, chains)
    try:
        yield opened
    finally:
        await store.close()
        for network in opened.networks:
            await network.rpc.close()


def signed(account: Any, text: str, form: str = "hash") -> str:
    """As ocean.js lets wallets sign (the 32 bytes of the hash), or as applications do with the text itself."""
    signable = encode_defunct(primitive=keccak(text=text)) if form == "hash" else encode_defunct(text=text)
    return str(account.sign_message(signable).signature.hex())


@pytest.mark.parametrize("form", ["hash", "text"])
@pytest.mark.parametrize("family", ["new", "old"])
@pytest.mark.gen_test(timeout=60)
async def test_contract_vouches_for_its_owner(
    rpc: RpcProxy, wallet: str, tmp_path: Path, form: str, family: str
) -> None:
    text = f"{wallet}7download" if family == "new" else f"{DID}7"
    async with desk(rpc, tmp_path) as open_desk:
        assert await open_desk.ask(wallet, signed(OWNER, text, form), "7") == wallet
        assert open_desk.methods == [["eth_getCode"], ["eth_call"] * 4]
        assert await open_desk.store.last(wallet) == "7"


@pytest.mark.gen_test(timeout=60)
async def test_replay_at_a_contract_is_refused_before_the_contract_is_asked(
    rpc: RpcProxy, wallet: str, tmp_path: Path
) -> None:
    async with desk(rpc, tmp_path) as open_desk:
        signature = signed(OWNER, f"{wallet}7download")
        await open_desk.ask(wallet, signature, "7")
        trips = len(rpc.trips)
        with pytest.raises(NonceRefused, match=r"expected nonce \(7\) > current nonce \(7\)"):
            await open_desk.ask(wallet, signature, "7")
        assert len(rpc.trips) == trips


@pytest.mark.gen_test(timeout=60)
async def test_what_the_contract_does_not_take_is_refused_and_spends_nothing(
    rpc: RpcProxy, wallet: str, tmp_path: Path
) -> None:
    async with desk(rpc, tmp_path) as open_desk:
        for signature in (
            signed(STRANGER, f"{wallet}7download"),
            signed(OWNER, f"{wallet}8download"),
            signed(OWNER, f"{wallet}7decryptDDO"),
            signed(OWNER, f"{wallet}7"),
            "00" * 65,
            "01",
            "ff" * 4096,
        ):
            with pytest.raises(SignatureInvalid):
                await open_desk.ask(wallet, signature, "7")
        assert await open_desk.store.last(wallet) is None


@pytest.mark.parametrize("code", [GREEDY, REVERTING, ANSWERS_TRUE, SHORT_MAGIC], ids=["gas", "revert", "bool", "short"])
@pytest.mark.gen_test(timeout=60)
async def test_contracts_that_answer_something_else_are_refused(
    rpc: RpcProxy, chain: DemoChain, tmp_path: Path, code: bytes
) -> None:
    address = deploy(chain.wallet(PUBLISHER_KEY), code)
    async with desk(rpc, tmp_path) as open_desk:
        with pytest.raises(SignatureInvalid):
            await open_desk.ask(address, signed(OWNER, f"{address}7download"), "7")


@pytest.mark.gen_test(timeout=60)
async def test_wallet_that_is_not_deployed_is_refused_and_asked_once_a_while(rpc: RpcProxy, tmp_path: Path) -> None:
    address = "0x" + "1d" * 20
    async with desk(rpc, tmp_path) as open_desk:
        for _ in range(5):
            with pytest.raises(SignatureInvalid):
                await open_desk.ask(address, signed(OWNER, f"{address}7download"), "7")
        assert open_desk.methods == [["eth_getCode"]]


@pytest.mark.gen_test(timeout=60)
async def test_signature_of_a_key_asks_no_node(rpc: RpcProxy, tmp_path: Path) -> None:
    async with desk(rpc, tmp_path) as open_desk:
        await open_desk.ask(OWNER.address, signed(OWNER, f"{OWNER.address}7download"), "7")
        assert rpc.trips == []


@pytest.mark.parametrize("signature", ["", "0x", "zz", "abc", "00" * 4097], ids=lambda text: text[:4])
@pytest.mark.gen_test(timeout=60)
async def test_malformed_signature_asks_no_node(rpc: RpcProxy, wallet: str, tmp_path: Path, signature: str) -> None:
    async with desk(rpc, tmp_path) as open_desk:
        with pytest.raises(SignatureInvalid):
            await open_desk.ask(wallet, signature, "7")
        assert rpc.trips == []


@pytest.mark.gen_test(timeout=60)
async def test_strangers_together_ask_so_many_questions_and_no_more(rpc: RpcProxy, tmp_path: Path) -> None:
    async with desk(rpc, tmp_path) as open_desk:
        refusals: list[type] = []
        for number in range(UNKNOWN_BURST + 10):
            try:
                await open_desk.ask(f"0x{number:040x}", "00" * 65, "7")
            except (SignatureInvalid, ContractChecksBusy) as error:
                refusals.append(type(error))
        assert refusals == [SignatureInvalid] * UNKNOWN_BURST + [ContractChecksBusy] * 10
        assert len(rpc.trips) == UNKNOWN_BURST
        # Accounts with a key are served all the while, and the rest after a moment.
        await open_desk.ask(OWNER.address, signed(OWNER, f"{OWNER.address}7download"), "7")
        open_desk.clock.now += 1
        with pytest.raises(SignatureInvalid):
            await open_desk.ask("0x" + "ee" * 20, "00" * 65, "7")


@pytest.mark.gen_test(timeout=60)
@pytest.mark.parametrize("forger", [FORGER, None], ids=["one client", "whose client is not known"])
async def test_forger_does_not_shut_contract_wallets_out(
    rpc: RpcProxy, wallet: str, tmp_path: Path, forger: bytes | None
) -> None:
    """16 forged requests a second, each of another address, used to leave a wallet 5 of 22 tries."""
    async with desk(rpc, tmp_path) as open_desk:
        nonce = 0

        async def use_wallet() -> None:
            nonlocal nonce
            nonce += 1
            signature = signed(OWNER, f"{wallet}{nonce}download")
            assert await open_desk.ask(wallet, signature, str(nonce), client=HONEST) == wallet

        await use_wallet()
        for number in range(160):
            with pytest.raises((SignatureInvalid, ContractChecksBusy)):
                await open_desk.ask(f"0x{number:040x}", "11" * 65, "7", client=forger)
            open_desk.clock.now += 1 / 16
            if number % 10 == 0:
                await use_wallet()


@pytest.mark.gen_test(timeout=60)
async def test_forger_who_names_a_real_contract_is_held_to_a_share(rpc: RpcProxy, wallet: str, tmp_path: Path) -> None:
    async with desk(rpc, tmp_path) as open_desk:
        refused: Counter[type] = Counter()
        for number in range(BURST):
            with pytest.raises((SignatureInvalid, ContractChecksBusy)) as error:
                await open_desk.ask(wallet, "11" * 65, str(number + 1), client=FORGER)
            refused[error.type] += 1
        assert refused[SignatureInvalid] < BURST / 2
        signature = signed(OWNER, f"{wallet}{BURST}download")
        assert await open_desk.ask(wallet, signature, str(BURST), client=HONEST) == wallet


@pytest.mark.gen_test(timeout=60)
async def test_wallet_on_many_chains_fits_into_a_share(rpc: RpcProxy, wallet: str, tmp_path: Path) -> None:
    async with desk(rpc, tmp_path, chains=30) as open_desk:
        signature = signed(OWNER, f"{wallet}7download")
        assert await open_desk.ask(wallet, signature, "7", chain_id=None, client=HONEST) == wallet


@pytest.mark.gen_test(timeout=60)
async def test_forged_requests_of_an_account_with_a_key_cost_one_question_in_its_lifetime(
    rpc: RpcProxy, tmp_path: Path
) -> None:
    """Whatever asset they name, the asset is not looked for."""
    async with desk(rpc, tmp_path) as open_desk:
        chain = SoughtChain(8996)
        forged = signed(STRANGER, f"{OWNER.address}7download")
        for number in range(BURST * 2):
            with pytest.raises(SignatureInvalid):
                await open_desk.ask(OWNER.address, forged, str(number + 1), chain=chain)
        assert open_desk.methods == [["eth_getCode"]]
        open_desk.clock.now += LIFETIME_SECONDS + 1
        with pytest.raises(SignatureInvalid):
            await open_desk.ask(OWNER.address, forged, "7", chain=chain)
        assert rpc.count("eth_getCode") == 2
        assert chain.sought == 0


@pytest.mark.gen_test(timeout=60)
async def test_an_asset_in_memory_names_the_one_chain_that_is_asked(rpc: RpcProxy, tmp_path: Path) -> None:
    async with desk(rpc, tmp_path, chains=3) as open_desk:
        forged = signed(STRANGER, f"{OWNER.address}7download")
        with pytest.raises(SignatureInvalid):
            await open_desk.ask(OWNER.address, forged, "7", chain=NamedChain(8997))
        assert rpc.count("eth_getCode") == 1
        # Of an asset that is not, each chain is asked once.
        for _ in range(5):
            with pytest.raises(SignatureInvalid):
                await open_desk.ask(OWNER.address, forged, "7", chain=SoughtChain(8997))
        assert rpc.count("eth_getCode") == 3


@pytest.mark.gen_test(timeout=60)
async def test_assets_are_looked_for_within_the_same_bound_for_an_account_with_code(
    rpc: RpcProxy, wallet: str, tmp_path: Path
) -> None:
    async with desk(rpc, tmp_path) as open_desk:
        chain = SoughtChain(AssetNotFound())
        refusals: Counter[type] = Counter()
        for _ in range(BURST + 10):
            try:
                await open_desk.ask(wallet, "00" * 65, "7", chain=chain)
            except (SignatureInvalid, ContractChecksBusy) as error:
                refusals[type(error)] += 1
        assert refusals == {SignatureInvalid: BURST - 1, ContractChecksBusy: 11}
        assert chain.sought == BURST - 1
        assert open_desk.methods == [["eth_getCode"]]


@pytest.mark.gen_test(timeout=60)
async def test_questions_under_way_are_shared_and_bounded(rpc: RpcProxy, tmp_path: Path) -> None:
    """The node holds its answers back, while forged requests of one account and of many come at once."""

    async def refused(number: int, *, one: bool) -> type:
        try:
            await open_desk.ask(
                "0x" + "1e" * 20 if one else f"0x{number:040x}", "00" * 65, "7", chain=SoughtChain(8996)
            )
        except (SignatureInvalid, ContractChecksBusy) as error:
            return type(error)
        pytest.fail("taken")

    async with desk(rpc, tmp_path) as open_desk:
        rpc.open.clear()
        asked = [asyncio.ensure_future(refused(number, one=number < 200)) for number in range(400)]
        served = 200 + UNKNOWN_BURST - 1
        while rpc.count("eth_getCode") < UNKNOWN_BURST or sum(task.done() for task in asked) < 400 - served:  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # polls the node and its askers
        assert rpc.count("eth_getCode") == UNKNOWN_BURST
        rpc.open.set()
        assert Counter(await asyncio.gather(*asked)) == {SignatureInvalid: served, ContractChecksBusy: 400 - served}
        assert rpc.count("eth_getCode") == UNKNOWN_BURST


@pytest.mark.gen_test(timeout=60)
async def test_what_is_remembered_of_accounts_is_bounded(rpc: RpcProxy, tmp_path: Path) -> None:
    async with desk(rpc, tmp_path) as open_desk:
        held = open_desk.contracts._holding_code
        for number in range(CACHED + 10):
            open_desk.clock.now += 0.2
            with pytest.raises(SignatureInvalid):
                await open_desk.ask(f"0x{number:040x}", "00" * 65, "7")
        assert len(held) == CACHED


@pytest.mark.gen_test(timeout=60)
async def test_a_chain_that_is_away_keeps_nobody_from_another(
    rpc: RpcProxy, chain: DemoChain, wallet: str, tmp_path: Path
) -> None:
    async with desk(rpc, tmp_path, chains=2) as open_desk:
        first, _ = open_desk.networks
        away = Rpc(["http://127.0.0.1:1"], RpcConfig(), chain_id=1)
        open_desk.networks = Networks({8996: first, 1: replace(first, chain_id=1, rpc=away)})
        open_desk.identifier = Identifier(
            open_desk.store,
            Tokens(b"k" * 32, open_desk.store, max_lifetime_seconds=60),
            contracts=ContractAccounts(open_desk.networks, holding_code=cache()),
        )
        signature = signed(OWNER, f"{wallet}7download")
        assert await open_desk.ask(wallet, signature, "7", chain=SoughtChain(8996)) == wallet
        with pytest.raises(ChainUnavailable):
            await open_desk.ask(wallet, signed(OWNER, f"{wallet}8download"), "8", chain=SoughtChain(1))
        await away.close()


@pytest.mark.gen_test(timeout=60)
async def test_node_that_cannot_be_reached_is_no_wrong_signature(rpc: RpcProxy, wallet: str, tmp_path: Path) -> None:
    async with desk(rpc, tmp_path) as open_desk:
        rpc.up = False
        with pytest.raises(ChainUnavailable):
            await open_desk.ask(wallet, signed(OWNER, f"{wallet}7download"), "7")


@pytest.mark.gen_test(timeout=60)
async def test_who_has_proven_nothing_learns_nothing_about_assets(rpc: RpcProxy, wallet: str, tmp_path: Path) -> None:
    unknown, unreachable = SoughtChain(AssetNotFound()), SoughtChain(MetadataStoreUnavailable())
    async with desk(rpc, tmp_path) as open_desk:
        signature = signed(OWNER, f"{wallet}7download")
        with pytest.raises(SignatureInvalid):
            await open_desk.ask(wallet, signature, "7", chain=unknown)
        with pytest.raises(MetadataStoreUnavailable):
            await open_desk.ask(wallet, signature, "7", chain=unreachable)
        with pytest.raises(SignatureInvalid):
            await open_desk.ask(wallet, signature, "7", chain_id=1)


@pytest.mark.gen_test(timeout=60)
async def test_without_a_chain_every_chain_where_it_holds_code_must_agree(
    rpc: RpcProxy, chain: DemoChain, wallet: str, tmp_path: Path
) -> None:
    """One address may be another's contract on another chain, and a token holds on all of them."""
    async with desk(rpc, tmp_path) as open_desk:
        (first,) = open_desk.networks
        signature = signed(OWNER, f"{wallet}7download")

        class Elsewhere(Rpc):
            """The same node, as a chain where the address holds code of somebody else's."""

            async def batch(self, calls: Any) -> list[object]:
                results = await super().batch(calls)
                return [
                    "0x" if call.method == "eth_call" else result for call, result in zip(calls, results, strict=True)
                ]

        other = Elsewhere([chain.url], RpcConfig(), chain_id=8996)
        both = Networks({8996: first, 1: replace(first, chain_id=1, rpc=other)})
        open_desk.identifier = Identifier(
            open_desk.store,
            Tokens(b"k" * 32, open_desk.store, max_lifetime_seconds=60),
            contracts=ContractAccounts(both, holding_code=cache()),
        )
        with pytest.raises(SignatureInvalid):
            await open_desk.ask(wallet, signature, "7", chain_id=None)
        assert await open_desk.ask(wallet, signature, "7", chain_id=8996) == wallet
        await other.close()


@pytest.mark.gen_test(timeout=60)
async def test_token_of_a_contract_asks_no_node(rpc: RpcProxy, wallet: str, tmp_path: Path) -> None:
    async with desk(rpc, tmp_path) as open_desk:
        tokens = Tokens(b"k" * 32, open_desk.store, max_lifetime_seconds=60)
        token = PresentedToken(await tokens.issue(wallet, None), needs_nonce=True)
        assert await open_desk.ask(wallet, "", "9", token=token) == wallet
        assert rpc.trips == []
