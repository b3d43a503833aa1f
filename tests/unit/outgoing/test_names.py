"""Names of the operator: looked up apart from each other, the last good answer kept while DNS fails."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable

import pytest

from provider.outgoing import names as operator_names
from provider.outgoing.names import OperatorNames

GOOD, OTHER = (socket.AF_INET, ("10.1.1.1", 0)), (socket.AF_INET, ("10.2.2.2", 0))
V6 = (socket.AF_INET6, ("fe80::1", 0, 0, 7))


class Dns:
    """Stands in for the C library, whose name servers a test cannot choose."""

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[], list[object]]] = {}
        self.asked: list[str] = []

    def __call__(self, host: str, flags: int = 0) -> list[object]:
        if flags == socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "no number")
        self.asked.append(host)
        return self.answers[host]()

    def fail(self, host: str, code: int) -> None:
        def failing() -> list[object]:
            raise socket.gaierror(code, "x")

        self.answers[host] = failing


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> Dns:
    """The one that answers here."""
    stand_in = Dns()
    monkeypatch.setattr(operator_names, "_system_addresses", stand_in)
    monkeypatch.setattr(operator_names, "_PATIENCE_SECONDS", 0.05)
    return stand_in


@pytest.mark.gen_test(timeout=10)
async def test_numbers_need_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator_names, "run_in_own_thread", None)
    assert await OperatorNames()("10.1.1.1", 80) == [(socket.AF_INET, ("10.1.1.1", 80))]
    assert await OperatorNames()("::1", 80) == [(socket.AF_INET6, ("::1", 80, 0, 0))]


@pytest.mark.gen_test(timeout=10)
async def test_each_answer_of_the_system_is_taken(dns: Dns) -> None:
    names = OperatorNames()
    for answer in ([GOOD], [OTHER, V6]):
        dns.answers["node.test"] = lambda answer=answer: answer  # type: ignore[misc]
        assert [address[0] for _, address in await names("node.test", 80)] == [a[1][0] for a in answer]
    assert await names("node.test", 81) == [
        (socket.AF_INET, ("10.2.2.2", 81)),
        (socket.AF_INET6, ("fe80::1", 81, 0, 7)),
    ]


@pytest.mark.gen_test(timeout=10)
@pytest.mark.parametrize("code", [socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_SYSTEM, socket.EAI_MEMORY])
async def test_the_last_good_answer_serves_while_dns_fails(dns: Dns, code: int) -> None:
    names = OperatorNames()
    dns.fail("node.test", code)
    with pytest.raises(socket.gaierror):
        await names("node.test", 80)
    dns.answers["node.test"] = lambda: [GOOD]
    await names("node.test", 80)
    dns.fail("node.test", code)
    assert await names("node.test", 80) == [(socket.AF_INET, ("10.1.1.1", 80))]
    dns.answers["node.test"] = lambda: [OTHER]
    assert await names("node.test", 80) == [(socket.AF_INET, ("10.2.2.2", 80))]


@pytest.mark.gen_test(timeout=10)
@pytest.mark.parametrize("code", [socket.EAI_NONAME, socket.EAI_NODATA])
async def test_a_name_that_is_gone_is_forgotten(dns: Dns, code: int) -> None:
    names = OperatorNames()
    dns.answers["node.test"] = lambda: [GOOD]
    await names("node.test", 80)
    for failure in (code, socket.EAI_AGAIN):
        dns.fail("node.test", failure)
        with pytest.raises(socket.gaierror):
            await names("node.test", 80)


@pytest.mark.gen_test(timeout=10)
async def test_a_silent_name_takes_one_thread_and_delays_no_other(dns: Dns) -> None:
    names, answers = OperatorNames(), threading.Event()

    def silent() -> list[object]:
        answers.wait(5)
        return [OTHER]

    dns.answers |= {"silent.test": silent, "node.test": lambda: [GOOD]}
    waiting = [asyncio.create_task(names("silent.test", 80)) for _ in range(20)]
    for _ in range(5):
        assert await names("node.test", 80) == [(socket.AF_INET, ("10.1.1.1", 80))]
    assert dns.asked.count("silent.test") == 1
    waiting[0].cancel()
    answers.set()
    assert await asyncio.gather(*waiting[1:]) == [[(socket.AF_INET, ("10.2.2.2", 80))]] * 19


@pytest.mark.gen_test(timeout=10)
async def test_a_kept_answer_is_given_when_dns_takes_long_and_replaced_when_it_answers(dns: Dns) -> None:
    names, answers = OperatorNames(), threading.Event()
    dns.answers["node.test"] = lambda: [GOOD]
    await names("node.test", 80)

    def slow() -> list[object]:
        answers.wait(5)
        return [OTHER]

    dns.answers["node.test"] = slow
    assert await names("node.test", 80) == [(socket.AF_INET, ("10.1.1.1", 80))]
    answers.set()
    deadline = time.monotonic() + 60
    while await names("node.test", 80) != [(socket.AF_INET, ("10.2.2.2", 80))]:
        assert time.monotonic() < deadline
