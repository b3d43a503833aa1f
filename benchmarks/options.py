"""The options that the command line gives to every script."""

from dataclasses import dataclass
from pathlib import Path

DEFAULT_LARGE_BYTES = 1 << 30
# 64 parts of 64 KiB: enough to test that everything works, and far too little to measure.
MIN_LARGE_BYTES = 64 * (64 << 10)
QUICK_ROUNDS, QUICK_SECONDS = 3, 0.6


@dataclass(frozen=True, slots=True)
class Options:
    """`rounds`: measured runs of each variant; `seconds`: length of a run of small requests; `large_bytes`: what one
    run of large files moves; `only`: part of the names of the wanted cases; `variants`: parts of the names of the
    wanted variants, empty for all; `storage`: folder of the nonce store, None for the system's temporary folder;
    `consumers`, `hold_seconds`: how many slow consumers, and how long they are held; `interpreters`: Pythons in which
    Provider is installed.
    """

    rounds: int = 5
    seconds: float = 1.0
    large_bytes: int = DEFAULT_LARGE_BYTES
    only: str = ""
    variants: tuple[str, ...] = ()
    storage: Path | None = None
    consumers: int = 1000
    hold_seconds: float = 60.0
    interpreters: tuple[Path, ...] = ()

    @property
    def is_quick(self) -> bool:
        """True if runs are too short for the largest sizes."""
        return self.seconds <= QUICK_SECONDS

    def wants(self, variant: str) -> bool:
        """True if this variant is to be measured."""
        return not self.variants or any(part in variant for part in self.variants)
