"""Quotas of downloads: which apply to a purchase, before its order is checked and afterwards, and to a result."""

import hashlib
from dataclasses import dataclass

from provider.assets.catalog import Catalog
from provider.cache import FactCache
from provider.compute.environments import Environments
from provider.compute.results import JobResult
from provider.errors import FileObjectInvalid, OrderNotFound, ServiceMalformed, ServiceNotFound
from provider.files.userdata import Userdata, as_json
from provider.handlers.downloads.file_params import read_userdata
from provider.handlers.downloads.purchase import Purchase
from provider.handlers.params import DownloadRequest
from provider.orders.check import parse_tx_id
from provider.quotas.quota import NO_LIMITS, Body, Limits, Taker, part_of
from provider.quotas.quotas import Quotas
from provider.upstream.answer import Answer, Part, Parts, Whole
from provider.wire.text import digits

FileKey = bytes
"""Made of all that decides how long a body is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaGate:
    """The files that compute jobs read are not counted: all jobs of an environment share one consumer.

    `lengths`: of whole files, in bytes, as their origins said lately.
    """

    quotas: Quotas
    catalog: Catalog
    environments: Environments
    lengths: FactCache[FileKey, int]

    async def check_claim(self, consumer: str, request: DownloadRequest, *, is_part: bool) -> None:
        """Refuse a proven consumer whose nonce is not used yet. The order is only claimed, so nothing is counted.

        A publisher's limits, and the length of the file, count here as far as they are in memory.

        Raises:
            QuotaExhausted: nothing is left, or less than the file.
            StoreError: the counts cannot be read.
        """
        try:
            taker = Taker(consumer, request.did, request.service_id, parse_tx_id(request.order_tx_id))
        except OrderNotFound:
            # Refused as such later.
            return
        length_bytes = None
        index = digits(request.file_index)
        if not is_part and index is not None:
            length_bytes = self.lengths.peek(
                key_of_file(request.did, request.service_id, index, read_userdata(request.userdata))
            )
        body = None if length_bytes is None else Body(length_bytes)
        await self.quotas.check(taker, self._known_limits(request.did, request.service_id), body)

    async def taker(self, purchase: Purchase, consumer: str) -> Taker | None:
        """Whom a bought file counts for; None if it counts for nobody. Raises QuotaExhausted, StoreError."""
        if purchase.service.type != "access" or self.environments.knows(consumer):
            return None
        taker = taker_of(purchase, consumer)
        await self.quotas.check(taker, purchase.service.limits)
        return taker

    async def result_taker(self, consumer: str) -> Taker:
        """Whom a result of a job counts for: its consumer. Raises QuotaExhausted, StoreError."""
        taker = Taker(consumer)
        await self.quotas.check(taker)
        return taker

    def body(self, key: FileKey, answer: Answer, *, is_publishers_part: bool = False) -> Body | None:
        """The body that an answer may send; None for no body.

        `is_publishers_part`: the publisher sells a range of the file, which is all that there is to download.
        """
        if isinstance(answer, Whole) or (isinstance(answer, Part) and is_publishers_part):
            if answer.length_bytes is not None:
                self.lengths.put(key, answer.length_bytes)
            return Body(answer.length_bytes)
        if isinstance(answer, Part):
            return part_of(answer.length_bytes, answer.total_bytes)
        if isinstance(answer, Parts):
            # Their body does not say how long the file is.
            length_bytes = answer.length_bytes
            return Body(None) if length_bytes is None else part_of(length_bytes, self.lengths.peek(key))
        return None

    def _known_limits(self, did: str, service_id: str) -> Limits:
        asset = self.catalog.known(did)
        try:
            return NO_LIMITS if asset is None else asset.service(service_id).limits
        except (ServiceMalformed, ServiceNotFound):
            return NO_LIMITS


def key_of_file(did: str, service_id: str, index: int, userdata: Userdata) -> FileKey:
    """Key of a file. User data go to its origin, which may answer each with another body."""
    try:
        sent = as_json(userdata.values)
    except FileObjectInvalid:
        # Such values are sent to no origin.
        sent = ""
    return _key(did, service_id, index, sent)


def key_of_result(result: JobResult) -> FileKey:
    """Key of a result of a compute job."""
    return _key("result", result.job_id, result.index)


def _key(*parts: object) -> FileKey:
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).digest()


def taker_of(purchase: Purchase, consumer: str) -> Taker:
    """Whom a bought file counts for. An order that was reused is the same order: anybody may reuse one for nothing."""
    order = purchase.order
    return Taker(
        consumer, purchase.asset.did, purchase.service.id, order.started_tx_id, purchase.ends_at, order.consumer
    )
