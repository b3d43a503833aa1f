"""Places where nonce stores under test keep their state, processes that open them, and the outcome of a call."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from provider.errors import ProviderError

ADDRESS = "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"
OTHER = "0xe08A1dAe983BC701D05E492DB80e0144f8f4b909"
FAR = 4_000_000_000
CLOCK = 1_700_000_000_000
WORKER = Path(__file__).parents[1] / "contract/nonce_worker.py"


class Place:
    """Where the stores of one test keep their state; `kind` and `place` mean the same to `nonce_worker.py`."""

    def __init__(self, kind: str, place: str) -> None:
        self.kind = kind
        self.place = place

    def worker(self, what: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
        command = [sys.executable, str(WORKER), what, self.kind, self.place, *map(str, arguments)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)


async def outcome(call: Any) -> object:
    try:
        return await call
    except ProviderError as error:
        return type(error)
