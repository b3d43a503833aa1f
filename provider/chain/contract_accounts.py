"""Asks accounts that are contracts whether a signature is theirs (ERC-1271).

Address, digests and signature in, a verdict out. A wallet that is not deployed yet cannot be asked and is refused. The
client has proven nothing at this point, so the work is bounded: the answer whether an address holds code is cached,
contracts are asked in one batch with little gas, and each client has a share of the questions (`Questions`).
"""

import asyncio
import time
from collections.abc import Callable, Sequence

from provider.admission.buckets import Buckets
from provider.cache import FactCache
from provider.chain.abi import AbiError, bytes_of_hex
from provider.chain.contracts import foreign_call
from provider.chain.jsonrpc import RpcCall, RpcFault
from provider.chain.networks import Network, Networks
from provider.errors import ChainError, ContractChecksBusy

# isValidSignature(bytes32,bytes), which is what it answers for a valid signature as well.
_MAGIC = bytes.fromhex("1626ba7e")
_VALID = _MAGIC + bytes(28)
# A multisignature wallet takes some 10 000 gas an owner, a WebAuthn key about 400 000 without the precompile.
_CALL_GAS = 3_000_000
# Questions to nodes per second and at once, of one worker: far above what people do, far below what nodes bear.
QUESTIONS_PER_SECOND = 10
BURST = 20
# Parts of that: for one client, and for all addresses that are not known to hold code.
CLIENT_PART, UNKNOWN_PART = 1 / 4, 1 / 2
_ROUNDING_SECONDS = 1e-6
# Code stays, so it is known for longer than the cache's own time; without code a wallet may still be deployed.
_CONTRACT_SECONDS = 600.0


class Questions:
    """Limits questions. Each client has a share, and half of all are reserved for addresses known to hold code.

    `chains`: the number of chains that one request may be about. All of them must fit into one share.
    """

    def __init__(self, chains: int, *, clock: Callable[[], float], max_clients: int = 20_000) -> None:
        self._clock = clock
        # Two for each chain, does it hold code and does it accept; and one for the asset's chain.
        of_client = max(BURST * CLIENT_PART, 2 * chains + 1)
        of_unknown = max(BURST * UNKNOWN_PART, of_client)
        of_all = of_unknown / UNKNOWN_PART
        rate = QUESTIONS_PER_SECOND
        self._all = Buckets(rate=rate, burst=of_all, max_clients=1)
        self._unknown = Buckets(rate=rate * UNKNOWN_PART, burst=of_unknown, max_clients=1)
        self._clients = Buckets(rate=rate * CLIENT_PART, burst=of_client, max_clients=max_clients)

    def count(self, client: bytes | None, *, is_known: bool) -> None:
        """Count one question of a client; None is a client without limits. Raises ContractChecksBusy.

        The client's own share is checked first, and a refusal takes from no share.
        """
        buckets: list[tuple[Buckets, bytes | None]] = []
        if client is not None:
            buckets.append((self._clients, client))
        if not is_known:
            buckets.append((self._unknown, None))
        buckets.append((self._all, None))
        now = self._clock()
        if any(bucket.wait_seconds(key, now) > _ROUNDING_SECONDS for bucket, key in buckets):
            raise ContractChecksBusy
        for bucket, key in buckets:
            bucket.charge(key, now, 1)


class ContractAccounts:
    """Asks contracts on the configured chains.

    `holding_code`: cache by chain id and address. Its lifetime applies to addresses without code.
    `clock`: returns monotonic seconds.
    """

    def __init__(
        self,
        networks: Networks,
        *,
        holding_code: FactCache[tuple[int, str], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._networks = networks
        self._holding_code = holding_code
        self._questions = Questions(len(networks), clock=clock)

    def count_question(self, address: str, client: bytes | None) -> None:
        """Count a lookup of an asset for a client that claims `address`. Raises ContractChecksBusy."""
        is_known = any(self._holding_code.peek((network.chain_id, address)) for network in self._networks)
        self._questions.count(client, is_known=is_known)

    async def chains_of(self, address: str, chain_id: int | None, client: bytes | None) -> tuple[int, ...]:
        """Return the chains where the address (checksummed) holds code, out of the given chain or all configured ones.

        Raises ChainError, ContractChecksBusy, and UnsupportedChain for a chain that is not configured.
        """
        networks = list(self._networks) if chain_id is None else [self._networks.get(chain_id)]
        holding = await asyncio.gather(*(self._holds_code(network, address, client) for network in networks))
        return tuple(network.chain_id for network, holds in zip(networks, holding, strict=True) if holds)

    async def accept(
        self,
        chain_ids: Sequence[int],
        address: str,
        digests: Sequence[bytes],
        signature: bytes,
        client: bytes | None,
    ) -> bool:
        """Tell whether the contract accepts `signature` for one of the 32-byte digests, on every one of these chains.

        All must accept, because another chain may have a different owner's contract at the same address, and tokens are
        valid on all chains.
        Raises ChainError, ContractChecksBusy.
        """
        for chain_id in chain_ids:
            # The caller has asked `chains_of` before: there is code.
            self._questions.count(client, is_known=True)
            if not await self._accepts(self._networks.get(chain_id), address, digests, signature):
                return False
        return bool(chain_ids)

    async def _holds_code(self, network: Network, address: str, client: bytes | None) -> bool:
        key = (network.chain_id, address)
        # Counted here and not in the lookup: one client's refusal must not reach those who wait for the same answer.
        if self._holding_code.peek(key) is None and not self._holding_code.is_sought(key):
            self._questions.count(client, is_known=False)

        async def fetch() -> bool:
            (code,) = await network.rpc.batch([RpcCall("eth_getCode", (address, "latest"))])
            return bool(_data(code))

        return await self._holding_code.get(
            key,
            fetch,
            ttl_seconds=lambda found: _CONTRACT_SECONDS if found else self._holding_code.ttl_seconds,
        )

    async def _accepts(self, network: Network, address: str, digests: Sequence[bytes], signature: bytes) -> bool:
        results = await network.rpc.batch([_question(address, digest, signature) for digest in digests])
        return any(_data(result)[:32] == _VALID for result in results)


def _question(address: str, digest: bytes, signature: bytes) -> RpcCall:
    padded = signature + bytes(-len(signature) % 32)
    # Head: the hash and the offset of the bytes; then their length and content.
    data = _MAGIC + digest + (64).to_bytes(32, "big") + len(signature).to_bytes(32, "big") + padded
    return foreign_call(address, "0x" + data.hex(), gas=_CALL_GAS)


def _data(result: object) -> bytes:
    """Return the bytes of a result; none if the contract refused the call. Raises ChainError if the node failed."""
    if isinstance(result, RpcFault):
        if result.is_revert:
            return b""
        raise ChainError(detail=f"contract account: code {result.code}: {result.message}")
    try:
        return bytes_of_hex(result)
    except AbiError as error:
        raise ChainError(detail=f"contract account: {error}") from None
