"""`POST initializePSVerification`: begins a consumer's session with the policy server (`docs/access.md`)."""

from dataclasses import dataclass, field
from typing import Self

from provider.assets.catalog import Catalog
from provider.auth import messages
from provider.auth.identify import Identifier, Signed
from provider.auth.token import PresentedToken
from provider.errors import named_network
from provider.handlers import rules
from provider.handlers.base import Endpoint
from provider.handlers.identity.token_params import presented_token
from provider.handlers.params import parse_signed, signed_fields
from provider.handlers.request_data import parse_text
from provider.handlers.rules import Data, Field, validate
from provider.policy.gate import Gate


@dataclass(frozen=True, slots=True)
class PolicySessionRequest:
    """The service that the consumer wants to use. `policy_data`: passed on to the policy server."""

    signed: Signed
    did: str
    service_id: str
    policy_data: object = field(repr=False)

    FIELDS = (
        Field("documentId", (rules.required(),)),
        Field("serviceId", (rules.required(),)),
        Field("consumerAddress", (rules.required(),)),
        Field("policyServer", (rules.required(),)),
        Field("nonce", (rules.required(), rules.numeric())),
        Field("signature", (rules.signature(),)),
    )

    @classmethod
    def parse(cls, data: Data, token: PresentedToken | None = None) -> Self:
        """Raises ValidationFailed."""
        validate(signed_fields(cls.FIELDS, data, token), data)
        return cls(
            signed=parse_signed(data, "consumerAddress", token),
            did=parse_text(data, "documentId"),
            service_id=parse_text(data, "serviceId"),
            policy_data=data["policyServer"],
        )


@dataclass(frozen=True, slots=True)
class PolicySessionDeps:
    """The parts in the order they are used."""

    identifier: Identifier
    catalog: Catalog
    gate: Gate


class PolicySessionEndpoint(Endpoint[PolicySessionDeps]):
    """Replies with the policy server's JSON. The server learns only of proven addresses."""

    endpoint = "initializePSVerification"

    async def handle(self) -> None:
        """Reply with the policy server's answer. The nonce is used up."""
        arguments = self.arguments()
        request = PolicySessionRequest.parse(arguments, presented_token(arguments, self.request.headers))
        consumer = await self.deps.identifier.identify(
            request.signed,
            messages.begin_policy_session(consumer=request.signed.claimed, nonce=request.signed.nonce),
            client=self.client,
            chain=self.deps.catalog.chain_of(request.did),
        )
        asset, network = await self.deps.catalog.find(request.did)
        with named_network(network.name):
            service = asset.service(request.service_id)
            answer = await self.deps.gate.begin_session(
                network, asset, service, consumer, policy_data=request.policy_data
            )
        self.reply_body(answer, "application/json")
