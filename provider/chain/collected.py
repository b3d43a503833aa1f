"""The results of some calls, gathered from one endpoint after the other. Pure."""

from collections.abc import Sequence
from typing import Generic, TypeVar

from provider.chain.jsonrpc import RpcCall, RpcFault, is_answer

Named = TypeVar("Named")


class Collected(Generic[Named]):
    """What is known of `calls` so far.

    `together`: the results have to be of one endpoint, so each one is asked for all calls. Else an endpoint is asked
    for what no other one has answered.
    """

    def __init__(self, calls: Sequence[RpcCall], *, together: bool) -> None:
        self._calls = calls
        self._together = together
        self._results: dict[int, object] = {}
        self._answered: set[int] = set()  # by anybody
        self._faults: list[tuple[Named, frozenset[int]]] = []
        self._complete = False

    def wanted(self) -> list[int]:
        """Positions of the calls to ask for next."""
        if self._together:
            return list(range(len(self._calls)))
        return [position for position in range(len(self._calls)) if position not in self._answered]

    def take(self, endpoint: Named, positions: Sequence[int], results: Sequence[object]) -> str | None:
        """Note an endpoint's results; None when nothing is left to ask for, else the text of a fault."""
        if self._complete:
            return None
        faulty: set[int] = set()
        for position, result in zip(positions, results, strict=True):
            if is_answer(self._calls[position], result):
                self._results[position] = result
                self._answered.add(position)
            else:
                faulty.add(position)
                if self._together or position not in self._answered:
                    self._results[position] = result
        if faulty:
            self._faults.append((endpoint, frozenset(faulty)))
        self._complete = not faulty if self._together else len(self._answered) == len(self._calls)
        if self._complete:
            return None
        fault = self._results[min(faulty)] if faulty else None
        return f"code {fault.code}" if isinstance(fault, RpcFault) else "no answer to some calls"

    def results(self) -> list[object] | None:
        """Results in the order of the calls, the last one's faults among them; None when some are missing."""
        if len(self._results) < len(self._calls):
            return None
        return [self._results[position] for position in range(len(self._calls))]

    def outdone(self) -> list[Named]:
        """Endpoints that did not answer what another one answered."""
        return [endpoint for endpoint, faulty in self._faults if faulty & self._answered]
