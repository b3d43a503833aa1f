"""Prove the address behind a signed request: check the signature or token, then use up the nonce."""

import time
from collections.abc import Awaitable, Callable, Sequence
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
from provider.observability.metrics.backends import Nonces

if TYPE_CHECKING:
    from provider.chain.contract_accounts import ContractAccounts

# For so many addresses the last signed form of message is remembered: about 1 MiB. Forgetting costs one recovery.
_MAX_REMEMBERED = 10_000
# A contract is asked only about the two likeliest messages, each in two forms.
_CONTRACT_CANDIDATES = 2


class RequestChain(Protocol):
    """The chain that a request is about. It is needed only when the signer may be a contract."""

    def known(self) -> int | None:
        """Return the chain id if it is known without asking another server, else None."""
        ...

    async def find(self) -> int:
        """Return the chain id, asking other servers if necessary. Raises ProviderError."""
        ...


@dataclass(frozen=True, slots=True)
class Signed:
    """The address that a request claims, and the proof for it.

    `claimed`: the address as sent; it is part of the signed message. `address`: the same address, checksummed.
    `nonce`: as sent. `token`: replaces the signature if `signature` is empty.
    """

    claimed: str
    address: str
    nonce: str
    signature: str = field(repr=False)
    token: PresentedToken | None = None


def _unmarked(step: str) -> None:
    pass


class Identifier:
    """Checks the proof of each request and uses up its nonce.

    `contracts`: asks contracts about their signatures; None refuses accounts that are contracts. `clock` returns unix
    seconds.
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
        before_nonce: Callable[[], Awaitable[None]] | None = None,
    ) -> str:
        """Check the proof, use up the nonce, and return the checksummed address.

        The address must have signed one of `messages`. If there is no signature, a valid token of the address
        replaces it. The nonce is used up in both cases, unless the token needs none and none was sent.

        The nonce is used directly after the signature was checked and before any other work, so that a replay costs
        nothing more. It stays used even if the request is refused later.

        `chain`: the chain on which a contract account is asked; None asks all chains.
        `client`: the client whose limit counts questions to contracts; None counts them for nobody.
        `enter`: called with "nonce" when that step begins.
        `before_nonce`: may refuse the proven address; its nonce then stays free.

        Raises SignatureInvalid, TokenNotAccepted, NonceRefused and StoreError. For contract accounts it also raises
        ChainError, ContractChecksBusy and any error of `chain` with a status of 500 or above.
        """
        address, token, text = signed.address, signed.token, None
        if not signed.signature and token is not None:
            await self._check_token(address, token)
            if not signed.nonce and not token.needs_nonce:
                return address
        elif (text := self._text_signed_by_key(address, messages, signed.signature)) is None:
            await self._check_contract(signed, messages, chain=chain, client=client)
            # Nobody knows which message the contract accepted. A nonce that suits the last one suits the first too.
            text = messages[:_CONTRACT_CANDIDATES][-1]
        if before_nonce is not None:
            await before_nonce()
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
            # The caller left. Nobody knows whether the nonce was used.
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
        """Return the message that the key of `address` signed, or None.

        A client always signs the same form of message, so the form that it signed last is tried first.
        """
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
        """Ask the contract at the address (ERC-1271), after every check that needs no call. Raises as `identify`."""
        address, nonce = signed.address, signed.nonce
        parsed = parse_contract_signature(signed.signature)
        if self._contracts is None or parsed is None or parse_nonce(nonce) is None:
            raise SignatureInvalid
        try:
            chain_ids = await _chains_of(self._contracts, address, chain, client)
        except ProviderError as error:
            # A caller without a proven address learns nothing about assets. Only a temporary failure is reported.
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
    """Return the chains on which the contract at the address must agree; none if it is no contract.

    The first question is whether the address has code. Its answer is remembered by address. So forged requests for an
    account with a key cost one question, and never one about an asset.
    """
    if chain is None:
        return await contracts.chains_of(address, None, client)
    chain_id = chain.known()
    if chain_id is None:
        try:
            if not await contracts.chains_of(address, None, client):
                return ()
        except ChainError:
            # The chain that does not answer may not be the one of this request.
            pass
        contracts.count_question(address, client)
        chain_id = await chain.find()
    return await contracts.chains_of(address, chain_id, client)
