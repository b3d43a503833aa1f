"""Settings of the books."""

from dataclasses import dataclass
from typing import ClassVar

from provider.setting import boolean, integer, text

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class BooksConfig:
    """Whether uses are recorded, where, and for how long."""

    SECTION: ClassVar = "books"

    ledger: bool = boolean(
        "PROVIDER_BOOKS",
        True,
        help="Record each use of a dataset: who took what, and how it ended. `provider usage` reads the records "
        "(docs/usage.md).",
    )
    path: str | None = text(
        "PROVIDER_BOOKS_PATH",
        help="The SQLite file of the records, on a local disk. Default: STORAGE_PATH with `.books` after it.",
        example="/var/lib/provider-books/usage.db",
    )
    max_age_days: int = integer(
        "PROVIDER_BOOKS_MAX_AGE_DAYS",
        400,
        minimum=1,
        maximum=36_500,
        help="Records and the sums of days are deleted after this many days.",
    )
    max_bytes: int = integer(
        "PROVIDER_BOOKS_MAX_BYTES",
        512 * MIB,
        minimum=16 * MIB,
        maximum=1 << 50,
        help="Approximate maximum size of the file. Beyond it, the oldest records are deleted; the sums of days stay.",
    )

    probe_seconds: int = integer(
        "PROVIDER_PROBE_SECONDS",
        0,
        minimum=0,
        maximum=30 * 86_400,
        help="Each file that was sold here is requested from its origin once in this time, such as 86400 for a day, so "
        "that you learn of a dead origin before a buyer meets it. The requests are spread evenly. Needs the books. 0 "
        "disables this.",
    )

    def file(self, storage_path: str) -> str:
        """Path of the file."""
        return self.path or f"{storage_path}.books"
