"""Services that another Provider serves: whose a service is, and what the other asks for it [K12, K25].

`serviceEndpoint` is a publisher's text, so everything goes through the address guard, in time and size bounded, and
of the answers only what has the documented shape is passed on.
"""

import asyncio
import re
from collections.abc import Mapping
from typing import cast
from urllib.parse import urlencode

import orjson

from provider.cache import FactCache
from provider.compute.items import Chosen
from provider.errors import ComputeRefused, FileObjectInvalid, UpstreamError
from provider.keccak import is_address
from provider.orders.fees import ProviderFeeQuote
from provider.upstream.content_coding import Content
from provider.upstream.http_source import HttpOrigin
from provider.upstream.source import HttpRequest

RootKey = tuple[str, int]
"""Base URL, chain id."""

_MAX_ANSWER_BYTES = 64 * 1024
_TX_ID = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)
_HEX = re.compile(r"0x[0-9a-fA-F]*", re.ASCII)
_WORD = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)
_AMOUNT = re.compile(r"[0-9]{1,78}", re.ASCII)


class OtherProviders:
    """`own_urls`: base URLs known to be ours, which are never asked; `timeout_seconds` bounds one whole answer."""

    def __init__(
        self,
        *,
        origin: HttpOrigin,
        own_urls: frozenset[str],
        roots: FactCache[RootKey, str],
        timeout_seconds: float,
    ) -> None:
        self._origin = origin
        self._own_urls = frozenset(base_url(url) for url in own_urls)
        self._roots = roots
        self._timeout_seconds = timeout_seconds

    async def is_ours(self, chosen: Chosen) -> bool:
        """Does the service's endpoint lead to this Provider? Raises ComputeRefused when it does not tell."""
        endpoint = base_url(chosen.service.endpoint)
        if endpoint in self._own_urls:
            return True
        chain_id = chosen.network.chain_id

        async def fetch() -> str:
            return root_address(await self._json(f"{endpoint}/", chosen), chain_id)

        told = await self._roots.get((endpoint, chain_id), fetch)
        return told == chosen.network.account.address.lower()

    async def offer(self, chosen: Chosen, *, consumer: str) -> dict[str, object]:
        """What the other Provider's `initialize` says about the item. Raises ComputeRefused."""
        item = chosen.item
        fields = {"documentId": item.did, "serviceId": item.service_id, "consumerAddress": consumer}
        if item.tx_id:
            fields["transferTxId"] = item.tx_id
        if item.userdata:
            try:
                text = item.userdata if isinstance(item.userdata, str) else orjson.dumps(item.userdata).decode()
            except TypeError:
                raise _failed(chosen, "user data cannot be written as JSON") from None
            fields["userdata"] = text
        query = urlencode(fields, errors="replace")
        url = f"{base_url(chosen.service.endpoint)}/api/services/initialize?{query}"
        offer = read_offer(await self._json(url, chosen), datatoken=chosen.service.datatoken)
        if offer is None:
            raise _failed(chosen, "its offer has not the documented shape")
        return offer

    async def _json(self, url: str, chosen: Chosen) -> object:
        request = HttpRequest(
            "GET", url, (("Accept", "application/json"), ("Accept-Encoding", "identity")), party=chosen.item.did
        )
        try:
            async with asyncio.timeout(self._timeout_seconds), self._origin.opened(request) as source:
                if source.status != 200:
                    raise _failed(chosen, f"it answered {source.status}")
                content, body = Content(source), bytearray()
                buffer = memoryview(bytearray(_MAX_ANSWER_BYTES))
                while count := await content.read_into(buffer):
                    body += buffer[:count]
                    if len(body) > _MAX_ANSWER_BYTES:
                        raise _failed(chosen, "its answer is too long")
        except (UpstreamError, FileObjectInvalid) as error:
            raise _failed(chosen, error.detail or error.code) from error
        except TimeoutError:
            raise _failed(chosen, "it did not answer in time") from None
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            raise _failed(chosen, "its answer is no JSON") from None


def base_url(endpoint: str) -> str:
    """Where a Provider's routes begin: publishers write the endpoint with a slash or a path of ours behind it."""
    return endpoint.strip().partition("/api/")[0].rstrip("/")


def root_address(answer: object, chain_id: int) -> str:
    """The address, lower-case, that a Provider's root names for a chain; empty when it names none."""
    addresses = answer.get("providerAddresses") if isinstance(answer, Mapping) else None
    address = addresses.get(str(chain_id)) if isinstance(addresses, Mapping) else None
    if address is None and isinstance(answer, Mapping):
        address = answer.get("providerAddress")
    return str(address).lower() if is_address(address) else ""


def read_offer(answer: object, *, datatoken: str) -> dict[str, object] | None:
    """The known keys of an `initialize` answer about `datatoken`; None when it is not of the documented shape."""
    if not isinstance(answer, Mapping):
        return None
    order = answer.get("validOrder")
    if isinstance(order, str) and _TX_ID.fullmatch(order) and "providerFee" not in answer:
        return {"validOrder": order}
    named, fee = answer.get("datatoken"), _fee(answer.get("providerFee"))
    if not isinstance(named, str) or named.lower() != datatoken.lower() or fee is None:
        return None
    return {"datatoken": datatoken, "providerFee": fee}


def _fee(raw: object) -> ProviderFeeQuote | None:
    if not isinstance(raw, Mapping):
        return None
    if not is_address(raw.get("providerFeeAddress")) or not is_address(raw.get("providerFeeToken")):
        return None
    forms = (("providerFeeAmount", _AMOUNT), ("providerData", _HEX), ("r", _WORD), ("s", _WORD))
    for key, form in forms:
        text = str(raw.get(key)) if key == "providerFeeAmount" else raw.get(key)
        if not isinstance(text, str) or form.fullmatch(text) is None:
            return None
    numbers = raw.get("v"), raw.get("validUntil")
    if not all(type(number) is int and 0 <= number < 1 << 64 for number in numbers):
        return None
    fee = {key: raw[key] for key in ProviderFeeQuote.__annotations__}
    return cast(ProviderFeeQuote, fee | {"providerFeeAmount": str(raw["providerFeeAmount"])})


def _failed(chosen: Chosen, why: str) -> ComputeRefused:
    return ComputeRefused(chosen.item.resource, "other_provider_failed", detail=f"other provider: {why}")
