"""Decides about each request: let it in with a ticket, or refuse it with an error that says when to come back."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provider.admission.buckets import Buckets, BytePace
from provider.admission.clients import Client, Clients
from provider.admission.config import AdmissionConfig
from provider.admission.overload import Overload
from provider.errors import InspectionsBusy, ProviderError, ServerBusy, ServerFull, TooManyRequests

if TYPE_CHECKING:
    from tornado.httputil import HTTPServerRequest

log = logging.getLogger("provider.server")
# How often the loop is measured: rarely, and only while requests are at work; often when it is late, because refusals
# must be quick.
CALM_TICK_SECONDS, SHEDDING_TICK_SECONDS = 0.02, 0.005
# One client gets this part of all inspections, so that some are always left for others.
INSPECTIONS_SHARE = 8


@dataclass(frozen=True, slots=True)
class Rule:
    """The limits for requests of one endpoint.

    `buckets`: limit of requests.
    `pace`: limit of bytes, charged once their number is known.
    `pays_first`: refuse at once while bytes are owed; otherwise only `Ticket.check_pace` refuses.
    `works`: refuse while the loop is late.
    `streams`: counts as a stream.
    `inspects`: makes this server contact an origin.
    """

    buckets: Buckets | None = None
    pace: BytePace | None = None
    pays_first: bool = True
    works: bool = False
    streams: bool = False
    inspects: bool = False


class Inspection:
    """One place among the inspections of a client. `end` releases it and may be called again."""

    __slots__ = ("_admission", "_client", "_held")

    def __init__(self, admission: "Admission", client: Client | None) -> None:
        self._admission, self._client, self._held = admission, client, True

    def end(self) -> None:
        """Release the place."""
        if self._held:
            self._held = False
            self._admission.end_inspection(self._client)


class Ticket:
    """An admitted request. Call `worked` when its reply begins and `leave` when it ends; both may be called again.

    While it waits for its body (`awaits_body`), it holds nothing scarce, so a slow body keeps no other request out.
    """

    __slots__ = ("_admission", "_at_work", "_inside", "_inspects", "_rule", "awaits_body", "client")

    def __init__(self, admission: "Admission", rule: Rule, client: Client | None) -> None:
        self._admission, self._rule, self.client = admission, rule, client
        self._at_work = self._inside = True
        self._inspects = rule.inspects
        self.awaits_body = False

    def await_body(self) -> None:
        """Hold nothing until `begin`, because the body is still to come."""
        self.leave()
        self.awaits_body = True

    def begin(self) -> None:
        """Hold its places again, now that the body is there. Raises ServerBusy, ServerFull, InspectionsBusy."""
        self.awaits_body = False
        refused = self._admission.crowded(self._rule, self.client)
        if refused is not None:
            raise refused
        self._admission.take(self._rule, self.client)
        self._at_work = self._inside = True
        self._inspects = self._rule.inspects

    def worked(self) -> None:
        """Stop counting as work: the bytes that follow cost the loop next to nothing."""
        if self._at_work:
            self._at_work = False
            self._admission.at_work -= 1

    def leave(self) -> None:
        """Release everything, at the end of the request."""
        self.worked()
        if self._inside:
            self._inside = False
            self._admission.left(self._rule)
        if self._inspects:
            self._inspects = False
            self._admission.end_inspection(self.client)

    def inspections(self, wanted: int) -> list[Inspection]:
        """Acquire places for up to `wanted` parallel inspections: as many as are free, at least the request's own.

        From here on they belong to the inspections, which release them when they end, even after the request has ended.
        """
        own = self._inspects
        self._inspects = False
        held = [Inspection(self._admission, self.client)] if own else []
        while len(held) < wanted and self._admission.may_inspect(self.client):
            self._admission.begin_inspection(self.client)
            held.append(Inspection(self._admission, self.client))
        return held

    def check_rate(self) -> None:
        """Raise TooManyRequests if the client owes requests besides this one."""
        owing_seconds = self._admission.owing_requests_seconds(self._rule, self.client)
        if owing_seconds > 0:
            raise TooManyRequests(after_seconds=owing_seconds)

    def charge_requests(self, count: int) -> None:
        """Charge `count` more requests, for files of a list or requests to others. This may become a debt."""
        self._admission.charge_requests(self._rule, self.client, count)

    def check_pace(self) -> None:
        """Raise TooManyRequests while the client, or all clients together, owe bytes."""
        owing_seconds = self._admission.owing_seconds(self._rule, self.client)
        if owing_seconds > 0:
            raise TooManyRequests(after_seconds=owing_seconds)

    def charge(self, size_bytes: int) -> None:
        """Charge `size_bytes` of finished work."""
        self._admission.charge(self._rule, self.client, size_bytes)


class Admission:
    """Lets requests of one worker in, by the rule of their endpoint. 0 means no limit everywhere."""

    def __init__(
        self,
        config: AdmissionConfig,
        rules: Mapping[str, Rule],
        *,
        others: Rule,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`rules` by endpoint; `others` for those without."""
        self.clients = Clients(config)
        self._rules, self._others = rules, others
        self._overload = Overload(lag_seconds=config.overload_lag_seconds)
        self._max_streams, self._max_inspections = config.max_streams, config.max_inspections
        self._clock = clock
        self.at_work = 0
        self._let_by = 0
        self.streams = 0
        self._inspections: dict[Client | None, int] = {}
        self._all_inspections = 0
        self._timer: asyncio.TimerHandle | None = None
        self._due_at = 0.0
        self.shed = 0

    def enter(self, endpoint: str, head: "HTTPServerRequest") -> Ticket | ProviderError | None:
        """Return a ticket, an error to refuse with, or None if there is nothing to count."""
        rule = self._rules.get(endpoint, self._others)
        client = self.clients.of_request(head.remote_ip or "", head.headers)
        refused = self._refusal(rule, client)
        if refused is not None:
            return refused
        if not rule.works:
            return None
        self.take(rule, client)
        return Ticket(self, rule, client)

    def take(self, rule: Rule, client: Client | None) -> None:
        """Count one more request at work."""
        if rule.streams:
            self.streams += 1
        if rule.inspects:
            self.begin_inspection(client)
        self.at_work += 1
        if self._timer is None:
            self._watch()

    def turns_away(self) -> bool:
        """Tell whether the head just read must be refused. Otherwise count it until its request is looked at.

        One turn of the loop reads the heads of all connections before any request begins.
        """
        if self._overload.limit is None:
            return False
        if self._overload.is_full(self.at_work + self._let_by):
            return True
        if not self._let_by:
            asyncio.get_running_loop().call_soon(self._forget_heads)
        self._let_by += 1
        return False

    def _forget_heads(self) -> None:
        self._let_by = 0

    def _refusal(self, rule: Rule, client: Client | None) -> ProviderError | None:
        wait_seconds = self._wait_seconds(rule, client)
        if wait_seconds > 0:
            return TooManyRequests(after_seconds=wait_seconds)
        return self.crowded(rule, client) if rule.works else None

    def crowded(self, rule: Rule, client: Client | None) -> ProviderError | None:
        """Return the error that refuses one more request at work, or None."""
        if self._overload.limit is not None and self._overload.is_full(self.at_work):
            self.shed += 1
            return ServerBusy()
        if rule.streams and self._max_streams and self.streams >= self._max_streams:
            return ServerFull()
        if rule.inspects and not self.may_inspect(client):
            return InspectionsBusy()
        return None

    def _wait_seconds(self, rule: Rule, client: Client | None) -> float:
        if rule.pace is not None and rule.pays_first:
            owing_seconds = self.owing_seconds(rule, client)
            if owing_seconds > 0:
                return owing_seconds
        if client is None or rule.buckets is None:
            return 0.0
        return rule.buckets.take(client, self._clock())

    def may_inspect(self, client: Client | None) -> bool:
        """Tell whether this client may start one more inspection."""
        if not self._max_inspections:
            return True
        if self._all_inspections >= self._max_inspections:
            return False
        share = max(1, self._max_inspections // INSPECTIONS_SHARE)
        return client is None or self._inspections.get(client, 0) < share

    def owing_seconds(self, rule: Rule, client: Client | None) -> float:
        """Return the seconds until more bytes may be worked on."""
        return rule.pace.wait_seconds(client, self._clock()) if rule.pace is not None else 0.0

    def charge(self, rule: Rule, client: Client | None, size_bytes: int) -> None:
        """Charge `size_bytes` of finished work."""
        if rule.pace is not None:
            rule.pace.charge(client, self._clock(), size_bytes)

    def owing_requests_seconds(self, rule: Rule, client: Client | None) -> float:
        """Return the seconds until the client has paid for all its requests but one."""
        if client is None or rule.buckets is None:
            return 0.0
        return max(0.0, rule.buckets.wait_seconds(client, self._clock()) - 1.001 * rule.buckets.token_seconds)

    def charge_requests(self, rule: Rule, client: Client | None, count: int) -> None:
        """Take `count` more tokens of the client."""
        if client is not None and rule.buckets is not None and count > 0:
            rule.buckets.charge(client, self._clock(), count)

    def begin_inspection(self, client: Client | None) -> None:
        """Count one more inspection."""
        self._all_inspections += 1
        self._inspections[client] = self._inspections.get(client, 0) + 1

    def end_inspection(self, client: Client | None) -> None:
        """Count one inspection less."""
        self._all_inspections -= 1
        left = self._inspections[client] - 1
        if left:
            self._inspections[client] = left
        else:
            del self._inspections[client]

    def left(self, rule: Rule) -> None:
        """Count one admitted request less."""
        if rule.streams:
            self.streams -= 1

    def _watch(self) -> None:
        seconds = CALM_TICK_SECONDS if self._overload.limit is None else SHEDDING_TICK_SECONDS
        self._due_at = self._clock() + seconds
        self._timer = asyncio.get_running_loop().call_later(seconds, self._tick)

    def _tick(self) -> None:
        now = self._clock()
        was_late = self._overload.limit is not None
        self._overload.tick(now, max(0.0, now - self._due_at), self.at_work)
        is_late = self._overload.limit is not None
        if is_late and not was_late:
            self.shed = 0
            log.warning("overloaded: new requests are refused", extra={"fields": {"at_work": self.at_work}})
        elif was_late and not is_late:
            log.warning("no longer overloaded", extra={"fields": {"refused": self.shed}})
        if self.at_work or is_late:
            self._watch()
        else:
            self._timer = None

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
