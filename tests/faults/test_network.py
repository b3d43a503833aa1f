"""Lost packets and partitions, made by the kernel's own firewall on the loopback interface."""

import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import psutil
import pytest

from provider.demo.consumer import Consumer
from provider.demo.http_client import request
from provider.demo.keys import CONSUMER_KEY
from provider.demo.publisher import url_file
from provider.demo.stage import DemoChain, DemoServer
from tests.e2e.conftest import LaunchServer, Sell
from tests.support.metadata_store import MetadataStore
from tests.support.origin import Origin, pattern_sha256, wait_until

NO_NODE = "The blockchain node cannot be reached, please try again later."
CHANCE = ("-m", "statistic", "--mode", "random", "--probability")


@dataclass
class Firewall:
    """Rules of this test; each drops packets to and from one port of this machine."""

    rules: list[tuple[str, ...]] = field(default_factory=list)

    def drop(self, url: str, *, probability: float = 1.0) -> None:
        """Drop what goes to and comes from the port of `url`, with this probability."""
        port = str(urlsplit(url).port)
        chance = (*CHANCE, str(probability)) if probability < 1 else ()
        for side in ("--dport", "--sport"):
            rule = ("INPUT", "-i", "lo", "-p", "tcp", side, port, *chance, "-j", "DROP")
            subprocess.run(["iptables", "-w", "-I", *rule], check=True, capture_output=True)
            self.rules.append(rule)

    def heal(self) -> None:
        """Remove the rules."""
        while self.rules:
            subprocess.run(["iptables", "-w", "-D", *self.rules.pop()], check=True, capture_output=True)


@pytest.fixture
def firewall() -> Iterator[Firewall]:
    """Skipped where this process may not change the kernel's tables."""
    may = (
        shutil.which("iptables")
        and not subprocess.run(["iptables", "-w", "-S", "INPUT"], capture_output=True, check=False).returncode
    )
    if not may:
        pytest.skip("no right to drop packets, or no iptables")
    wall = Firewall()
    yield wall
    wall.heal()


def customer(chain: DemoChain, own: DemoServer) -> Consumer:
    return Consumer(chain.wallet(CONSUMER_KEY), own.url)


def test_lost_packets_change_no_byte(
    launch: LaunchServer, chain: DemoChain, sell: Sell, origin: Origin, firewall: Firewall
) -> None:
    size = 3_000_000
    own = launch()
    buyer = customer(chain, own)
    sold = sell(url_file(f"{origin.url}/bytes/{size}"))
    nonce = int(buyer.next_nonce())
    assert buyer.download(*sold, nonce=str(nonce)).status == 200
    firewall.drop(origin.url, probability=0.02)
    firewall.drop(own.url, probability=0.02)
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda i: buyer.download(*sold, nonce=str(nonce + i)), (4, 3, 2, 1)))
    # Of nonces sent at once those behind a greater one are refused; what is served is whole.
    assert 200 in {one.status for one in done}
    assert {one.sha256 for one in done if one.status == 200} == {pattern_sha256(size)}


def test_origin_that_is_cut_off_in_the_middle_is_a_visible_cut_and_leaves_nothing_behind(
    launch: LaunchServer, chain: DemoChain, sell: Sell, origin: Origin, firewall: Firewall
) -> None:
    own = launch(PROVIDER_IDLE_TIMEOUT_SECONDS="1", REQUEST_TIMEOUT="1", PROVIDER_MAX_RESUMES="0")
    buyer = customer(chain, own)
    sold = sell(url_file(f"{origin.url}/bytes/60000000"))
    assert buyer.download(*sold).complete
    open_files = psutil.Process(own.child.pid).num_fds()
    received = 0

    def cut_off(count: int) -> None:
        nonlocal received
        received += count
        if received > 1_000_000 and not firewall.rules:
            firewall.drop(origin.url)

    done = buyer.download(*sold, progress=cut_off)
    assert firewall.rules
    assert (done.status, done.complete) == (200, False)
    firewall.heal()
    wait_until(lambda: psutil.Process(own.child.pid).num_fds() <= open_files)
    assert buyer.download(*sold).complete


def test_node_behind_a_partition_is_503_for_what_is_not_known_yet(
    launch: LaunchServer, chain: DemoChain, sell: Sell, origin: Origin, firewall: Firewall
) -> None:
    own = launch(PROVIDER_RPC_TIMEOUT_SECONDS="0.5")
    buyer = customer(chain, own)
    known, fresh = sell(url_file(f"{origin.url}/data.csv")), sell(url_file(f"{origin.url}/data.csv"))
    assert buyer.download(*known).status == 200
    urls = [buyer.download_url(*known, nonce="900000001"), buyer.download_url(*fresh, nonce="900000002")]
    firewall.drop(chain.url)
    assert request("GET", urls[0]).status == 200
    refused = request("GET", urls[1])
    assert (refused.status, refused.error_text()) == (503, f"Provider Ganache: {NO_NODE}")
    assert int(refused.headers["retry-after"]) >= 1
    wait_until(lambda: request("GET", f"{own.admin_url}/readyz").status == 503)
    firewall.heal()
    wait_until(lambda: request("GET", f"{own.admin_url}/readyz").status == 200)
    assert buyer.download(*fresh, nonce="900000003").status == 200


def test_metadata_store_behind_a_partition_is_503_and_never_no_such_asset(
    launch: LaunchServer,
    chain: DemoChain,
    sell: Sell,
    origin: Origin,
    firewall: Firewall,
    metadata_store: MetadataStore,
) -> None:
    own = launch(PROVIDER_METADATA_TIMEOUT_SECONDS="0.5")
    buyer = customer(chain, own)
    sold = sell(url_file(f"{origin.url}/data.csv"))
    firewall.drop(metadata_store.url)
    assert buyer.download(*sold).status == 503
    firewall.heal()
    wait_until(lambda: buyer.download(*sold).status == 200)
