"""Services of other Providers: finds the Provider of a service, and gets that Provider's quote [K12, K25].

A publisher writes `serviceEndpoint`. So every request passes the address guard, with limits on time and size, and only
answers of the documented shape are passed on.
"""

import asyncio
import re
from collections.abc import Mapping
from typing import cast
from urllib.parse import urlencode

import orjson

from provider.cache import FactCache
from provider.compute.items import ResolvedItem
from provider.crypto.keccak import is_address
from provider.errors import ComputeRefused, FileObjectInvalid, UpstreamError
from provider.orders.fees import ProviderFeeQuote
from provider.upstream.content_coding import Content
from provider.upstream.http_origin import HttpOrigin
from provider.upstream.http_source import HttpSource
from provider.upstream.request_head import Redirect
from provider.upstream.source import HttpRequest
from provider.wire.json import read_json

RootKey = tuple[str, int]
# These connections belong to no asset: they carry nothing that a consumer receives.
_PARTY = "other Providers"
"""Base URL, chain id."""

MAX_ENDPOINTS = 3
MAX_OFFERS = 12
"""Limits for one request, which is unsigned: other Providers that it may make us ask, and their items."""
_MAX_ANSWER_BYTES = 64 * 1024
_TX_ID = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)
_HEX = re.compile(r"0x[0-9a-fA-F]*", re.ASCII)
_WORD = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)
_AMOUNT = re.compile(r"[0-9]{1,78}", re.ASCII)


class _NoAnswer(Exception):
    """A Provider gave no usable answer. `reached`: it did answer."""

    def __init__(self, why: str, *, reached: bool = True) -> None:
        super().__init__(why)
        self.reached = reached


class OtherProviders:
    """Asks other Providers.

    `own_urls`: base URLs known to be ours, which are never asked.
    `timeout_seconds`: limit for all questions of one request together.
    `roots`: cache of the addresses that Providers named.
    `silent`: cache of the reasons why a host or base URL recently gave no usable answer.
    """

    def __init__(
        self,
        *,
        origin: HttpOrigin,
        own_urls: frozenset[str],
        roots: FactCache[RootKey, str],
        silent: FactCache[str, str],
        timeout_seconds: float,
    ) -> None:
        self._origin = origin
        self.own_urls = frozenset(base_url(url) for url in own_urls)
        self._roots = roots
        self._silent = silent
        self._timeout_seconds = timeout_seconds

    def enquire(self) -> "Enquiry":
        """Begin the questions of one request, and their time limit."""
        return Enquiry(self, asyncio.get_running_loop().time() + self._timeout_seconds)

    async def address(self, base: str, chain_id: int, deadline: float) -> str:
        """Return the lower-case address of the Provider at `base` on a chain. Raises _NoAnswer.

        A host that did not answer as a Provider is not asked again for a while, whatever path a publisher appends. A
        base URL that did answer stays known.
        """
        host = _host(base)

        async def fetch() -> str:
            self._check_silent(host)
            try:
                found = root_address(await self._json(f"{base}/", deadline), chain_id)
                if not found:
                    raise _NoAnswer("its root names no address for the chain")
            except _NoAnswer as failure:
                self._silent.put(host, str(failure))
                raise
            return found

        return await self._roots.get((base, chain_id), fetch)

    async def initialize(self, base: str, query: str, deadline: float) -> object:
        """Return the offer of the known Provider at `base`. Raises _NoAnswer."""
        self._check_silent(base)
        try:
            return await self._json(f"{base}/api/services/initialize?{query}", deadline)
        except _NoAnswer as failure:
            # A refusal concerns one item only.
            if not failure.reached:
                self._silent.put(base, str(failure))
            raise

    def _check_silent(self, key: str) -> None:
        why = self._silent.peek(key)
        if why is not None:
            raise _NoAnswer(f"{why}, a moment ago")

    async def _json(self, url: str, deadline: float) -> object:
        request = HttpRequest(
            "GET", url, (("Accept", "application/json"), ("Accept-Encoding", "identity")), party=_PARTY
        )
        try:
            async with asyncio.timeout_at(deadline):
                # No redirects: they could send us to anybody.
                source = await self._origin.open_hop(request)
                if isinstance(source, Redirect):
                    raise _NoAnswer("it answered with a redirect")
                body = await _whole(source)
        except (UpstreamError, FileObjectInvalid) as error:
            raise _NoAnswer(error.detail or error.code, reached=False) from error
        except TimeoutError:
            raise _NoAnswer("it did not answer in time", reached=False) from None
        try:
            return read_json(body)
        except ValueError:
            raise _NoAnswer("its answer is not JSON") from None


class Enquiry:
    """The questions that one request causes: a few questions to a few Providers. Raises ComputeRefused beyond that."""

    def __init__(self, others: OtherProviders, deadline: float) -> None:
        self._others = others
        self._deadline = deadline
        self._bases: set[str] = set()
        self._offers = 0

    async def is_ours(self, resolved: ResolvedItem) -> bool:
        """Return whether the service's endpoint leads to this Provider. Raises ComputeRefused if that stays unknown."""
        base = base_url(resolved.service.endpoint)
        if base in self._others.own_urls:
            return True
        if not base or "?" in base or "#" in base:
            raise _failed(resolved, "its endpoint is not a base URL")
        self._bases.add(base)
        if len(self._bases) > MAX_ENDPOINTS:
            raise _failed(resolved, f"more than {MAX_ENDPOINTS} endpoints in one request")
        try:
            # An answer that other requests wait for too may take longer than this request has.
            async with asyncio.timeout_at(self._deadline):
                found = await self._others.address(base, resolved.network.chain_id, self._deadline)
        except (_NoAnswer, TimeoutError) as failure:
            raise _failed(resolved, str(failure) or "it did not answer in time") from None
        return found == resolved.network.account.address.lower()

    async def offer(self, resolved: ResolvedItem, *, consumer: str) -> dict[str, object]:
        """Return the other Provider's answer to `initialize` for the item. Raises ComputeRefused."""
        self._offers += 1
        if self._offers > MAX_OFFERS:
            raise _failed(resolved, f"more than {MAX_OFFERS} items of other Providers in one request")
        try:
            answer = await self._others.initialize(
                base_url(resolved.service.endpoint), _query(resolved, consumer), self._deadline
            )
        except _NoAnswer as failure:
            raise _failed(resolved, str(failure)) from None
        offer = read_offer(answer, datatoken=resolved.service.datatoken)
        if offer is None:
            raise _failed(resolved, "its offer does not have the documented shape")
        return offer


async def _whole(source: HttpSource) -> bytes:
    """Read the body of a good answer. Raises _NoAnswer, UpstreamError."""
    content, body, buffer = Content(source), bytearray(), memoryview(bytearray(_MAX_ANSWER_BYTES))
    try:
        if source.status != 200:
            raise _NoAnswer(f"it answered {source.status}")
        while count := await content.read_into(buffer):
            body += buffer[:count]
            if len(body) > _MAX_ANSWER_BYTES:
                raise _NoAnswer("its answer is too long")
    except BaseException:
        source.close()
        raise
    source.release()
    return bytes(body)


def _query(resolved: ResolvedItem, consumer: str) -> str:
    """Make the query about an item. Raises ComputeRefused for user data that cannot be written as JSON."""
    item = resolved.item
    fields = {"documentId": item.did, "serviceId": item.service_id, "consumerAddress": consumer}
    if item.tx_id:
        fields["transferTxId"] = item.tx_id
    if item.userdata:
        try:
            text = item.userdata if isinstance(item.userdata, str) else orjson.dumps(item.userdata).decode()
        except TypeError:
            raise _failed(resolved, "user data cannot be written as JSON") from None
        fields["userdata"] = text
    return urlencode(fields, errors="replace")


def base_url(endpoint: str) -> str:
    """Return the URL where a Provider's routes begin. Publishers write a slash, or one of our paths, after it."""
    return endpoint.strip().partition("/api/")[0].rstrip("/")


def _host(base: str) -> str:
    """Return scheme, host and port of a base URL, as a cache key only. Other code checks the URL."""
    scheme, _, rest = base.lower().partition("://")
    return f"{scheme}://{rest.partition('/')[0].rpartition('@')[2]}"


def root_address(answer: object, chain_id: int) -> str:
    """Return the lower-case address that a Provider's root names for a chain; empty if it names none."""
    addresses = answer.get("providerAddresses") if isinstance(answer, Mapping) else None
    address = addresses.get(str(chain_id)) if isinstance(addresses, Mapping) else None
    if address is None and isinstance(answer, Mapping):
        address = answer.get("providerAddress")
    return str(address).lower() if is_address(address) else ""


def read_offer(answer: object, *, datatoken: str) -> dict[str, object] | None:
    """Return the known keys of an `initialize` answer about `datatoken`; None unless it has the documented shape."""
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


def _failed(resolved: ResolvedItem, why: str) -> ComputeRefused:
    return ComputeRefused(resolved.item.resource, "other_provider_failed", detail=f"other provider: {why}")
