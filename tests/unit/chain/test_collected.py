"""Results of several endpoints put together."""

from provider.chain.collected import Collected
from provider.chain.jsonrpc import RpcCall, RpcFault

NUMBER, RECEIPT = RpcCall("eth_blockNumber"), RpcCall("eth_getTransactionReceipt")
ILL = RpcFault(-32603, "internal error")


def test_an_endpoint_is_asked_for_what_no_other_one_has_answered() -> None:
    collected: Collected[str] = Collected([NUMBER, RECEIPT, NUMBER], together=False)
    assert collected.wanted() == [0, 1, 2]
    assert collected.take("a", [0, 1, 2], ["0x1", ILL, "0x1"]) == "code -32603"
    assert collected.wanted() == [1]
    assert collected.take("b", [1], [None]) is None
    assert collected.results() == ["0x1", None, "0x1"]
    assert collected.outdone() == ["a"]


def test_results_that_belong_together_are_of_one_endpoint() -> None:
    collected: Collected[str] = Collected([NUMBER, RECEIPT], together=True)
    assert collected.take("a", [0, 1], ["0x1", ILL]) is not None
    assert collected.wanted() == [0, 1]
    assert collected.take("b", [0, 1], ["0x2", None]) is None
    assert collected.take("c", [0, 1], ["0x3", ILL]) is None
    assert collected.results() == ["0x2", None]


def test_what_nobody_answers_is_the_fault_of_the_last_one() -> None:
    for together in (True, False):
        collected: Collected[str] = Collected([NUMBER, RECEIPT], together=together)
        assert collected.results() is None
        collected.take("a", [0, 1], ["0x1", ILL])
        last = RpcFault(-32000, "last")
        positions = collected.wanted()
        collected.take("b", positions, [{0: "0x2", 1: last}[position] for position in positions])
        assert collected.results() == ["0x2" if together else "0x1", last]
        assert collected.outdone() == []


def test_a_revert_is_the_answer_of_the_first() -> None:
    collected: Collected[str] = Collected([RpcCall("eth_call")], together=False)
    assert collected.take("a", [0], [RpcFault(3, "execution reverted: rate limit")]) is None
