"""The target of `against`, and the bounds of its load, because a deployment serves others too."""

from dataclasses import dataclass
from pathlib import Path

MAX_CONNECTIONS = 64
MAX_SECONDS = 300.0
MAX_REQUESTS = 20_000
MAX_TOTAL_BYTES = 200 * 10**9


@dataclass(frozen=True, slots=True)
class Target:
    """A deployment, the purchase there, and the bounds of the load. The first bound that is reached ends the run."""

    url: str
    key_file: Path
    did: str
    service_id: str
    order_tx: str
    file_index: int
    connections: int
    seconds: float
    requests: int
    total_bytes: int
