"""One use of a dataset, as the books keep it (pure)."""

import re
from dataclasses import dataclass

from provider.errors.base import Fault
from provider.errors.fault import fault_of
from provider.wire.text import digits

COMPLETE = "complete"
MAX_NAME_CHARS = 128
"""Longest id. Publishers choose ids of services, the operator service those of jobs; usual ones have at most 64."""

_DID = re.compile(r"did:ope?:[0-9a-f]{64}", re.ASCII)
_TX_ID = re.compile(r"(?:0[xX])?([0-9a-fA-F]{64})", re.ASCII)
_MAX_INDEX_DIGITS = 6


@dataclass(slots=True)
class Use:
    """One use: the consumer, the file, and how it ended.

    An endpoint makes it once the consumer is proven; the base of all endpoints calls `end`. It holds no URL, header,
    user data or client address, and of a link only its name.

    Attributes:
        consumer: checksummed address.
        link: name of the link in logs, "" for a signed request.
        file_index: None if the request names none, or if the service has no such file.
        is_bought: the order was accepted. Before that, did, service, file and transaction are claims of the consumer.
        endpoint: name of the endpoint.
        ended_at: unix seconds.
        outcome: "complete", the early end of a stream, or an error code.
        fault: the side at fault; None if complete.
        cached_bytes: the part of the bytes that came from a cache. The rest came from the origin.
        is_part: a range was sent.
        path: how the bytes were sent, "" if none were due.
        requests: more than one for uses of a link that were merged.
        first_byte_seconds: from the request's head to the first byte; None if none was sent.
    """

    consumer: str
    did: str = ""
    service_id: str = ""
    file_index: int | None = None
    job_id: str = ""
    order_tx_id: str = ""
    chain_id: int | None = None
    link: str = ""
    is_bought: bool = False
    endpoint: str = ""
    ended_at: float = 0.0
    outcome: str = ""
    fault: Fault | None = None
    sent_bytes: int = 0
    cached_bytes: int = 0
    is_part: bool = False
    path: str = ""
    seconds: float = 0.0
    requests: int = 1
    first_byte_seconds: float | None = None

    def buy(self, chain_id: int, order_tx_id: str) -> None:
        """Record that the order was accepted. Whether the service has the file is not known yet."""
        self.is_bought, self.chain_id, self.order_tx_id = True, chain_id, order_tx_id
        self.file_index = None

    def send(self, sent_bytes: int, outcome: str, path: str, *, is_part: bool, cached_bytes: int) -> None:
        """Record that bytes were sent."""
        self.sent_bytes, self.outcome, self.path, self.is_part = sent_bytes, outcome, path, is_part
        self.cached_bytes = cached_bytes

    def end(self, endpoint: str, outcome: str, *, at: float, seconds: float) -> None:
        """Record that the request has ended. `outcome` counts unless a stream has set another one."""
        self.endpoint, self.ended_at, self.seconds = endpoint, at, seconds
        self.outcome = self.outcome or outcome
        self.fault = None if self.outcome == COMPLETE else fault_of(self.outcome)

    def public_facts(self) -> dict[str, object]:
        """The fields for the access line. The service is named only after the purchase: before, it may be any text."""
        facts = {"did": self.did, "service": self.service_id if self.is_bought else "", "order_tx": self.order_tx_id}
        return {name: value for name, value in facts.items() if value}

    def absorb(self, later: "Use") -> None:
        """Merge a later use of the same link with the same outcome into this one."""
        self.ended_at, self.path = later.ended_at, later.path
        self.requests += later.requests
        self.sent_bytes += later.sent_bytes
        self.cached_bytes += later.cached_bytes
        self.seconds += later.seconds
        self.is_part |= later.is_part


def claimed(
    consumer: str, *, did: str, service_id: str, order_tx_id: str, file_index: object = None, link: str = ""
) -> Use:
    """The use that a proven consumer asks for. Claims that do not have the right form are left out."""
    tx_id = _TX_ID.fullmatch(order_tx_id)
    return Use(
        consumer=consumer,
        did=did if _DID.fullmatch(did) else "",
        service_id=service_id[:MAX_NAME_CHARS] if service_id.isprintable() else "",
        file_index=None if file_index is None else digits(str(file_index), max_chars=_MAX_INDEX_DIGITS),
        order_tx_id="" if tx_id is None else f"0x{tx_id[1].lower()}",
        link=link,
    )


def of_result(consumer: str, job_id: str, *, link: str = "") -> Use:
    """The use of a result of a compute job. The operator service decides whose job it is."""
    return Use(consumer=consumer, job_id=job_id[:MAX_NAME_CHARS] if job_id.isprintable() else "", link=link)
