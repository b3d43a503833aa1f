"""The decision about each request: in with a ticket, or refused with an error that says for how long."""

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
# Calm, the loop is asked only while requests are at work; late, it is asked often, as refusals have to be quick.
CALM_TICK_SECONDS, SHEDDING_TICK_SECONDS = 0.02, 0.005
# One client's part of what all may have in inspections: others get theirs whatever it does.
INSPECTIONS_SHARE = 8


@dataclass(frozen=True, slots=True)
class Rule:
    """What holds for the requests of an endpoint.

    `buckets`: of requests; `pace`: of bytes, charged once they are known; `pays_first`: not let in while bytes are
    owed, else only `Ticket.check_pace` refuses; `works`: refused while the loop is late; `streams`: counts among
    streams; `inspects`: makes this server ask an origin.
    """

    buckets: Buckets | None = None
    pace: BytePace | None = None
    pays_first: bool = True
    works: bool = False
    streams: bool = False
    inspects: bool = False


class Inspection:
    """One place among the inspections of a client. `end` gives it back; a second call does nothing."""

    __slots__ = ("_admission", "_client", "_held")

    def __init__(self, admission: "Admission", client: Client | None) -> None:
        self._admission, self._client, self._held = admission, client, True

    def end(self) -> None:
        """The work has ended."""
        if self._held:
            self._held = False
            self._admission.end_inspection(self._client)


class Ticket:
    """A request that was let in. `worked` when its answer begins, `leave` at its end; both may be called again.

    While its body is still to come (`awaits_body`) it holds nothing that is scarce: a slow one would keep others out.
    """

    __slots__ = ("_admission", "_at_work", "_inside", "_inspects", "_rule", "awaits_body", "client")

    def __init__(self, admission: "Admission", rule: Rule, client: Client | None) -> None:
        self._admission, self._rule, self.client = admission, rule, client
        self._at_work = self._inside = True
        self._inspects = rule.inspects
        self.awaits_body = False

    def await_body(self) -> None:
        """From here until `begin` nothing is done for it."""
        self.leave()
        self.awaits_body = True

    def begin(self) -> None:
        """Its body is there. Raises ServerBusy, ServerFull and InspectionsBusy when there is no room left by now."""
        self.awaits_body = False
        refused = self._admission.crowded(self._rule, self.client)
        if refused is not None:
            raise refused
        self._admission.take(self._rule, self.client)
        self._at_work = self._inside = True
        self._inspects = self._rule.inspects

    def worked(self) -> None:
        """What is left costs the loop next to nothing: bytes pass through."""
        if self._at_work:
            self._at_work = False
            self._admission.at_work -= 1

    def leave(self) -> None:
        """It has ended."""
        self.worked()
        if self._inside:
            self._inside = False
            self._admission.left(self._rule)
        if self._inspects:
            self._inspects = False
            self._admission.end_inspection(self.client)

    def inspections(self, wanted: int) -> list[Inspection]:
        """Places for `wanted` inspections at a time, as many as are free but at least the request's own.

        They belong to the work from here on: it gives them back when it has ended, even after the request has.
        """
        own = self._inspects
        self._inspects = False
        held = [Inspection(self._admission, self.client)] if own else []
        while len(held) < wanted and self._admission.may_inspect(self.client):
            self._admission.begin_inspection(self.client)
            held.append(Inspection(self._admission, self.client))
        return held

    def check_rate(self) -> None:
        """Does the client owe requests, beside this one? Raises TooManyRequests."""
        owing_seconds = self._admission.owing_requests_seconds(self._rule, self.client)
        if owing_seconds > 0:
            raise TooManyRequests(after_seconds=owing_seconds)

    def charge_requests(self, count: int) -> None:
        """The request stands for `count` more: files of a list, requests to others. They may become a debt."""
        self._admission.charge_requests(self._rule, self.client, count)

    def check_pace(self) -> None:
        """May bytes be worked on? Raises TooManyRequests."""
        owing_seconds = self._admission.owing_seconds(self._rule, self.client)
        if owing_seconds > 0:
            raise TooManyRequests(after_seconds=owing_seconds)

    def charge(self, size_bytes: int) -> None:
        """So many bytes were worked on."""
        self._admission.charge(self._rule, self.client, size_bytes)


class Admission:
    """Lets requests in by the rule of their endpoint. Of one worker; 0 stands for no limit, everywhere."""

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
        """A ticket, an error to refuse with, or None where there is nothing to count."""
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
        """Count one more at work."""
        if rule.streams:
            self.streams += 1
        if rule.inspects:
            self.begin_inspection(client)
        self.at_work += 1
        if self._timer is None:
            self._watch()

    def turns_away(self) -> bool:
        """Must the head that was just read be refused? One that need not is counted until its request is looked at.

        A turn of the loop reads what all connections sent before it lets any request begin.
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
        """What refuses one more at work, or None."""
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
        """Is there room for one more inspection of this client?"""
        if not self._max_inspections:
            return True
        if self._all_inspections >= self._max_inspections:
            return False
        share = max(1, self._max_inspections // INSPECTIONS_SHARE)
        return client is None or self._inspections.get(client, 0) < share

    def owing_seconds(self, rule: Rule, client: Client | None) -> float:
        """Seconds until more bytes may be worked on."""
        return rule.pace.wait_seconds(client, self._clock()) if rule.pace is not None else 0.0

    def charge(self, rule: Rule, client: Client | None, size_bytes: int) -> None:
        """So many bytes were worked on."""
        if rule.pace is not None:
            rule.pace.charge(client, self._clock(), size_bytes)

    def owing_requests_seconds(self, rule: Rule, client: Client | None) -> float:
        """Seconds until the client has paid for all its requests but one."""
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
        """Count one less."""
        self._all_inspections -= 1
        left = self._inspections[client] - 1
        if left:
            self._inspections[client] = left
        else:
            del self._inspections[client]

    def left(self, rule: Rule) -> None:
        """A request with a ticket has ended."""
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
            log.warning("overloaded: new requests are refused", extra={"facts": {"at_work": self.at_work}})
        elif was_late and not is_late:
            log.warning("no longer overloaded", extra={"facts": {"refused": self.shed}})
        if self.at_work or is_late:
            self._watch()
        else:
            self._timer = None

    def close(self) -> None:
        """No more timers."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
