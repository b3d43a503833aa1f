"""The last failures that were not the consumers' fault, for the dashboard."""

import time
from collections import deque
from typing import Any

from provider.errors.fault import fault_of

MAX_ERRORS = 20


class LastErrors:
    """Refusals are left out: a stranger could push the failures out with them."""

    def __init__(self) -> None:
        self._errors: deque[dict[str, Any]] = deque(maxlen=MAX_ERRORS)

    def note(self, code: str, endpoint: str, request_id: str, did: str) -> None:
        """A request has failed. `did`: the bought dataset, "" for none."""
        if fault_of(code) != "consumer":
            facts = {"code": code, "endpoint": endpoint, "request_id": request_id, "did": did}
            self._errors.append({"at": time.time(), **facts})

    def shown(self) -> list[dict[str, Any]]:
        """As JSON can hold them, the latest first."""
        return list(reversed(self._errors))
