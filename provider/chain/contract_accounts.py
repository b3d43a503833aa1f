"""Accounts that are contracts: do they take a signature for theirs? (ERC-1271)

Address, digests and signature in, a verdict out. A wallet that is not deployed yet cannot be asked and is refused. Who
asks has proven nothing so far, hence the bounds: whether an address holds code is remembered, contracts are asked in
one batch with little gas, and all questions together are so many per second.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

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
# Code stays, so it is known for longer than the cache's own time; without code a wallet may still be deployed.
_CONTRACT_SECONDS = 600.0


class ContractAccounts:
    """Asks contracts on the configured chains.

    `holding_code`: cache by chain id and address; its lifetime is for addresses without code. `clock` gives seconds
    that only rise.
    """

    def __init__(
        self,
        networks: Networks,
        *,
        holding_code: FactCache[tuple[int, str], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._networks = networks
        self._clock = clock
        self._holding_code = holding_code
        self._allowance = float(BURST)
        self._counted_at = clock()

    def count_question(self) -> None:
        """Count one round trip to a node, or to whoever tells of an asset. Raises ContractChecksBusy."""
        now = self._clock()
        self._allowance = min(BURST, self._allowance + (now - self._counted_at) * QUESTIONS_PER_SECOND)
        self._counted_at = now
        if self._allowance < 1:
            raise ContractChecksBusy
        self._allowance -= 1

    async def chains_of(self, address: str, chain_id: int | None) -> tuple[int, ...]:
        """Chains where the address (checksummed) holds code: of the one given, or of all that are configured.

        Raises ChainError, ContractChecksBusy, and UnsupportedChain for a chain that is not configured.
        """
        networks = list(self._networks) if chain_id is None else [self._networks.get(chain_id)]
        holding = await asyncio.gather(*(self._holds_code(network, address) for network in networks))
        return tuple(network.chain_id for network, holds in zip(networks, holding, strict=True) if holds)

    async def accept(self, chain_ids: Sequence[int], address: str, digests: Sequence[bytes], signature: bytes) -> bool:
        """Does the contract take `signature` for one of the 32-byte digests, on every one of these chains?

        On every one, because one address may be another's contract on another chain, and tokens hold on all chains.
        Raises ChainError, ContractChecksBusy.
        """
        for chain_id in chain_ids:
            if not await self._accepts(self._networks.get(chain_id), address, digests, signature):
                return False
        return bool(chain_ids)

    async def _holds_code(self, network: Network, address: str) -> bool:
        async def fetch() -> bool:
            self.count_question()
            (code,) = await network.rpc.batch([RpcCall("eth_getCode", (address, "latest"))])
            return bool(_data(code))

        return await self._holding_code.get(
            (network.chain_id, address),
            fetch,
            ttl_seconds=lambda found: _CONTRACT_SECONDS if found else self._holding_code.ttl_seconds,
        )

    async def _accepts(self, network: Network, address: str, digests: Sequence[bytes], signature: bytes) -> bool:
        self.count_question()
        results = await network.rpc.batch([_question(address, digest, signature) for digest in digests])
        return any(_data(result)[:32] == _VALID for result in results)


def _question(address: str, digest: bytes, signature: bytes) -> RpcCall:
    padded = signature + bytes(-len(signature) % 32)
    # Head: the hash and the offset of the bytes; then their length and content.
    data = _MAGIC + digest + (64).to_bytes(32, "big") + len(signature).to_bytes(32, "big") + padded
    return foreign_call(address, "0x" + data.hex(), gas=_CALL_GAS)


def _data(result: object) -> bytes:
    """Bytes of a result; none where the contract refused the call. Raises ChainError when the node failed."""
    if isinstance(result, RpcFault):
        if result.is_revert:
            return b""
        raise ChainError(detail=f"contract account: code {result.code}: {result.message}")
    try:
        return bytes_of_hex(result)
    except AbiError as error:
        raise ChainError(detail=f"contract account: {error}") from None
