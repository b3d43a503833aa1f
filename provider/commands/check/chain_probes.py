"""Probes a chain: each endpoint, the contracts, the Provider's key, and reading logs."""

import asyncio
import time
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass

import aiohttp

from provider.assets.index_records import page_calls
from provider.chain.abi import AbiError, count_of_hex, int_of_hex
from provider.chain.config import ChainConfig
from provider.chain.contracts import (
    block_number_call,
    decimals_call,
    decode_address,
    decode_count,
    decode_quantity,
    decode_uint,
    erc721_list_call,
    receipt_call,
)
from provider.chain.endpoint import Endpoint, EndpointFailed
from provider.chain.jsonrpc import RpcCall, RpcFault, is_answer
from provider.chain.networks import ZERO_ADDRESS, ChainAddresses, bundled_address_book, load_address_book
from provider.commands.check.reach import host_of, reason_of
from provider.commands.check.table import Finding, failed, passed, warned
from provider.config import Settings
from provider.crypto.accounts import Account
from provider.errors import ChainError
from provider.outgoing.proxies import Proxies

# An endpoint further behind does not know fresh orders (12 s a block: a minute).
MAX_LAG_BLOCKS = 5
MAX_CLOCK_SKEW_SECONDS = 300
# Calls of a cold download whose chain id must be verified; free nodes accept three at a time.
BATCH_CALLS = 5
BATCH_ATTEMPTS = 4
# About twenty proofs at 1 gwei.
LOW_BALANCE_WEI = 10**15

_ADVICE = {
    "timeout": "is the node running and reachable from this host?",
    "unreachable": "is the URL right, and the node running and reachable from this host?",
    "http_status": "check the URL and its API key at the RPC service",
    "limited": "the RPC service limits requests: take a larger plan or name another endpoint",
    "malformed": "does the URL lead to a JSON-RPC node?",
}


@dataclass(frozen=True, slots=True)
class EndpointAnswer:
    """What one endpoint reports about itself.

    `block_at`: unix seconds of its newest block.
    `batch`: most calls that it accepts in one request; None: as many as were tried.
    `refused`: methods that every order needs and that it does not answer.
    """

    chain_id: int
    block: int
    block_at: int
    latency_seconds: float
    batch: int | None
    refused: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChainProbe:
    """Probes one configured chain over `session`.

    `index_blocks`: blocks per request of the chain index; None with a metadata store.
    `pays_proofs`: the Provider's account pays for proofs of download on this chain.
    `idle_chains`: those that make blocks only for transactions.
    """

    chain: ChainConfig
    book: Mapping[int, ChainAddresses]
    session: aiohttp.ClientSession
    proxies: Proxies
    timeout_seconds: float
    index_blocks: int | None
    pays_proofs: bool
    idle_chains: frozenset[int]
    now: float

    async def run(self) -> list[Finding]:
        """Return the findings about the chain, endpoints first."""
        endpoints = [
            Endpoint(
                url,
                index=index,
                timeout_seconds=self.timeout_seconds,
                proxy=self.proxies.of(url),
            )
            for index, url in enumerate(self.chain.rpc_urls)
        ]
        answers = await asyncio.gather(*(self._ask(endpoint) for endpoint in endpoints))
        good = [answer for answer in answers if isinstance(answer, EndpointAnswer)]
        chain_id = self.chain.chain_id
        if chain_id is None and good:
            chain_id = good[0].chain_id
        right = [answer for answer in good if answer.chain_id == chain_id]
        name = f"chain {chain_id if chain_id is not None else '?'}"
        findings = [
            self._endpoint_finding(f"{name} endpoint {index + 1} ({host_of(url)})", answer, chain_id, right)
            for index, (url, answer) in enumerate(zip(self.chain.rpc_urls, answers, strict=True))
        ]
        findings.append(passed(f"{name} key", f"the Provider's address is {self._address()}"))
        if right and chain_id is not None:
            findings.append(self._clock_finding(name, right, is_idle=chain_id in self.idle_chains))
            endpoint = endpoints[answers.index(right[0])]
            findings += await self._contract_findings(name, chain_id, endpoint)
            if self.pays_proofs:
                findings.append(await self._balance_finding(name, endpoint))
        elif chain_id is not None:
            findings += self._book_findings(name, chain_id)
        return findings

    async def _ask(self, endpoint: Endpoint) -> EndpointAnswer | EndpointFailed:
        loop = asyncio.get_running_loop()
        started = loop.time()
        calls = [RpcCall("eth_chainId"), RpcCall("eth_getBlockByNumber", ("latest", False))]
        try:
            chain_id, block = await endpoint.exchange(self.session, calls)
            if not isinstance(block, dict):
                raise EndpointFailed("malformed", "no newest block")
            latency_seconds = loop.time() - started
            return EndpointAnswer(
                int_of_hex(chain_id),
                count_of_hex(block.get("number")),
                count_of_hex(block.get("timestamp")),
                latency_seconds,
                await self._batch_of(endpoint),
                await self._refused_by(endpoint),
            )
        except EndpointFailed as failure:
            return failure
        except AbiError:
            return EndpointFailed("malformed", "the answer is not a node's")

    async def _batch_of(self, endpoint: Endpoint) -> int | None:
        """Return the most calls that it accepts together, up to those of a cold download."""
        for _ in range(BATCH_ATTEMPTS):
            await endpoint.exchange(self.session, [block_number_call()] * BATCH_CALLS)
            if endpoint.batch_size.is_settled:
                break
        return endpoint.batch_size.most(asyncio.get_running_loop().time())

    async def _refused_by(self, endpoint: Endpoint) -> tuple[str, ...]:
        calls = [receipt_call("0x" + "00" * 32), RpcCall("eth_call", ({"to": ZERO_ADDRESS, "data": "0x"}, "latest"))]
        answers = await endpoint.exchange(self.session, calls)
        return tuple(call.method for call, answer in zip(calls, answers, strict=True) if not is_answer(call, answer))

    def _endpoint_finding(
        self,
        what: str,
        answer: EndpointAnswer | EndpointFailed,
        chain_id: int | None,
        right: list[EndpointAnswer],
    ) -> Finding:
        if isinstance(answer, EndpointFailed):
            advice = f"NETWORK_URL: {_ADVICE.get(answer.outcome, 'name another endpoint')}"
            # One working endpoint is enough to serve; the others are there for when it fails.
            return (warned if right else failed)(what, reason_of(str(answer)), advice)
        if answer.chain_id != chain_id:
            detail = f"answers for chain {answer.chain_id}, not {chain_id}"
            return failed(what, detail, "NETWORK_URL: name a node of the right chain")
        detail = f"block {answer.block}, {answer.latency_seconds * 1000:.0f} ms, {_batches(answer.batch)}"
        if answer.refused:
            told = f"{detail}, does not answer {' and '.join(answer.refused)}"
            others = any(not other.refused for other in right)
            return (warned if others else failed)(what, told, "NETWORK_URL: name a node that answers it")
        lag = max(other.block for other in right) - answer.block
        if lag > MAX_LAG_BLOCKS:
            return warned(what, f"{detail}, {lag} blocks behind the others", "is the node still synchronising?")
        return passed(what, detail)

    def _address(self) -> str:
        return Account.from_hex(self.chain.private_key).address

    def _clock_finding(self, name: str, right: list[EndpointAnswer], *, is_idle: bool) -> Finding:
        skew = self.now - max(answer.block_at for answer in right)
        if is_idle and skew > 0:
            return passed(
                f"{name} clock", f"newest block is {skew:.0f} s old; this chain makes blocks only for transactions"
            )
        if abs(skew) <= MAX_CLOCK_SKEW_SECONDS:
            return passed(f"{name} clock", f"newest block is {max(0.0, skew):.0f} s old")
        detail = f"newest block is {abs(skew) / 60:.0f} min {'old' if skew > 0 else 'ahead of the local clock'}"
        return warned(
            f"{name} clock", detail, "set the local clock (NTP); if it is right, the node lags or the chain has stopped"
        )

    def _book_findings(self, name: str, chain_id: int) -> list[Finding]:
        addresses = self.book.get(chain_id)
        if addresses is None or addresses.factory is None:
            what = "the address book has no ERC721Factory for it"
            return [failed(f"{name} contracts", what, "ADDRESS_FILE: name a file that lists the chain")]
        return []

    async def _contract_findings(self, name: str, chain_id: int, endpoint: Endpoint) -> list[Finding]:
        missing = self._book_findings(name, chain_id)
        if missing:
            return missing
        addresses = self.book[chain_id]
        factory = str(addresses.factory)
        fee_token = self.chain.fee_token or addresses.ocean or ZERO_ADDRESS
        calls = [erc721_list_call(factory, ZERO_ADDRESS), RpcCall("eth_getCode", (fee_token, "latest"))]
        try:
            listed, code, decimals = await endpoint.exchange(self.session, [*calls, decimals_call(fee_token)])
            findings = [_factory_finding(name, factory, listed), _token_finding(name, fee_token, code, decimals)]
            if self.index_blocks is not None:
                findings.append(await self._logs_finding(name, factory, endpoint, self.index_blocks))
        except (EndpointFailed, ChainError) as error:
            detail = error.detail if isinstance(error, ChainError) else reason_of(str(error))
            return [failed(f"{name} contracts", detail or "no usable answer", "NETWORK_URL: check the node")]
        return findings

    async def _balance_finding(self, name: str, endpoint: Endpoint) -> Finding:
        """Check the account's balance. An empty account sends no proofs; they wait for money, or become too old."""
        what = f"{name} proofs"
        try:
            (answer,) = await endpoint.exchange(self.session, [RpcCall("eth_getBalance", (self._address(), "latest"))])
            balance_wei = decode_quantity(answer)
        except (EndpointFailed, ChainError):
            return warned(what, "the node does not report the account's balance", "NETWORK_URL: check the node")
        detail = f"the Provider's account holds {balance_wei / 10**18:.6g} of the chain's coin"
        if balance_wei < LOW_BALANCE_WEI:
            return warned(what, detail, "fund the account, or unset USE_CHAIN_PROOF")
        return passed(what, detail)

    async def _logs_finding(self, name: str, factory: str, endpoint: Endpoint, blocks: int) -> Finding:
        """Check that the chain index can be built from this node. The index halves ranges that are too long."""
        what = f"{name} logs"
        (answer,) = await endpoint.exchange(self.session, [block_number_call()])
        head = decode_count(answer)
        wide = await endpoint.exchange(self.session, page_calls(factory, max(0, head - blocks + 1), head))
        if not any(isinstance(result, RpcFault) for result in wide):
            return passed(what, f"eth_getLogs answers for {blocks} blocks at once")
        narrow = await endpoint.exchange(self.session, page_calls(factory, head, head))
        if any(isinstance(result, RpcFault) for result in narrow):
            return failed(what, "eth_getLogs is refused", "set AQUARIUS_URL, or name a node that serves logs")
        return warned(what, f"eth_getLogs is refused for {blocks} blocks", "lower PROVIDER_INDEX_BATCH_BLOCKS")


def _batches(most: int | None) -> str:
    if most is None:
        return "takes batches"
    return "takes no batches, so asked one by one" if most == 1 else f"takes {most} calls at a time"


def _factory_finding(name: str, factory: str, listed: object) -> Finding:
    what = f"{name} ERC721Factory"
    if decode_address(listed) is None:
        return failed(what, f"no factory at {factory}", "ADDRESS_FILE: is it of this chain and deployment?")
    return passed(what, factory)


def _token_finding(name: str, fee_token: str, code: object, decimals: object) -> Finding:
    what = f"{name} fee token"
    if fee_token == ZERO_ADDRESS:
        return passed(what, "none")
    if not isinstance(code, str) or code in ("", "0x"):
        return failed(what, f"no contract at {fee_token}", "PROVIDER_FEE_TOKEN: name a token of this chain")
    digits = decode_uint(decimals)
    if digits is None:
        return failed(what, f"{fee_token} is not an ERC-20 token", "PROVIDER_FEE_TOKEN: name a token of this chain")
    return passed(what, f"{fee_token}, {digits} decimals")


def probe_chains(settings: Settings, session: aiohttp.ClientSession) -> list[tuple[str, Awaitable[list[Finding]]]]:
    """Return the name and the check of each chain."""
    try:
        book = load_address_book(settings.addresses_text) if settings.addresses_text else bundled_address_book()
    except ValueError as error:
        return [("address file", _found(failed("address file", str(error), "ADDRESS_FILE: correct the file")))]
    return [("chain", _chain_probe(settings, session, index, book).run()) for index in range(len(settings.chains))]


def _chain_probe(
    settings: Settings, session: aiohttp.ClientSession, index: int, book: Mapping[int, ChainAddresses]
) -> ChainProbe:
    metadata = settings.metadata
    return ChainProbe(
        chain=settings.chains[index],
        book=book,
        session=session,
        proxies=settings.proxies,
        timeout_seconds=settings.rpc.timeout_seconds,
        index_blocks=None if metadata.aquarius_url else metadata.index_batch_blocks,
        pays_proofs=settings.proofs.on_chain,
        idle_chains=settings.rpc.idle_chains,
        now=time.time(),
    )


async def _found(finding: Finding) -> list[Finding]:
    return [finding]
