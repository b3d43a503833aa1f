"""Endpoints that create and revoke auth tokens, with the names of Provider 2.1 and with those of ocean-node."""

import time
from dataclasses import dataclass

from provider.auth import messages
from provider.auth.identify import Identifier, Signed
from provider.auth.tokens import Tokens
from provider.handlers.base import Endpoint
from provider.handlers.identity.token_params import CreateTokenRequest, EndTokenRequest


@dataclass(frozen=True, slots=True)
class TokenDeps:
    """`node` is the name that `messages.node_id` gives this server."""

    identifier: Identifier
    tokens: Tokens
    node: str


class _TokenEndpoint(Endpoint[TokenDeps]):
    """Only a signature can create or revoke a token. A token that came with the request is ignored."""

    async def _identify(self, signed: Signed, texts: tuple[str, ...]) -> str:
        # A contract account must be one on all chains, whatever `chainId` says: a token works on all chains, and on the
        # chain that a stranger names the address may belong to somebody else.
        return await self.deps.identifier.identify(signed, texts, client=self.client)

    async def _end(self) -> None:
        request = EndTokenRequest.parse(self.arguments())
        signed = request.signed
        texts = messages.invalidate_token(address=signed.claimed, nonce=signed.nonce)
        address = await self._identify(signed, texts)
        await self.deps.tokens.revoke(request.token, address)


class CreateAuthTokenEndpoint(_TokenEndpoint):
    """`GET createAuthToken` (`provider-api.md` section 5.13)."""

    endpoint = "createAuthToken"

    async def handle(self) -> None:
        """Reply with the token. The nonce is used up [K7]."""
        request = CreateTokenRequest.parse(self.arguments(), now=time.time())
        signed = request.signed
        texts = messages.create_auth_token(address=signed.claimed, nonce=signed.nonce, node=self.deps.node)
        await self._identify(signed, texts)
        self.reply_json({"token": await self.deps.tokens.issue(signed.claimed, request.expires_at)})


class DeleteAuthTokenEndpoint(_TokenEndpoint):
    """`DELETE deleteAuthToken` (`provider-api.md` section 5.13)."""

    endpoint = "deleteAuthToken"

    async def handle(self) -> None:
        """Revoke the token. The nonce is used up [K7]."""
        await self._end()
        self.reply_json({"success": "Token has been deactivated."})


class GenerateAuthTokenEndpoint(_TokenEndpoint):
    """`POST auth/token`, as in ocean-node: the signed message names the command, and the expiry is optional."""

    endpoint = "generateAuthToken"

    async def handle(self) -> None:
        """Reply with a token whose payload holds `address`, where ocean.js reads it."""
        request = CreateTokenRequest.parse_node(self.arguments(), now=time.time())
        signed = request.signed
        texts = messages.create_token(address=signed.claimed, nonce=signed.nonce, node=self.deps.node)
        await self._identify(signed, texts)
        self.reply_json({"token": await self.deps.tokens.issue(signed.claimed, request.expires_at)})


class InvalidateAuthTokenEndpoint(_TokenEndpoint):
    """`POST auth/token/invalidate`, ocean-node's way."""

    endpoint = "invalidateAuthToken"

    async def handle(self) -> None:
        """Revoke the token."""
        await self._end()
        self.reply_json({"success": True})
