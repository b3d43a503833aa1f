"""What `against` measures, and how much of it at most: a deployment serves others too."""

from dataclasses import dataclass
from pathlib import Path

MAX_CONNECTIONS = 64
MAX_SECONDS = 300.0
MAX_REQUESTS = 20_000
MAX_TOTAL_BYTES = 200 * 10**9


@dataclass(frozen=True, slots=True)
class Target:
    """A deployment, what was bought there, and the bounds of the load; the first one that is reached ends it."""

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
