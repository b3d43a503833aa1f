"""The stage of a script: chain with contracts, origin, rivals, our servers, load generator; each a process, pinned.

What is measured gets one half of the cores, everything else the other. Leaving the block ends every process.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks import distance, interpreters, machine, origins, peers, processes
from benchmarks.daemon import Daemon
from benchmarks.load import Load
from benchmarks.measure import Bench, Variant, progress
from benchmarks.options import Options
from benchmarks.origins import Origin
from benchmarks.peers import Peer, PeerAbsent, Setting
from benchmarks.result import Case
from benchmarks.signing import Purchase, Signer
from benchmarks.traffic import File, Traffic
from provider.testing.chain.keys import CONSUMER_KEY, PUBLISHER_KEY
from provider.testing.child import Children
from provider.testing.market.consumer import Consumer, first_quote
from provider.testing.market.publisher import TOKEN_WEI, Published, Publisher, url_file
from provider.testing.ports import free_ports
from provider.testing.readings import scrape
from provider.testing.stage import SERVE, DemoChain, DemoServer, chain_ready, launch_chain, launch_server

# Once a receipt is PROVIDER_FINALITY_BLOCKS (12) deep it is kept for long, as the receipts of nearly all downloads are.
SETTLED_BLOCKS = 16
OURS = "provider"
_SOURCE = "bench"


@dataclass(frozen=True, slots=True)
class Needs:
    """What a script wants on stage.

    `files`: sizes of the origin's files in bytes; `servers`: our servers by name, with their settings, in which
    `{disk}` stands for a folder on the disk; `tls`: the origin speaks HTTPS; `one_core`: each server gets a single
    core, else all that are its half (both on two cores); `local`: the files lie on a disk, and our servers serve them
    from there instead of asking the origin; `copies`: more files of the origin, after the others;
    `origin_send_bytes`: size of its send buffers, None as large as the system makes them; `round_trip_ms`: how far away
    the origin is, which speaks plain HTTP then; `interpreters`: by name of a server, on which Python it runs, if not on
    that of this process.
    """

    files: Sequence[int]
    peers: Sequence[Peer] = ()
    servers: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: {OURS: {}})
    tls: bool = False
    one_core: bool = True
    local: bool = False
    copies: Sequence[Path] = ()
    origin_send_bytes: int | None = None
    round_trip_ms: float = 0
    interpreters: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that runs. `facts` and `notes` belong in the result. `others`: the cores for `load`. `root`: where
    the origin's files lie, or ours if they are local.
    """

    load: Load
    chain: DemoChain
    servers: Mapping[str, DemoServer]
    origin: Origin
    peers: Mapping[str, tuple[Peer, Daemon]]
    files: Sequence[File]
    root: Path
    others: frozenset[int]
    local: bool
    options: Options
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    @property
    def publisher(self) -> Publisher:
        """The publisher, who uses the first of our servers. All servers have the same key."""
        return Publisher(self.chain.wallet(PUBLISHER_KEY), self.chain.contracts, self._first.url)

    @property
    def _first(self) -> DemoServer:
        return next(iter(self.servers.values()))

    def publish(self) -> Published:
        """Publish an asset whose only service contains `files`. Returns when every server knows it."""
        asset = self.publisher.publish([self._file_object(file) for file in self.files])
        for server in self.servers.values():
            first_quote(Consumer(self.chain.wallet(CONSUMER_KEY), server.url), asset)
        return asset

    def _file_object(self, file: File) -> Mapping[str, object]:
        if self.local:
            return {"type": "source", "source": _SOURCE, "path": file.path.removeprefix("/")}
        return url_file(self.origin.url + file.path)

    def buy(self, consumers: int) -> list[Purchase]:
        """Publish and order for this many new consumers.

        Each connection needs its own consumer, because the nonces of one consumer must arrive in order.
        """
        asset = self.publish()
        payer = Consumer(self.chain.wallet(CONSUMER_KEY), self._first.url)
        self.publisher.mint(asset.datatokens[0], payer.address, consumers * TOKEN_WEI)
        fee = first_quote(payer, asset)
        service_id = str(asset.service()["id"])
        purchases = []
        progress(f"ordering for {consumers} consumers")
        for _ in range(consumers):
            signer = Signer()
            order_tx = payer.order(asset, fee=fee, consumer=signer.address)
            purchases.append(Purchase(signer, asset.did, service_id, order_tx))
        self.settle()
        return purchases

    def settle(self) -> None:
        """Mine blocks until everything on chain is final."""
        for _ in range(SETTLED_BLOCKS):
            self.chain.rpc("evm_mine")

    def variants(self, purchases: Sequence[Purchase]) -> list[Variant]:
        """Return the wanted variants: our servers, with one buyer on each connection, and the rivals.

        Rivals serve the same files without authorisation.
        """
        ours = [self._ours(name, server, purchases) for name, server in self.servers.items()]
        theirs = [
            Variant(name, daemon.pid, daemon.port, Traffic(daemon.port, self.files, self._path, peer.shrink).plans)
            for name, (peer, daemon) in self.peers.items()
        ]
        return [variant for variant in (*ours, *theirs) if self.options.wants(variant.name)]

    def bench(self, warm_case: Case) -> Bench:
        """Return the bench that runs the variants."""
        return Bench(self.load, self.options, warm_case, self.origin.requests_seen, self.origin.bytes_sent)

    def _ours(self, name: str, server: DemoServer, purchases: Sequence[Purchase]) -> Variant:
        port = port_of(server.url)
        traffic = Traffic(port, self.files, lambda number, file_index: purchases[number].target(file_index))
        return Variant(name, server.child.pid, port, traffic.plans, lambda: rpc_round_trips(server))

    def _path(self, _: int, file_index: int) -> str:
        return self.files[file_index].path


def rpc_round_trips(server: DemoServer) -> int:
    """Return the number of JSON-RPC round trips that a server has made."""
    return int(scrape(server.admin_url).total("provider_rpc_seconds_count"))


def wanted(servers: Mapping[str, Mapping[str, str]], options: Options) -> dict[str, Mapping[str, str]]:
    """Return our servers that are to be measured, and the first one, through which everybody publishes and buys."""
    first = next(iter(servers))
    return {name: settings for name, settings in servers.items() if name == first or options.wants(name)}


@contextmanager
def opened(needs: Needs, options: Options) -> Iterator[Stage]:
    """Open the stage that a script needs. Missing rivals are reported and left out. Raises ChildFailed, PartFailed."""
    files = [*map(File, needs.files), *(File(path.stat().st_size, path) for path in needs.copies)]
    subjects, others = processes.shared_out(one_core=needs.one_core)
    with ExitStack() as stack:
        disk = Path(stack.enter_context(_folder(options.storage)))
        memory = Path(stack.enter_context(_folder(options.storage if needs.local else origins.roomy_folder(files))))
        children = stack.enter_context(Children(str(disk)))
        chain_child = launch_chain(children)
        far = stack.enter_context(distance.opened(needs.round_trip_ms)) if needs.round_trip_ms else None
        origin = origins.start(
            stack, children, memory, files, tls=needs.tls, distance=far, send_bytes=needs.origin_send_bytes
        )
        setting = Setting(memory, disk, origin.address, needs.tls)
        running, absent = _start_peers(stack, [peer for peer in needs.peers if options.wants(peer.name)], setting)
        load = stack.enter_context(Load())
        chain = chain_ready(chain_child)
        trust = {} if origin.trusted is None else {"SSL_CERT_FILE": str(origin.trusted)}
        local = _local(chain, memory / origins.FILES, files) if needs.local else {}
        servers = {
            name: launch_server(
                children,
                chain,
                disk,
                {
                    "PROVIDER_WORKERS": "1",
                    "PROVIDER_ENCRYPT_BYTES_PER_SECOND": "0",
                    **trust,
                    **local,
                    **_placed(settings, disk),
                },
                name=f"server-{number}",
                command=interpreters.command(needs.interpreters[name]) if name in needs.interpreters else SERVE,
            )
            for number, (name, settings) in enumerate(needs.servers.items())
        }
        for server in servers.values():
            server.wait_ready()
        measured = [server.child.pid for server in servers.values()] + [daemon.pid for _, daemon in running.values()]
        for pid in measured:
            processes.pin(processes.tree(pid), subjects)
        for pid in (chain_child.pid, origin.pid, load.pid, *(() if far is None else (far.pid,))):
            processes.pin(processes.tree(pid), others)
        yield Stage(
            load=load,
            chain=chain,
            servers=servers,
            origin=origin,
            peers=running,
            files=files,
            root=memory / origins.FILES,
            others=others,
            local=needs.local,
            options=options,
            facts=(
                *machine.facts(),
                *peers.facts(),
                ("origin", origin.label),
                ("nonce store", f"SQLite on {machine.file_system(disk)}"),
                ("cores", _cores(subjects, others)),
            ),
            notes=(*absent, *_notes(origin, disk, subjects, others)),
        )


def _placed(settings: Mapping[str, str], disk: Path) -> dict[str, str]:
    return {name: value.replace("{disk}", str(disk)) for name, value in settings.items()}


def _local(chain: DemoChain, root: Path, files: Sequence[File]) -> Mapping[str, str]:
    """Return the settings of a server with local files. Writes the files if the origin has not."""
    if not root.is_dir():
        origins.write_files(root, files)
    publishers = [chain.wallet(PUBLISHER_KEY).address]
    return {"PROVIDER_SOURCES": json.dumps({_SOURCE: {"path": str(root), "publishers": publishers}})}


def _folder(parent: Path | None) -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="provider-bench-", dir=parent)


def _start_peers(
    stack: ExitStack, wanted: Sequence[Peer], setting: Setting
) -> tuple[dict[str, tuple[Peer, Daemon]], list[str]]:
    running: dict[str, tuple[Peer, Daemon]] = {}
    absent: dict[str, list[str]] = {}
    for peer, port in zip(wanted, free_ports(len(wanted)), strict=True):
        try:
            running[peer.name] = (peer, stack.enter_context(peer.start(setting, port)))
        except PeerAbsent as reason:
            absent.setdefault(str(reason), []).append(peer.name)
    said = [f"skipped, because {reason}: {', '.join(names)}." for reason, names in absent.items()]
    for line in said:
        progress(line)
    return running, said


def _cores(subjects: frozenset[int], others: frozenset[int]) -> str:
    if subjects == others:
        return f"{_numbers(subjects)}, servers and load together"
    return f"servers on {_numbers(subjects)}, the rest on {_numbers(others)}"


def _numbers(cores: frozenset[int]) -> str:
    return ", ".join(map(str, sorted(cores)))


def _notes(origin: Origin, disk: Path, subjects: frozenset[int], others: frozenset[int]) -> list[str]:
    notes = []
    if not origin.label.startswith("nginx"):
        notes.append("The origin is our own (a 2 MiB pattern sent from memory), because nginx is not installed.")
    if machine.file_system(disk) in machine.MEMORY_FILE_SYSTEMS:
        notes.append("The nonce store lay in memory, so syncing it cost nothing: give --storage on a real disk.")
    if subjects == others:
        notes.append("Load and origin took time from the servers, on the same cores. Trust CPU figures, not rates.")
    return notes


def port_of(url: str) -> int:
    """Return the port of a URL that contains one."""
    port = urlsplit(url).port
    assert port is not None
    return port
