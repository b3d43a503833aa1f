"""From a signed request to a proven address: signature or token first, then its nonce is used up."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from provider.auth.nonce import parse_nonce
from provider.auth.nonce_rule import may_be_free
from provider.auth.nonce_store import NonceStore, nonce_refused
from provider.auth.signed_text import Misread, read_text
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

if TYPE_CHECKING:
    from provider.chain.contract_accounts import ContractAccounts

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


@dataclass(frozen=True, slots=True)
class Signed:
    """Who claims to ask, and the proof.

    `claimed` is the address as sent, which is part of the signed message; `address` is the same, checksummed. `token`
    stands in for an empty `signature`.
    """

    claimed: str
    address: str
    nonce: str
    signature: str = field(repr=False)
    token: PresentedToken | None = None


def _unmarked(step: str) -> None:
    pass


class Identifier:
    """Proves who is asking.

    `contracts`: None refuses accounts that are contracts. `clock` gives unix seconds.
    """

    def __init__(
        self,
        nonces: NonceStore,
        tokens: Tokens,
        *,
        contracts: "ContractAccounts | None" = None,
        metrics: Nonces | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._nonces = nonces
        self._tokens = tokens
        self._contracts = contracts
        self._metrics = metrics or Nonces(is_on=False)
        self._clock = clock
        self._likeliest: dict[str, int] = {}

    async def identify(
        self,
        signed: Signed,
        messages: Sequence[str],
        *,
        chain: RequestChain | None = None,
        client: bytes | None = None,
        enter: Callable[[str], None] = _unmarked,
    ) -> str:
        """The checksummed address, once it has signed one of `messages` with a nonce that is free.

        Without a signature a good token of the address stands in for it; its nonce is used up all the same, and may
        be left out where the token does not need one. `chain`: where a contract account is asked, None for all chains;
        `client`: whose share of such questions it takes, None for one that limits are not counted for.
        `enter` is told when the step `nonce` begins.

        Directly after the signature and before any other work, so that a replay costs nothing further; a nonce stays
        used even when the request is refused later. Raises SignatureInvalid, TokenNotAccepted, NonceRefused,
        StoreError; for contract accounts ChainError, ContractChecksBusy and what `chain` raises with a 5xx.
        """
        address, token, text = signed.address, signed.token, None
        if not signed.signature and token is not None:
            await self._check_token(address, token)
            if not signed.nonce and not token.needs_nonce:
                return address
        elif (text := self._text_signed_by_key(address, messages, signed.signature)) is None:
            await self._check_contract(signed, messages, chain=chain, client=client)
            # Which of them the contract took is not known; what holds for the last one holds for the first too.
            text = messages[:_CONTRACT_CANDIDATES][-1]
        enter("nonce")
        await self._use_nonce(address, signed.nonce, text)
        return address

    async def _use_nonce(self, address: str, nonce: str, text: str | None) -> None:
        began = perf_counter()
        result = "accepted"
        try:
            open_text = None if text is None else read_text(text, nonce, now=self._clock())
            await self._nonces.use(address, nonce, text=open_text)
        except Misread as error:
            result = "refused"
            raise NonceRefused from error
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

    def _text_signed_by_key(self, address: str, messages: Sequence[str], signature: str) -> str | None:
        """A client signs one family of messages all its life, so the one it signed last is tried first."""
        parsed = parse_signature(signature)
        if parsed is None:
            return None
        first = self._likeliest.get(address, 0)
        found = signed_candidate(messages, parsed, address, first=first)
        if found is not None and found != first:
            if len(self._likeliest) >= _MAX_REMEMBERED:
                self._likeliest.clear()
            self._likeliest[address] = found
        return None if found is None else messages[found]

    async def _check_contract(
        self, signed: Signed, messages: Sequence[str], *, chain: RequestChain | None, client: bytes | None
    ) -> None:
        """Ask the contract at the address (ERC-1271), after everything that costs no call. Raises as `identify`."""
        address, nonce = signed.address, signed.nonce
        parsed = parse_contract_signature(signed.signature)
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
        if stored is not None and not may_be_free(nonce, stored):
            raise nonce_refused(given=nonce, stored=stored)
        digests = [digest(text) for text in messages[:_CONTRACT_CANDIDATES] for digest in (message_digest, text_digest)]
        if not await self._contracts.accept(chain_ids, address, digests, parsed, client):
            raise SignatureInvalid


async def _chains_of(
    contracts: "ContractAccounts", address: str, chain: RequestChain | None, client: bytes | None
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
