"""The last failures that were not the consumers' fault, for the dashboard."""

import time
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from provider.errors.fault import fault_of

MAX_ERRORS = 20


class LastErrors:
    """The last failure of each code and bought dataset, so that one which repeats pushes out no other.

    Refusals are left out, and so are failing origins of whatever nobody has bought: strangers cause them as they like.
    """

    def __init__(self) -> None:
        self._errors: OrderedDict[tuple[str, str], dict[str, Any]] = OrderedDict()

    def note(self, code: str, endpoint: str, request_id: str, did: str, *, is_bought: bool) -> None:
        """A request has failed. `did`: the bought dataset, "" for none."""
        fault = fault_of(code)
        if fault == "consumer" or (fault == "origin" and not is_bought):
            return
        self._errors.pop((code, did), None)
        facts = {"code": code, "endpoint": endpoint, "request_id": request_id, "did": did}
        self._errors[code, did] = {"at": time.time(), **facts}
        if len(self._errors) > MAX_ERRORS:
            self._errors.popitem(last=False)

    def shown(self) -> list[dict[str, Any]]:
        """As JSON can hold them, the latest first."""
        return list(reversed(self._errors.values()))


def latest(errors: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last failures of all workers, the latest first. `errors`: what `LastErrors.shown` returned."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for error in sorted(errors, key=lambda error: -error["at"]):
        found.setdefault((error["code"], error["did"]), error)
    return list(found.values())[:MAX_ERRORS]
