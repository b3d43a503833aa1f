"""A server whose links unmodified tools open, and the origin that counts what it is asked for."""

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from provider.testing.child import Children
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, url_file
from provider.testing.stage import DemoChain, DemoServer, launch_server
from tests.e2e.conftest import Sell, consumer, metadata_store, publisher, sell, server_folder
from tests.support.data_origin import DataFile, DataOrigin, running_data_origin
from tests.support.links import links
from tests.support.metadata_store import MetadataStore
from tests.support.recipes import printed, run_python, run_shell

__all__ = ["consumer", "metadata_store", "publisher", "sell", "server_folder"]

MIB = 1 << 20
Linked = Callable[[str, bytes], "tuple[str, DataFile]"]
_numbers = itertools.count(1)

# The layout is the same for every seed, so that parts of two versions would fit together.
_MAKE_TRIPS = """
import random, pyarrow, pyarrow.parquet
chance = random.Random(SEED)
days = list(range(100_000))
columns = {"day": days, "price": [chance.random() for _ in days], "note": [chance.randbytes(16) for _ in days]}
pyarrow.parquet.write_table(pyarrow.table(columns), "trips.parquet", row_group_size=10_000,
    compression="none", use_dictionary=False)
print(repr(columns["price"][77]), repr(sum(columns["price"])))
"""
_MAKE_HEIGHTS = """
import numpy, rasterio
numbers = numpy.random.default_rng(SEED).integers(0, 60_000, (1024, 1024), dtype="uint16")
shape = {"width": 1024, "height": 1024, "count": 1, "dtype": "uint16", "crs": "EPSG:3857",
    "transform": rasterio.Affine(30, 0, 0, 0, -30, 0)}
with rasterio.open("heights.tif", "w", driver="GTiff", tiled=True, blockxsize=256, blockysize=256, **shape) as file:
    file.write(numbers, 1)
print(numbers[600:700, 600:700].sum())
"""
# One second of noise, sixty times: quickly made, and too long for one read. Its index is at the front.
_MAKE_FILM = """
ffmpeg -loglevel error -f lavfi -i testsrc2=s=320x240:r=10:d=1,noise=alls=30:allf=t -c:v libvpx \
    -deadline realtime -cpu-used 8 -b:v 1M -g 10 second.webm
ffmpeg -loglevel error -stream_loop 59 -i second.webm -c copy -reserve_index_space 65536 film.webm
"""


_DUCKDB_PLATFORM = "linux_amd64"  # the wheel has no other


@dataclass(frozen=True, slots=True)
class Sample:
    """A file and what it holds, in the words that its maker printed."""

    name: str
    body: bytes
    facts: tuple[str, ...] = ()


def _made(text: str, name: str, folder: Path, *, seed: int = 1) -> Sample:
    facts = printed(run_python(text.replace("SEED", str(seed)), folder)).split()
    return Sample(name, (folder / name).read_bytes(), tuple(facts))


@pytest.fixture(scope="session")
def data_origin() -> Iterator[DataOrigin]:
    """The origin of all files."""
    with running_data_origin() as running:
        yield running


@pytest.fixture(scope="session")
def server(
    children: Children, chain: DemoChain, metadata_store: MetadataStore, server_folder: Path
) -> Iterator[DemoServer]:
    """One server for all tools, with default settings."""
    started = launch_server(children, chain, server_folder, {"AQUARIUS_URL": metadata_store.url})
    started.wait_ready()
    yield started
    started.child.stop()


@pytest.fixture(scope="session")
def offer(sell: Sell, data_origin: DataOrigin) -> Callable[..., tuple[tuple[Published, str], list[DataFile]]]:
    """`offer({name: body})` sells files in one order: what was bought, and the files at the origin."""

    def offered(files: dict[str, bytes]) -> tuple[tuple[Published, str], list[DataFile]]:
        places = {f"{next(_numbers)}/{name}": body for name, body in files.items()}
        held = [data_origin.put(place, body) for place, body in places.items()]
        return sell(*(url_file(f"{data_origin.url}/{place}") for place in places)), held

    return offered


@pytest.fixture(scope="session")
def linked(offer: Callable[..., tuple[tuple[Published, str], list[DataFile]]], consumer: Consumer) -> Linked:
    """`linked(name, body)` sells a file: its link, and what the origin is asked for from then on."""

    def link(name: str, body: bytes) -> tuple[str, DataFile]:
        bought, (file,) = offer({name: body})
        (made,) = links(consumer, *bought)
        assert (made["name"], made["length"], made["ranges"]) == (name, len(body), True)
        file.forget()
        return str(made["url"]), file

    return link


@pytest.fixture(scope="session")
def big() -> Sample:
    """A file that takes many pieces."""
    return Sample("big.bin", os.urandom(8 * MIB))


@pytest.fixture(scope="session")
def trips(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """A Parquet file with ten row groups. Facts: the price of day 77, the sum of all."""
    return _made(_MAKE_TRIPS, "trips.parquet", tmp_path_factory.mktemp("trips"))


@pytest.fixture(scope="session")
def other_trips(tmp_path_factory: pytest.TempPathFactory, trips: Sample) -> Sample:
    """Another version of it: other prices and notes, at the same places."""
    other = _made(_MAKE_TRIPS, "trips.parquet", tmp_path_factory.mktemp("trips"), seed=2)
    assert len(other.body) == len(trips.body)
    return other


@pytest.fixture(scope="session")
def heights(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """A GeoTIFF in tiles. Facts: the sum of the window that the recipe reads."""
    return _made(_MAKE_HEIGHTS, "heights.tif", tmp_path_factory.mktemp("heights"))


@pytest.fixture(scope="session")
def other_heights(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """Another version of it."""
    return _made(_MAKE_HEIGHTS, "heights.tif", tmp_path_factory.mktemp("heights"), seed=2)


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """A minute of film."""
    folder = tmp_path_factory.mktemp("film")
    printed(run_shell(_MAKE_FILM, folder))
    return Sample("film.webm", (folder / "film.webm").read_bytes())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty home in which DuckDB has its extension from the installed wheel: nothing is fetched."""
    wheel = find_spec("duckdb_extension_httpfs")
    if wheel is not None and wheel.origin is not None:
        for extension in Path(wheel.origin).parent.glob("extensions/*/httpfs.duckdb_extension"):
            version = extension.parent.name
            place = tmp_path / ".duckdb" / "extensions" / version / _DUCKDB_PLATFORM
            place.mkdir(parents=True)
            (place / extension.name).symlink_to(extension)
    return tmp_path
