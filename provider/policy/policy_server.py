"""Asks a policy server instead of reading credentials (`ocean-node-compat.md` section 2, ocean-node's PolicyServer.md).

Status 200 allows, unless its body says otherwise (`is_page`, `says_no`). Every other answer refuses. No answer is a
503, never a yes.
"""

import re
from collections.abc import Mapping

import orjson

from provider.assets.ddo import Asset, Service
from provider.errors import AnswerTooLong, PolicyRefused, PolicyServerUnavailable, ValidationFailed
from provider.outgoing.client import TRY_LATER, ServiceClient, ServiceReply
from provider.outgoing.sessions import Outgoing
from provider.policy.config import AccessConfig
from provider.wire.json import is_crowded

MAX_ANSWER_BYTES = 64 * 1024
MAX_SHOWN_CHARS = 500
INITIATE = "initiate"
# These say "not now" rather than "no" (RFC 9110 section 15.5.9, RFC 6585 section 4, RFC 8470 section 5.2).
_ERRORS, _CONSENTS = ("error", "errors"), ("success", "allowed", "allow")
_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://\S+")


class PolicyServer:
    """The server at `base_url`; the API key goes with every question."""

    def __init__(
        self,
        base_url: str,
        config: AccessConfig,
        *,
        outgoing: Outgoing | None = None,
    ) -> None:
        self._service = ServiceClient(
            base_url,
            name="policy server",
            timeout_seconds=config.timeout_seconds,
            max_bytes=MAX_ANSWER_BYTES,
            headers={"X-API-Key": config.policy_api_key} if config.policy_api_key else None,
            unavailable=PolicyServerUnavailable,
            outgoing=outgoing,
        )

    async def check_service(
        self, action: str, asset: Asset, service: Service, consumer: str, *, provider: str, data: object
    ) -> None:
        """Check that `consumer` may do `action` (`download`, `startCompute`) with the service. `data` as in
        `check_encrypt`.

        Raises PolicyRefused, ValidationFailed for `data` that is not JSON, PolicyServerUnavailable without a usable
        answer.
        """
        await self._check(_about_service(action, asset, service, consumer, provider=provider, data=data))

    async def begin_session(
        self, asset: Asset, service: Service, consumer: str, *, provider: str, data: object
    ) -> ServiceReply:
        """Begin the verification of a consumer (`initiate`). Returns the answer, which is for the consumer.

        Raises the same errors as `check_service`, and PolicyServerUnavailable for an answer that is not JSON.
        """
        reply = await self._ask(_about_service(INITIATE, asset, service, consumer, provider=provider, data=data))
        if reply.json() is None:
            raise PolicyServerUnavailable(detail="the policy server's answer is not JSON")
        return reply

    async def check_encrypt(self, consumer: str, *, provider: str, data: object) -> None:
        """Check that `consumer` (empty if the request names nobody) may have something encrypted.

        `data`: the request's `policyServer` value, passed on. Raises the same errors as `check_service`.
        """
        await self._check(
            {
                "action": "encrypt",
                "consumerAddress": consumer,
                "policyServer": passed_on(data),
                "nodeAddress": provider,
            }
        )

    async def close(self) -> None:
        """Close idle connections."""
        await self._service.close()

    async def _check(self, question: Mapping[str, object]) -> None:
        reply = await self._ask(question)
        if says_no(reply):
            raise PolicyRefused(refusal_text(reply), detail="the policy server answered 200 with a refusal")

    async def _ask(self, question: Mapping[str, object]) -> ServiceReply:
        """An answer with status 200 that is not a page. Raises PolicyRefused, PolicyServerUnavailable."""
        try:
            reply = await self._service.call("POST", json=question)
        except AnswerTooLong as error:
            raise PolicyServerUnavailable(detail=error.detail) from None
        if reply.status == 200:
            if is_page(reply):
                raise PolicyServerUnavailable(detail="the policy server answered with a web page, perhaps a login")
            return reply
        if 200 < reply.status < 300 or (400 <= reply.status < 500 and reply.status not in TRY_LATER):
            raise PolicyRefused(refusal_text(reply), detail=f"the policy server answered {reply.status}")
        raise PolicyServerUnavailable(detail=f"the policy server answered {reply.status}")


def _about_service(
    action: str, asset: Asset, service: Service, consumer: str, *, provider: str, data: object
) -> Mapping[str, object]:
    if asset.document is None:
        raise PolicyServerUnavailable(detail="the asset's DDO text was not kept")
    return {
        "action": action,
        "documentId": asset.did,
        "ddo": orjson.Fragment(asset.document),
        "serviceId": service.id,
        "consumerAddress": consumer,
        "policyServer": passed_on(data),
        "nodeAddress": provider,
    }


def passed_on(value: object) -> orjson.Fragment:
    """Return the request's `policyServer` value as JSON. Text that holds JSON, as in query strings, is parsed. Pure.

    Raises ValidationFailed for values that cannot be written as JSON: nested too deeply, integers above 64 bits. Text
    with more values than any document has stays text: all threads would wait while it is parsed.
    """
    if isinstance(value, str):
        text = value.encode("utf-8", "surrogatepass")
        try:
            value = value if is_crowded(text) else orjson.loads(text)
        except ValueError:
            pass
    try:
        return orjson.Fragment(orjson.dumps(value))
    except TypeError:
        raise ValidationFailed({"policyServer": ["The policyServer format is invalid."]}) from None


def is_page(reply: ServiceReply) -> bool:
    """Tell whether the reply is markup. A front proxy answers with a page, the policy server itself does not. Pure."""
    return "html" in reply.content_type or "xml" in reply.content_type or reply.body.lstrip()[:1] == b"<"


def says_no(reply: ServiceReply) -> bool:
    """Tell whether the body of a status 200 refuses: `false`, an `error`, or `false` under a name for consent. Pure.

    The protocol leaves the body open, so an empty body, a text or any other JSON agrees with the status.
    """
    value: object = reply.json()
    if not isinstance(value, Mapping):
        return value is False
    return any(value.get(key) for key in _ERRORS) or any(value.get(key) is False for key in _CONSENTS)


def refusal_text(reply: ServiceReply) -> str | None:
    """Return the text for a refused consumer: short, printable, without URLs; None if there is none. Pure.

    JSON shows its `message` or `error`; markup is not shown.
    """
    value: object = reply.json()
    if isinstance(value, Mapping):
        value = value.get("message") or value.get("error")
    elif value is None and "html" not in reply.content_type and "json" not in reply.content_type:
        value = reply.body.decode("utf-8", "replace")
    if not isinstance(value, str):
        return None
    printable = "".join(character if character.isprintable() else " " for character in value[: 4 * MAX_SHOWN_CHARS])
    return " ".join(_URL.sub("(not shown)", printable).split())[:MAX_SHOWN_CHARS] or None
