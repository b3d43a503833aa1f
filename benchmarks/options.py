"""What the command line gives to every script."""

from dataclasses import dataclass
from pathlib import Path

DEFAULT_LARGE_BYTES = 1 << 30
# 64 parts of 64 KiB: enough to see whether everything works, far too little to measure.
MIN_LARGE_BYTES = 64 * (64 << 10)


@dataclass(frozen=True, slots=True)
class Options:
    """`rounds`: measured runs of each variant; `seconds`: length of a run of small requests; `large_bytes`: what one
    run of large files moves; `only`: part of the names of the wanted cases; `storage`: folder of the nonce store,
    None for the system's temporary folder.
    """

    rounds: int = 5
    seconds: float = 1.0
    large_bytes: int = DEFAULT_LARGE_BYTES
    only: str = ""
    storage: Path | None = None
