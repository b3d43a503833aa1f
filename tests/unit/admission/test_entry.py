"""Which rule admits which request, and that every counted place is given back."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from provider.admission.buckets import Buckets, BytePace
from provider.admission.config import AdmissionConfig
from provider.admission.entry import Admission, Rule, Ticket
from provider.errors import InspectionsBusy, ServerBusy, ServerFull, TooManyRequests

CLIENT, OTHER = "8.8.8.8", "9.9.9.9"


@dataclass
class Head:
    remote_ip: str | None = CLIENT
    headers: Mapping[str, str] = field(default_factory=dict)


def admission(rule: Rule, **limits: int) -> Admission:
    config = AdmissionConfig(overload_lag_seconds=0.05, **{"max_inspections": 0, **limits})
    return Admission(config, {"asked": rule}, others=Rule(), clock=lambda: 100.0)


def enter(admitting: Admission, client: str = CLIENT) -> Ticket:
    ticket = admitting.enter("asked", Head(client))
    assert isinstance(ticket, Ticket)
    return ticket


@pytest.mark.gen_test
async def test_a_client_over_its_rate_waits_and_others_do_not() -> None:
    admitting = admission(Rule(Buckets(rate=0.5, burst=1, max_clients=9), works=True))
    enter(admitting)
    refused = admitting.enter("asked", Head())
    assert isinstance(refused, TooManyRequests)
    assert refused.retry_after_seconds == 2
    enter(admitting, OTHER)
    assert admitting.enter("anything else", Head()) is None


@pytest.mark.gen_test
async def test_work_is_counted_until_its_answer_begins_and_streams_until_their_end() -> None:
    admitting = admission(Rule(works=True, streams=True), max_streams=1)
    ticket = enter(admitting)
    assert (admitting.at_work, admitting.streams) == (1, 1)
    ticket.worked()
    assert (admitting.at_work, admitting.streams) == (0, 1)
    assert isinstance(admitting.enter("asked", Head(OTHER)), ServerFull)
    ticket.leave()
    ticket.leave()
    assert (admitting.at_work, admitting.streams) == (0, 0)
    enter(admitting)


@pytest.mark.gen_test
async def test_a_request_whose_body_is_to_come_holds_nothing_until_then() -> None:
    admitting = admission(Rule(works=True, streams=True, inspects=True), max_streams=1, max_inspections=1)
    slow = enter(admitting)
    slow.await_body()
    assert (admitting.at_work, admitting.streams, slow.awaits_body) == (0, 0, True)
    quick = enter(admitting, OTHER)
    for step in (quick.worked, quick.leave):
        with pytest.raises(ServerFull):
            slow.begin()
        step()
    slow.begin()
    assert (admitting.at_work, admitting.streams, slow.awaits_body) == (1, 1, False)
    assert isinstance(admitting.enter("asked", Head(OTHER)), ServerFull)
    slow.leave()
    slow.leave()
    assert (admitting.at_work, admitting.streams) == (0, 0)
    # One that never came leaves nothing behind.
    gone = enter(admitting)
    gone.await_body()
    gone.leave()
    assert (admitting.at_work, admitting.streams) == (0, 0)
    enter(admitting)


@pytest.mark.gen_test
async def test_one_client_has_a_part_of_all_inspections_only() -> None:
    admitting = admission(Rule(works=True, inspects=True), max_inspections=16)
    own = [enter(admitting), enter(admitting)]
    assert isinstance(admitting.enter("asked", Head()), InspectionsBusy)
    others = [enter(admitting, f"9.9.9.{number}") for number in range(14)]
    assert isinstance(admitting.enter("asked", Head(OTHER)), InspectionsBusy)
    for ticket in (*own, *others):
        ticket.leave()
    enter(admitting)


@pytest.mark.gen_test
async def test_a_late_loop_refuses_work_and_nothing_else() -> None:
    admitting = admission(Rule(works=True))
    admitting._overload.limit = 2
    enter(admitting)
    enter(admitting)
    assert isinstance(admitting.enter("asked", Head()), ServerBusy)
    assert admitting.enter("anything else", Head()) is None


@pytest.mark.gen_test
async def test_heads_that_were_let_by_in_one_turn_of_the_loop_count() -> None:
    admitting = admission(Rule(works=True))
    assert not any(admitting.turns_away() for _ in range(100))
    admitting._overload.limit = 3
    enter(admitting)
    assert [admitting.turns_away() for _ in range(4)] == [False, False, True, True]
    await asyncio.sleep(0)
    assert not admitting.turns_away()


@pytest.mark.gen_test
async def test_bytes_owed_keep_the_client_out() -> None:
    admitting = admission(Rule(pace=BytePace(bytes_per_second=400, max_clients=9), works=True))
    enter(admitting).charge(3000)
    assert isinstance(admitting.enter("asked", Head()), TooManyRequests)
    enter(admitting, OTHER)


@pytest.mark.gen_test
async def test_bytes_owed_for_checksums_refuse_only_checksums() -> None:
    pace = BytePace(bytes_per_second=400, max_clients=9)
    admitting = admission(Rule(pace=pace, pays_first=False, works=True))
    enter(admitting).charge(3000)
    ticket = enter(admitting)
    with pytest.raises(TooManyRequests):
        ticket.check_pace()
    enter(admitting, OTHER).check_pace()


@pytest.mark.gen_test
async def test_inspections_of_work_outlive_their_request_and_are_bounded() -> None:
    admitting = admission(Rule(works=True, inspects=True), max_inspections=4 * 8)
    ticket = enter(admitting)
    held = ticket.inspections(9)
    assert len(held) == 4
    ticket.leave()
    assert isinstance(admitting.enter("asked", Head()), InspectionsBusy)
    enter(admitting, OTHER).leave()
    held[0].end()
    held[0].end()
    other = enter(admitting)
    assert isinstance(admitting.enter("asked", Head()), InspectionsBusy)
    for inspection in held:
        inspection.end()
    # The request's own is the least that its work gets, and is given back once.
    rest = [enter(admitting) for _ in range(3)]
    (own,) = other.inspections(2)
    own.end()
    other.leave()
    for ticket in rest:
        ticket.leave()
    assert len(enter(admitting).inspections(9)) == 4


@pytest.mark.gen_test
async def test_request_that_stands_for_many_is_a_debt_of_its_client() -> None:
    admitting = admission(Rule(Buckets(rate=1, burst=5, max_clients=9), works=True))
    ticket = enter(admitting)
    ticket.check_rate()
    ticket.charge_requests(9)
    with pytest.raises(TooManyRequests):
        ticket.check_rate()
    refused = admitting.enter("asked", Head())
    assert isinstance(refused, TooManyRequests)
    assert refused.retry_after_seconds == 6
    enter(admitting, OTHER).check_rate()
    # A burst of one lets in lists as well, one after the other.
    single = admission(Rule(Buckets(rate=1, burst=1, max_clients=9), works=True))
    enter(single).check_rate()
