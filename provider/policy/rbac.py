"""Asks an RBAC server whether a consumer has the role for a call (`provider-api.md` section 13.1).

Fails closed. Yes is status 200 with the JSON value `true`. No is 401, 403, or a JSON value that is empty, zero, null or
false. Any other answer is a fault of the server, because its meaning is unknown.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from provider.crypto.accounts import Account
from provider.crypto.signature import sign_message
from provider.errors import AnswerTooLong, RbacRefused, RbacUnavailable
from provider.outgoing.client import ServiceClient
from provider.outgoing.sessions import Outgoing
from provider.policy.config import AccessConfig

MAX_ANSWER_BYTES = 64 * 1024
_REFUSALS = (401, 403)


@dataclass(frozen=True, slots=True)
class Subject:
    """A service of an asset, as the request names it."""

    did: str
    service_id: str


@dataclass(frozen=True, slots=True)
class RbacQuestion:
    """A question to the server.

    `event`: `initialize`, `access` or `compute`.
    `consumer`: a checksummed address.

    Algorithms and additional datasets belong to `compute` only, where `dids` may be empty as well (stop, delete).
    """

    event: str
    consumer: str
    dids: tuple[Subject, ...]
    algorithms: tuple[Subject, ...] = ()
    additional_dids: tuple[Subject, ...] = ()


class RbacServer:
    """The server at `base_url`. `account` signs the questions."""

    def __init__(
        self,
        base_url: str,
        config: AccessConfig,
        *,
        account: Account,
        outgoing: Outgoing | None = None,
    ) -> None:
        self._account = account
        self._access = "private" if config.is_private else "public"
        self._service = ServiceClient(
            base_url,
            name="RBAC server",
            timeout_seconds=config.timeout_seconds,
            max_bytes=MAX_ANSWER_BYTES,
            unavailable=RbacUnavailable,
            outgoing=outgoing,
        )

    async def check(self, question: RbacQuestion) -> None:
        """Raise RbacRefused, or RbacUnavailable when there is no usable answer."""
        try:
            reply = await self._service.call("POST", json=build_payload(question, self._account, access=self._access))
        except AnswerTooLong as error:
            raise RbacUnavailable(detail=error.detail) from None
        if reply.status in _REFUSALS:
            raise RbacRefused
        if reply.status // 100 != 2:
            raise RbacUnavailable(detail=f"the RBAC server answered {reply.status}")
        try:
            verdict = orjson.loads(reply.body)
        except orjson.JSONDecodeError:
            raise RbacUnavailable(detail="the RBAC server's answer is not JSON") from None
        if not verdict:
            raise RbacRefused
        if reply.status != 200 or verdict is not True:
            raise RbacUnavailable(detail="the RBAC server's answer is neither true nor false")

    async def close(self) -> None:
        """Close idle connections."""
        await self._service.close()


def build_payload(question: RbacQuestion, account: Account, *, access: str) -> dict[str, object]:
    """Build the question, with its keys in the order of the wire. Pure."""
    signature = sign_message(account, signed_text(question))
    payload: dict[str, object] = {
        "eventType": question.event,
        "component": "provider",
        "providerAddress": account.address,
        "providerAccess": access,
        "credentials": _credentials(question),
        "signature": "0x" + signature.hex(),
        "dids": _wire(question.dids),
    }
    if question.algorithms:
        payload["algos"] = _wire(question.algorithms)
    if question.additional_dids:
        payload["additionalDids"] = _wire(question.additional_dids)
    return payload


def signed_text(question: RbacQuestion) -> str:
    """Return the text that the Provider signs: the event, the credentials and, for compute, the services. Pure."""
    # json writes the separators `", "` and `": "` that RBAC servers rebuild the text with.
    text = question.event + json.dumps(_credentials(question))
    if question.event != "compute":
        return text
    text += json.dumps(_wire(question.dids))
    for subjects in (question.algorithms, question.additional_dids):
        text += json.dumps(_wire(subjects)) if subjects else ""
    return text


def _credentials(question: RbacQuestion) -> Mapping[str, str]:
    return {"type": "address", "value": question.consumer}


def _wire(subjects: tuple[Subject, ...]) -> list[dict[str, str]]:
    return [{"did": subject.did, "serviceId": subject.service_id} for subject in subjects]
