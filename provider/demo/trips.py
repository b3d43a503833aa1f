"""A Parquet file of taxi trips, and a reader of one of its columns: pyarrow with fsspec, if they are installed.

They are in no extra, since together they are larger than everything else that the demo needs.
"""

import random
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from typing import Any

import aiohttp

ROWS = 100_000
COLUMN = "fare"
TOOL = "pyarrow and fsspec"
_SEED = 20261130
_ROUTE_BYTES = 80


def is_readable() -> bool:
    """Are the tools installed?"""
    return all(find_spec(name) is not None for name in ("pyarrow", "fsspec"))


def fares() -> list[float]:
    """The values of the column, the same everywhere."""
    chosen = random.Random(_SEED)  # noqa: S311 - no secret
    return [round(chosen.uniform(3, 80), 2) for _ in range(ROWS)]


def parquet() -> bytes:
    """The file: the column, beside others that take nearly all of its bytes."""
    import pyarrow  # noqa: PLC0415  (large, and not always installed)
    from pyarrow import parquet as files  # noqa: PLC0415

    noise = random.Random(_SEED + 1).randbytes(_ROUTE_BYTES * ROWS)  # noqa: S311 - no secret
    columns: dict[str, Any] = {
        "id": range(ROWS),
        COLUMN: fares(),
        "route": [noise[at : at + _ROUTE_BYTES] for at in range(0, len(noise), _ROUTE_BYTES)],
    }
    out = BytesIO()
    files.write_table(pyarrow.table(columns), out, row_group_size=ROWS // 4)
    return out.getvalue()


@dataclass(frozen=True, slots=True)
class ColumnRead:
    """A column over HTTP: its sum, the bytes and the requests it took, and the length of the whole file."""

    total: float
    read_bytes: int
    reads: int
    length: int


class _Counted:
    """A file that counts what is read of it; pyarrow takes any object with these methods."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.read_bytes = self.reads = 0
        self.seek, self.tell = file.seek, file.tell

    @property
    def closed(self) -> bool:
        """As of any file."""
        return bool(self._file.closed)

    def read(self, count: int = -1) -> bytes:
        """Read from the position on."""
        data = bytes(self._file.read(count))
        self.read_bytes += len(data)
        self.reads += bool(data)
        return data


def read_column(url: str) -> ColumnRead:
    """Sum up the column of a Parquet file behind a URL. Raises OSError."""
    from fsspec.implementations.http import HTTPFileSystem  # noqa: PLC0415
    from pyarrow import parquet as files  # noqa: PLC0415

    # Without a cache each read of pyarrow is one request.
    try:
        with HTTPFileSystem(skip_instance_cache=True).open(url, cache_type="none") as file:
            counted = _Counted(file)
            table = files.ParquetFile(counted).read(columns=[COLUMN])
            return ColumnRead(sum(table[COLUMN].to_pylist()), counted.read_bytes, counted.reads, file.size)
    except aiohttp.ClientError as error:
        # Its text holds the link.
        raise OSError(f"the link was not read: {type(error).__name__}") from None
