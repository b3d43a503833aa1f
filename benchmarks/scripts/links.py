"""Ranges over links, next to signed downloads of the same bytes, a bare handler, and nginx with its own links."""

import json
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from benchmarks import cases as shapes
from benchmarks import machine, nginx, peers, transfers
from benchmarks import stage as stages
from benchmarks.cached import CACHED, SERVERS
from benchmarks.cases import KIB, MIB
from benchmarks.daemon import PartFailed
from benchmarks.measure import Variant
from benchmarks.options import Options
from benchmarks.result import Case, Result, summarise
from benchmarks.signing import Purchase
from benchmarks.stage import OURS, Needs, Stage, port_of, rpc_round_trips
from benchmarks.traffic import Target, Traffic
from provider.testing.http_client import request

QUESTION = "What does a range over a link cost, next to a handler that checks nothing and to nginx's own links?"
FILE_BYTES, RANGE_BYTES = 4 * MIB, 64 * KIB
LINK = "provider, link"
CACHED_LINK = "provider, link, slice cache"
SIGNED = "provider, signed download"
CASES = tuple(
    Case(f"64 KiB of 4 MiB, {shapes.count(connections, 'connection')}", "request", connections, 1, RANGE_BYTES)
    for connections in (1, 16)
)
PEERS = (peers.hello_peer(), peers.secure_link_peer())
NOTES = (
    "A link request opens the token and checks order, asset and revocations from cached facts. A signed download "
    "also recovers the signature and stores its nonce durably.",
    "With the slice cache, the range comes from a slice on disk and in memory; the origin is not asked.",
    f"{peers.HELLO}: Tornado and uvloop answer from memory; no origin, no check, no log.",
    f"{nginx.SECURE_LINK}: nginx checks an MD5 of the path and its end, and passes on to the same origin.",
)
RIVALS = {"× hello": frozenset({peers.HELLO}), "× nginx": frozenset({nginx.SECURE_LINK})}


def run(options: Options) -> Result:
    """Start everything, measure, end everything."""
    cases = shapes.wanted(CASES, options)
    load_before = machine.load_average()
    with stages.opened(Needs((transfers.WARM_BYTES, FILE_BYTES), PEERS, SERVERS), options) as stage:
        purchases = stage.buy(max(case.connections for case in cases))
        variants = [variant for variant in _variants(stage, purchases) if options.wants(variant.name)]
        samples = stage.bench(shapes.small(1)).interleave(cases, variants)
    facts = (*stage.facts, *transfers.circumstances(load_before, options))
    notes = (transfers.CPU_NOTE, transfers.RATIO_NOTE, *NOTES, *stage.notes)
    return Result("links", QUESTION, facts, notes, summarise(cases, samples, rivals=RIVALS), samples)


def _variants(stage: Stage, purchases: Sequence[Purchase]) -> list[Variant]:
    """Return our servers (links, and one by signatures too), and the rivals. nginx uses its own links."""
    paths = [link_paths(stage.servers[OURS].url, purchase) for purchase in purchases]

    def link(number: int, file_index: int) -> str:
        return paths[number][file_index]

    def signed(number: int, file_index: int) -> str:
        return purchases[number].target(file_index)

    found = [
        _ours(stage, name, server_name, target)
        for name, server_name, target in ((LINK, OURS, link), (CACHED_LINK, CACHED, link), (SIGNED, OURS, signed))
    ]
    for name, (peer, daemon) in stage.peers.items():
        sign = nginx.secure_link if name == nginx.SECURE_LINK else str
        targets = [sign(file.path) for file in stage.files]
        traffic = Traffic(daemon.port, stage.files, _target_of(targets), peer.shrink)
        found.append(Variant(name, daemon.pid, daemon.port, traffic.plans))
    return found


def _ours(stage: Stage, name: str, server_name: str, target: Target) -> Variant:
    server = stage.servers[server_name]
    port = port_of(server.url)
    plans = Traffic(port, stage.files, target).plans
    return Variant(name, server.child.pid, port, plans, lambda: rpc_round_trips(server))


def _target_of(targets: Sequence[str]) -> Callable[[int, int], str]:
    return lambda _, file_index: targets[file_index]


def link_paths(server_url: str, purchase: Purchase) -> list[str]:
    """Return the paths of links to the files of a purchase. Raises PartFailed."""
    body = json.dumps(purchase.links_request()).encode()
    headers = {"Content-Type": "application/json"}
    reply = request("POST", f"{server_url}/api/services/links", body=body, headers=headers)
    if reply.status != 200:
        raise PartFailed(f"no links: {reply.status} {reply.error_text()}")
    return [urlsplit(file["url"]).path for file in reply.json()["files"]]
