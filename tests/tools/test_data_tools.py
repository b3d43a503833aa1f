"""The recipes of docs/links.md for data tools, as they stand there: right values from few requests and few bytes."""

from pathlib import Path

import pytest

from tests.support.recipes import needs, printed, recipes, run_python
from tests.tools.conftest import Linked, Sample

RECIPES = recipes()
TRIPS = needs("module:pyarrow")


@TRIPS
@needs("module:duckdb", "module:duckdb_extension_httpfs")
def test_duckdb_reads_the_rows_and_columns_of_a_query(linked: Linked, trips: Sample, folder: Path) -> None:
    url, file = linked(trips.name, trips.body)
    done = run_python(f"{RECIPES['duckdb']}print(*price)", folder, url)
    assert float(printed(done)) == float(trips.facts[0])
    assert len(file.asked) <= 4
    assert file.sent_bytes < len(trips.body) / 8


@needs("module:requests")
def test_requests_reads_a_file_with_one_request(linked: Linked, big: Sample, folder: Path) -> None:
    url, file = linked(big.name, big.body)
    done = run_python(f"{RECIPES['requests']}open('saved', 'wb').write(reply.content)", folder, url)
    printed(done)
    assert (folder / "saved").read_bytes() == big.body
    assert file.ranges == [None]


@TRIPS
@needs("module:pandas")
def test_pandas_reads_a_file_with_one_request(linked: Linked, trips: Sample, folder: Path) -> None:
    url, file = linked(trips.name, trips.body)
    done = run_python(f"{RECIPES['pandas']}print(trips.price[77], len(trips))", folder, url)
    assert printed(done).split() == [trips.facts[0], "100000"]
    assert file.ranges == [None]


@TRIPS
@needs("module:fsspec", "module:aiohttp")
def test_pyarrow_reads_a_column(linked: Linked, trips: Sample, folder: Path) -> None:
    url, file = linked(trips.name, trips.body)
    done = run_python(f"{RECIPES['pyarrow']}print(trips['price'][77], len(trips))", folder, url)
    assert printed(done).split() == [trips.facts[0], "100000"]
    # The end of the file, and ten row groups.
    assert len(file.asked) <= 12
    assert file.sent_bytes < len(trips.body) * 2 / 3


@TRIPS
@needs("module:polars")
def test_polars_reads_the_rows_and_columns_of_a_query(linked: Linked, trips: Sample, folder: Path) -> None:
    url, file = linked(trips.name, trips.body)
    done = run_python(f"{RECIPES['polars']}print(price.item())", folder, url)
    assert float(printed(done)) == float(trips.facts[0])
    assert len(file.asked) <= 4
    assert file.sent_bytes < len(trips.body) / 4


@needs("module:rasterio")
def test_gdal_reads_a_window(linked: Linked, heights: Sample, folder: Path) -> None:
    url, file = linked(heights.name, heights.body)
    done = run_python(f"{RECIPES['gdal']}print(tile.sum())", folder, url)
    assert printed(done).strip() == heights.facts[0]
    assert len(file.asked) <= 4
    assert file.sent_bytes < len(heights.body) / 2


SUMS = {
    "duckdb": "print(*duckdb.sql(f\"SELECT sum(price) FROM '{url}'\").fetchone())",
    "pyarrow": "print(sum(trips['price'].to_pylist()))",
    "polars": "print(polars.scan_parquet(url).select(polars.col('price').sum()).collect().item())",
}


@TRIPS
@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param("duckdb", marks=needs("module:duckdb", "module:duckdb_extension_httpfs")),
        pytest.param("pyarrow", marks=needs("module:fsspec", "module:aiohttp")),
        pytest.param("polars", marks=needs("module:polars")),
    ],
)
def test_two_versions_are_never_summed_up(
    recipe: str, linked: Linked, trips: Sample, other_trips: Sample, folder: Path
) -> None:
    """The file changes after its end and some row groups were read."""
    url, file = linked(trips.name, trips.body)
    file.change(other_trips.body, at=4)
    done = run_python(RECIPES[recipe] + SUMS[recipe], folder, url)
    assert len(file.asked) > 4
    assert done.returncode != 0, done.stdout


@needs("module:rasterio")
def test_gdal_joins_no_tiles_of_two_versions(
    linked: Linked, heights: Sample, other_heights: Sample, folder: Path
) -> None:
    url, file = linked(heights.name, heights.body)
    file.change(other_heights.body, at=2)
    windows = "with rasterio.open(url) as heights:\n    heights.read(1, window=Window(0, 0, 1, 1))\n"
    done = run_python(f"{RECIPES['gdal']}{windows}", folder, url)
    assert len(file.asked) > 2
    assert done.returncode != 0
