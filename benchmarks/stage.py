"""The stage of a script: chain with contracts, origin, rivals, our server, load generator; each a process, pinned.

What is measured gets one core, everything else another. Leaving the block ends every process.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks import machine, nginx, processes
from benchmarks.load import Load
from benchmarks.measure import Variant
from benchmarks.signing import Purchase, Signer
from benchmarks.traffic import File, Traffic
from provider.demo import pattern
from provider.demo.child import Children
from provider.demo.consumer import Consumer
from provider.demo.http_client import request
from provider.demo.keys import CONSUMER_KEY, PUBLISHER_KEY
from provider.demo.publisher import TOKEN_WEI, Publisher, url_file
from provider.demo.readings import scrape
from provider.demo.scenes import first_quote
from provider.demo.stage import (
    READY_SECONDS,
    DemoChain,
    DemoServer,
    chain_ready,
    free_ports,
    launch_chain,
    launch_origin,
    launch_server,
)

MEMORY_FOLDER = Path("/dev/shm")
# A receipt is kept for long once it is PROVIDER_FINALITY_BLOCKS (12) deep, as those of nearly all downloads are.
SETTLED_BLOCKS = 16
OUR_NAME = "provider"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the files come from; `requests_seen` counts what was asked of it, None when this build of nginx cannot."""

    label: str
    url: str
    pid: int
    requests_seen: Callable[[], int] | None


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that runs. `facts` and `notes` belong into the result."""

    load: Load
    chain: DemoChain
    server: DemoServer
    origin: Origin
    peers: Mapping[str, nginx.Nginx]
    files: Sequence[File]
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    def buy(self, consumers: int) -> list[Purchase]:
        """Publish an asset whose one service holds `files`, and order it for so many new consumers.

        One consumer for each connection, because the nonces of one consumer must arrive in their order.
        """
        publisher = Publisher(self.chain.wallet(PUBLISHER_KEY), self.chain.contracts, self.server.url)
        asset = publisher.publish([url_file(self.origin.url + file.path) for file in self.files])
        payer = Consumer(self.chain.wallet(CONSUMER_KEY), self.server.url)
        publisher.mint(asset.datatokens[0], payer.address, consumers * TOKEN_WEI)
        fee = first_quote(payer, asset)
        service_id = str(asset.service()["id"])
        purchases = []
        for _ in range(consumers):
            signer = Signer()
            order_tx = payer.order(asset, fee=fee, consumer=signer.address)
            purchases.append(Purchase(signer, asset.did, service_id, order_tx))
        for _ in range(SETTLED_BLOCKS):
            self.chain.rpc("evm_mine")
        return purchases

    def ours(self, purchases: Sequence[Purchase]) -> Variant:
        """Our server, asked by one buyer on each connection."""
        port = _port(self.server.url)
        traffic = Traffic(port, self.files, lambda number, file_index: purchases[number].target(file_index))
        return Variant(OUR_NAME, self.server.child.pid, port, traffic.plans, self._rpc_round_trips)

    def rivals(self) -> list[Variant]:
        """Every peer, asked for the same files without any authorisation."""
        return [
            Variant(name, peer.pid, peer.port, Traffic(peer.port, self.files, self._path).plans)
            for name, peer in self.peers.items()
        ]

    def _path(self, _: int, file_index: int) -> str:
        return self.files[file_index].path

    def _rpc_round_trips(self) -> int:
        return int(scrape(self.server.admin_url).total("provider_rpc_seconds_count"))


@contextmanager
def opened(sizes_bytes: Sequence[int], *, storage: Path | None) -> Iterator[Stage]:
    """The stage with origin files of these sizes, the nonce store in `storage`. Raises ChildFailed, PartFailed."""
    files = [File(size) for size in sizes_bytes]
    subject_core, other_core = processes.two_cores()
    program = nginx.find()
    with ExitStack() as stack:
        disk = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="provider-bench-", dir=storage)))
        memory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="provider-bench-", dir=_roomy(files))))
        children = stack.enter_context(Children(str(disk)))
        chain_child = launch_chain(children)
        origin = _start_origin(stack, children, program, memory, files)
        peers = {} if program is None else _start_peers(stack, program, memory, _port(origin.url))
        load = stack.enter_context(Load())
        chain = chain_ready(chain_child)
        server = launch_server(children, chain, disk, {"PROVIDER_WORKERS": "1"})
        server.wait_ready()
        for pid in (server.child.pid, *(peer.pid for peer in peers.values())):
            processes.pin(processes.tree(pid), subject_core)
        for pid in (chain_child.pid, origin.pid, load.pid):
            processes.pin(processes.tree(pid), other_core)
        yield Stage(
            load=load,
            chain=chain,
            server=server,
            origin=origin,
            peers=peers,
            files=files,
            facts=_facts(program, origin, disk, subject_core, other_core),
            notes=_notes(program, disk, subject_core),
        )


def _start_origin(
    stack: ExitStack, children: Children, program: str | None, folder: Path, files: Sequence[File]
) -> Origin:
    if program is None:
        child = launch_origin(children)
        url = str(child.read_ready_line(READY_SECONDS)["url"])
        return Origin(
            "provider.demo.origin", url, child.pid, lambda: int(request("GET", f"{url}/stats").json()["requests"])
        )
    _write_files(folder / "www", files)
    running = stack.enter_context(nginx.origin(program, folder, free_ports(1)[0], folder / "www"))
    url = f"http://127.0.0.1:{running.port}"
    counter = nginx.RequestCounter(url) if nginx.counts_requests(program) else None
    return Origin("nginx, sendfile", url, running.pid, counter)


def _start_peers(stack: ExitStack, program: str, folder: Path, origin_port: int) -> dict[str, nginx.Nginx]:
    ports = free_ports(len(nginx.PEERS))
    return {
        name: stack.enter_context(nginx.peer(program, folder, port, name, origin_port))
        for name, port in zip(nginx.PEERS, ports, strict=True)
    }


def _write_files(root: Path, files: Sequence[File]) -> None:
    for file in files:
        path = root / file.path.removeprefix("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as target:
            for piece in pattern.pieces(0, file.size_bytes):
                target.write(piece)


def _roomy(files: Sequence[File]) -> Path | None:
    """Where the origin's files go: memory, if they leave half of it free, else the temporary folder."""
    needed = sum(file.size_bytes for file in files)
    if MEMORY_FOLDER.is_dir() and shutil.disk_usage(MEMORY_FOLDER).free > 2 * needed:
        return MEMORY_FOLDER
    return None


def _facts(
    program: str | None, origin: Origin, disk: Path, subject_core: int | None, other_core: int | None
) -> tuple[tuple[str, str], ...]:
    pinned = "not pinned, one core" if subject_core is None else f"servers on {subject_core}, the rest on {other_core}"
    return (
        *machine.facts(),
        ("nginx", "absent" if program is None else nginx.version(program)),
        ("origin", origin.label),
        ("nonce store", f"SQLite on {machine.file_system(disk)}"),
        ("cores", pinned),
    )


def _notes(program: str | None, disk: Path, subject_core: int | None) -> tuple[str, ...]:
    notes = []
    if program is None:
        notes.append("nginx is not installed: its variants were skipped, and the origin is our own (a 2 MiB pattern).")
    if machine.file_system(disk) in machine.MEMORY_FILE_SYSTEMS:
        notes.append("The nonce store lay in memory, so syncing it cost nothing: give --storage on a real disk.")
    if subject_core is None:
        notes.append("One core only: load and origin took time from the servers. Trust CPU figures, not rates.")
    return tuple(notes)


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port
