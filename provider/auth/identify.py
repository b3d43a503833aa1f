"""From a signed request to a proven address: signature or token first, then its nonce is used up."""

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Protocol

from provider.auth.nonce import is_greater, parse_nonce
from provider.auth.nonce_store import NonceStore, nonce_refused
from provider.auth.token import PresentedToken
from provider.auth.tokens import Tokens
from provider.crypto.signature import (
    message_digest,
    parse_contract_signature,
    parse_signature,
    signed_candidate,
    text_digest,
)
from provider.errors import (
    ChainError,
    NonceRefused,
    ProviderError,
    SignatureInvalid,
    StoreError,
    TokenNotAccepted,
    TokenRefused,
)
from provider.observability.metrics.groups import Nonces

# The pods of one compute environment share its address and take their nonces from clocks (decisions.md).
ENVIRONMENT_WINDOW_SECONDS = 600
# Addresses whose family of messages is remembered: about 1 MiB. Forgetting costs one recovery.
_MAX_REMEMBERED = 10_000
# A contract is asked about the two likeliest messages only, each in two forms.
_CONTRACT_CANDIDATES = 2


class RequestChain(Protocol):
    """The chain that a request is about; asked for only when the signer may be a contract."""

    def known(self) -> int | None:
        """Its id when that takes no question to anybody."""
        ...

    async def find(self) -> int:
        """Its id, whatever has to be asked. Raises ProviderError."""
        ...


class ContractAccounts(Protocol):
    """Accounts that are contracts (ERC-1271); `provider.chain.contract_accounts` has them."""

    def count_question(self, address: str, client: bytes | None) -> None:
        """Count a question to somebody else, for a client who has not proven the address. Raises ContractChecksBusy."""
        ...

    async def chains_of(self, address: str, chain_id: int | None, client: bytes | None) -> Sequence[int]:
        """Chains where the address holds code: of the one given, or of all configured. Raises ChainError."""
        ...

    async def accept(
        self,
        chain_ids: Sequence[int],
        address: str,
        digests: Sequence[bytes],
        signature: bytes,
        client: bytes | None,
    ) -> bool:
        """Does the contract, on each of these chains, take `signature` for one of the digests? Raises ChainError."""
        ...


def _unmarked(step: str) -> None:
    pass


def _no_environment(_: str) -> bool:
    return False


class Identifier:
    """Proves who is asking.

    `contracts`: None refuses accounts that are contracts. `is_environment` tells of a checksummed address whether it
    is the `consumerAddress` of a compute environment, at once and from memory.
    """

    def __init__(
        self,
        nonces: NonceStore,
        tokens: Tokens,
        *,
        contracts: ContractAccounts | None = None,
        is_environment: Callable[[str], bool] = _no_environment,
        metrics: Nonces | None = None,
    ) -> None:
        self._nonces = nonces
        self._tokens = tokens
        self._contracts = contracts
        self._is_environment = is_environment
        self._metrics = metrics or Nonces(is_on=False)
        self._likeliest: dict[str, int] = {}

    async def identify(
        self,
        *,
        address: str,
        messages: Sequence[str],
        signature: str,
        nonce: str,
        token: PresentedToken | None = None,
        chain: RequestChain | None = None,
        client: bytes | None = None,
        enter: Callable[[str], None] = _unmarked,
    ) -> str:
        """The checksummed `address`, once it has signed one of `messages` with a nonce greater than any before.

        Without a signature a good `token` of the address stands in for it; its nonce is used up all the same, and may
        be left out where the token does not need one. `chain`: where a contract account is asked, None for all chains;
        `client`: whose share of such questions it takes, None for one that limits are not counted for.
        `enter` is told when the step `nonce` begins.

        Directly after the signature and before any other work, so that a replay costs nothing further; a nonce stays
        used even when the request is refused later. Raises SignatureInvalid, TokenNotAccepted, NonceRefused,
        StoreError; for contract accounts ChainError, ContractChecksBusy and what `chain` raises with a 5xx.
        """
        if not signature and token is not None:
            await self._check_token(address, token)
            if not nonce and not token.needs_nonce:
                return address
        elif not self._signed_by_key(address, messages, signature):
            await self._check_contract(address, messages, signature, nonce, chain=chain, client=client)
        enter("nonce")
        await self._use_nonce(address, nonce)
        return address

    async def _use_nonce(self, address: str, nonce: str) -> None:
        began = perf_counter()
        result = "accepted"
        try:
            if self._is_environment(address):
                await self._nonces.use(address, nonce, window_seconds=ENVIRONMENT_WINDOW_SECONDS)
            else:
                await self._nonces.use(address, nonce)
        except NonceRefused:
            result = "refused"
            raise
        except StoreError:
            result = "failed"
            raise
        except BaseException:
            # The caller left; whether it was used nobody knows.
            result = ""
            raise
        finally:
            if result:
                self._metrics.presented.add(result)
                self._metrics.commit_seconds.observe(perf_counter() - began)

    async def _check_token(self, address: str, token: PresentedToken) -> None:
        try:
            await self._tokens.check(token.text, address)
        except TokenRefused as error:
            raise TokenNotAccepted(detail=error.public_text) from error

    def _signed_by_key(self, address: str, messages: Sequence[str], signature: str) -> bool:
        """A client signs one family of messages all its life, so the one it signed last is tried first."""
        parsed = parse_signature(signature)
        if parsed is None:
            return False
        first = self._likeliest.get(address, 0)
        found = signed_candidate(messages, parsed, address, first=first)
        if found is not None and found != first:
            if len(self._likeliest) >= _MAX_REMEMBERED:
                self._likeliest.clear()
            self._likeliest[address] = found
        return found is not None

    async def _check_contract(
        self,
        address: str,
        messages: Sequence[str],
        signature: str,
        nonce: str,
        *,
        chain: RequestChain | None,
        client: bytes | None,
    ) -> None:
        """Ask the contract at the address (ERC-1271), after everything that costs no call. Raises as `identify`."""
        parsed = parse_contract_signature(signature)
        if self._contracts is None or parsed is None or parse_nonce(nonce) is None:
            raise SignatureInvalid
        try:
            chain_ids = await _chains_of(self._contracts, address, chain, client)
        except ProviderError as error:
            # Whoever has not proven an address yet learns nothing about assets; a failure that will pass is told.
            if error.http_status < 500 and error.retry_after_seconds is None:
                raise SignatureInvalid from error
            raise
        if not chain_ids:
            raise SignatureInvalid
        stored = await self._nonces.last(address)
        if stored is not None and not is_greater(nonce, stored) and not self._is_environment(address):
            raise nonce_refused(given=nonce, stored=stored)
        digests = [digest(text) for text in messages[:_CONTRACT_CANDIDATES] for digest in (message_digest, text_digest)]
        if not await self._contracts.accept(chain_ids, address, digests, parsed, client):
            raise SignatureInvalid


async def _chains_of(
    contracts: ContractAccounts, address: str, chain: RequestChain | None, client: bytes | None
) -> Sequence[int]:
    """Where a contract at the address has to agree; nowhere when there is none.

    Whether it holds code comes first: that is remembered by address, so whoever forges requests of an account with a
    key makes this server ask for it once, and never for an asset.
    """
    if chain is None:
        return await contracts.chains_of(address, None, client)
    chain_id = chain.known()
    if chain_id is None:
        try:
            if not await contracts.chains_of(address, None, client):
                return ()
        except ChainError:
            # The request may be about another chain than the one that does not answer.
            pass
        contracts.count_question(address, client)
        chain_id = await chain.find()
    return await contracts.chains_of(address, chain_id, client)
