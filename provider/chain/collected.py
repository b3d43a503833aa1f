"""Gathers the results of calls from one endpoint after another. Pure."""

from collections.abc import Sequence
from typing import Generic, TypeVar

from provider.chain.jsonrpc import RpcCall, RpcFault, is_answer

Named = TypeVar("Named")


class Collected(Generic[Named]):
    """The results of `calls` so far.

    `together`: all results must come from one endpoint, so each endpoint is asked for all calls. Otherwise an endpoint
    is asked only for the calls that no other one has answered.
    """

    def __init__(self, calls: Sequence[RpcCall], *, together: bool) -> None:
        self._calls = calls
        self._together = together
        self._results: dict[int, object] = {}
        self._answered: set[int] = set()  # by anybody
        self._faults: list[tuple[Named, frozenset[int]]] = []
        self._complete = False

    def wanted(self) -> list[int]:
        """Return the positions of the calls to send next."""
        if self._together:
            return list(range(len(self._calls)))
        return [position for position in range(len(self._calls)) if position not in self._answered]

    def take(self, endpoint: Named, positions: Sequence[int], results: Sequence[object]) -> str | None:
        """Record an endpoint's results. Returns None when every call is answered, otherwise the text of a fault."""
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
        """Return the results in the order of the calls; None if some are missing.

        A call that no endpoint answered has the fault of the last one.
        """
        if len(self._results) < len(self._calls):
            return None
        return [self._results[position] for position in range(len(self._calls))]

    def outdone(self) -> list[Named]:
        """Return the endpoints that failed to answer a call which another one answered."""
        return [endpoint for endpoint, faulty in self._faults if faulty & self._answered]
