"""Readers of one column of a Parquet file, each a connection of DuckDB, in a process of their own.

`python -m benchmarks.column_readers write PATH` makes the file and prints the sum of the column.

`python -m benchmarks.column_readers read` takes a line of JSON: `urls`, one for each reader, and `readings` of each.
Every reader reads the column once, and a line says `ready`. An empty line starts the clock. A line of JSON ends it:
`seconds`, and of every reading the `latencies` and the `sums` of the column.
"""

import json
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import duckdb
import duckdb_extension_httpfs
import pyarrow
import pyarrow.parquet

COLUMN = "price"
ROWS, ROWS_OF_GROUP, SEED = 400_000, 40_000, 1


def write(path: str) -> None:
    """Write a table of three columns in ten row groups."""
    chance = random.Random(SEED)
    prices = [chance.random() for _ in range(ROWS)]
    columns = {"day": list(range(ROWS)), COLUMN: prices, "note": [chance.randbytes(16) for _ in range(ROWS)]}
    pyarrow.parquet.write_table(pyarrow.table(columns), path, row_group_size=ROWS_OF_GROUP)
    print(sum(prices))


def connect() -> duckdb.DuckDBPyConnection:
    """Connect to a new database that caches nothing it has read. The extension is that of the installed wheel."""
    database = duckdb.connect(config={"threads": 1})
    (extension,) = (
        f"{folder}/extensions/v{duckdb.__version__}/httpfs.duckdb_extension"
        for folder in duckdb_extension_httpfs.__path__
    )
    database.execute(f"LOAD '{extension}'")
    database.execute("SET enable_external_file_cache = false")
    return database


def read_as_told() -> None:
    """Run the readers of one run."""
    order = json.loads(sys.stdin.readline())
    databases = [connect() for _ in order["urls"]]

    def read(number: int) -> tuple[float, float]:
        began = time.perf_counter()
        query = f"SELECT sum({COLUMN}) FROM read_parquet(?)"
        (found,) = databases[number].execute(query, [order["urls"][number]]).fetchone() or (0.0,)
        return time.perf_counter() - began, found

    def read_all(number: int) -> list[tuple[float, float]]:
        return [read(number) for _ in range(order["readings"])]

    readers = range(len(databases))
    with ThreadPoolExecutor(len(databases)) as pool:
        list(pool.map(read, readers))
        print("ready", flush=True)
        sys.stdin.readline()
        began = time.perf_counter()
        done = [reading for each in pool.map(read_all, readers) for reading in each]
        seconds = time.perf_counter() - began
    latencies, sums = zip(*done, strict=True)
    print(json.dumps({"seconds": seconds, "latencies": latencies, "sums": sums}), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(sys.argv[2])
    else:
        read_as_told()
