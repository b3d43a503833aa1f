"""A server whose metadata store is fed by an indexer that has it decrypt every DDO, for each kind of client."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from provider.testing.child import Children
from provider.testing.stage import DemoChain, launch_server
from tests.support.client_installs import (
    drive_node,
    drive_python,
    install_npm,
    install_pip,
    node_is_here,
    python_for_ocean_py,
)
from tests.support.client_stage import DECRYPTER_KEY, Driven, SetStage, Stage
from tests.support.indexer import Family, Indexer
from tests.support.metadata_store import running_metadata_store
from tests.support.origin import Origin, running_origin


@pytest.fixture(scope="session")
def origin() -> Iterator[Origin]:
    """The origin of all files."""
    with running_origin() as running:
        yield running


@pytest.fixture(scope="session")
def installs() -> Iterator[Mapping[str, Future[Path]]]:
    """Every library that can run here, installed at the same time: their registries are slower than we are."""
    started: dict[str, Future[Path]] = {}
    with ThreadPoolExecutor() as executor:
        python = python_for_ocean_py()
        if python is not None:
            started["ocean-py"] = executor.submit(install_pip, "ocean-py", python)
        if node_is_here():
            for client in ("ocean-js-3", "ocean-js-8"):
                started[client] = executor.submit(install_npm, client)
        yield started


@pytest.fixture(scope="session")
def set_stage(
    children: Children, chain: DemoChain, origin: Origin, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SetStage]:
    """`set_stage(name, family)`: a server of its own, its assets indexed by Aquarius or by an ocean-node."""
    stack = ExitStack()

    def start(name: str, family: Family) -> Stage:
        folder = tmp_path_factory.mktemp(name)
        store = stack.enter_context(running_metadata_store())
        settings = {"AQUARIUS_URL": store.url, "PROVIDER_RECEIPT_WAIT_SECONDS": "0.6"}
        server = launch_server(children, chain, folder, settings, name=name)
        server.wait_ready()
        indexer = Indexer(chain, store, chain.wallet(DECRYPTER_KEY), family, server.url)
        store.catch_up = indexer.catch_up
        return Stage(server, store, indexer, chain, origin, folder)

    with stack:
        yield start


@pytest.fixture(scope="session")
def ocean_js_3(installs: Mapping[str, Future[Path]], set_stage: SetStage) -> Driven:
    """ocean.js 3.4 and what it did, with Aquarius behind the Provider."""
    installed = installs["ocean-js-3"].result()
    stage = set_stage("ocean-js-3", "aquarius")
    return Driven(stage, drive_node("ocean-js-3", installed, stage.folder, stage.described()))


@pytest.fixture(scope="session")
def ocean_js_8(installs: Mapping[str, Future[Path]], set_stage: SetStage) -> Driven:
    """ocean.js 8.6 and what it did, with an ocean-node's indexer behind the Provider."""
    installed = installs["ocean-js-8"].result()
    stage = set_stage("ocean-js-8", "ocean-node")
    return Driven(stage, drive_node("ocean-js-8", installed, stage.folder, stage.described()))


@pytest.fixture(scope="session")
def ocean_py(installs: Mapping[str, Future[Path]], set_stage: SetStage) -> Driven:
    """ocean.py 3.1 and what it did, with Aquarius behind the Provider."""
    installed = installs["ocean-py"].result()
    stage = set_stage("ocean-py", "aquarius")
    return Driven(stage, drive_python("ocean-py", installed, stage.folder, stage.described()))
