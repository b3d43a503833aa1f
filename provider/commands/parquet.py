"""Writes records of the books as Parquet. Needs the extra `parquet`."""

import errno
import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path

import pyarrow
from pyarrow import parquet

from provider.books.reading import RECORD_COLUMNS

ROWS_AT_ONCE = 50_000
"""Rows in memory: about 50 MB. They become one row group."""

_TYPES: Mapping[str, pyarrow.DataType] = {
    "ended": pyarrow.timestamp("ms", tz="UTC"),
    "file": pyarrow.int32(),
    "chain": pyarrow.int64(),
    "requests": pyarrow.int64(),
    "bytes": pyarrow.int64(),
    "cached_bytes": pyarrow.int64(),
    "part": pyarrow.bool_(),
    "seconds": pyarrow.float64(),
}
_SCHEMA = pyarrow.schema([(name, _TYPES.get(name, pyarrow.string())) for name in RECORD_COLUMNS])


def write_parquet(path: Path, records: Iterable[tuple[object, ...]]) -> int:
    """Write records (RECORD_COLUMNS) into a file for this user alone, and return how many there were.

    The file appears when it is whole, in place of one with its name. Raises OSError, and what `records` raises.
    """
    if not path.name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    part = path.with_name(f"{path.name}.part")
    count = 0
    try:
        # A file or link that is there already may be another user's, or readable by others.
        part.unlink(missing_ok=True)
        with open(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600), "wb") as file:
            with parquet.ParquetWriter(file, _SCHEMA) as writer:
                rows = iter(records)
                while group := list(islice(rows, ROWS_AT_ONCE)):
                    writer.write_table(_table(group))
                    count += len(group)
            os.fsync(file.fileno())
        part.rename(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return count


def _table(rows: list[tuple[object, ...]]) -> pyarrow.Table:
    columns = dict(zip(RECORD_COLUMNS, zip(*rows, strict=True), strict=True))
    columns["ended"] = tuple(datetime.fromisoformat(str(ended)) for ended in columns["ended"])
    columns["part"] = tuple(map(bool, columns["part"]))
    return pyarrow.table([pyarrow.array(columns[field.name], field.type) for field in _SCHEMA], schema=_SCHEMA)
