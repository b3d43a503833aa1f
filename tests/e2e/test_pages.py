"""What people see: the page at `/`, and the operator's dashboard, in a real browser while a real server streams."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
import requests

from provider.testing.child import Children
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import url_file
from provider.testing.stage import DemoChain, DemoServer, launch_server
from tests.e2e.conftest import Sell
from tests.support.browser import CHROMIUM, Tab, running_browser
from tests.support.metadata_store import MetadataStore
from tests.support.origin import Origin
from tests.support.witness import witness

BROWSER_ACCEPT = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
STREAMS = 3
SLOW_BYTES_PER_SECOND = 400_000

in_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium")


@pytest.fixture(scope="module")
def busy(
    children: Children,
    chain: DemoChain,
    metadata_store: MetadataStore,
    server_folder: Path,
    sell: Sell,
    consumer: Consumer,
    origin: Origin,
) -> Iterator[DemoServer]:
    """Two workers that send slowly to some consumers and refuse others; one of the chain's nodes is away."""
    settings = {
        "AQUARIUS_URL": metadata_store.url,
        "NETWORK_URL": json.dumps({"8996": [chain.url, "http://127.0.0.1:9/"]}),
        "PROVIDER_PRIVATE_KEY": json.dumps({"8996": chain.provider_key}),
        "UNIVERSAL_PRIVATE_KEY": chain.provider_key,
        "PROVIDER_WORKERS": "2",
        "PROVIDER_MAX_BYTES_PER_SECOND_PER_STREAM": str(SLOW_BYTES_PER_SECOND),
        "PROVIDER_MAX_STREAMS_PER_CONSUMER": "20",
    }
    running = launch_server(children, chain, server_folder, settings, name="pages")
    running.wait_ready()
    asset, tx = sell(url_file(f"{origin.url}/bytes/300000000"), url_file(f"{origin.url}/data.csv"))
    buyer = Consumer(consumer.wallet, running.url)
    for _ in range(STREAMS):
        buyer.download(asset, tx, file_index=1)
        buyer.download(asset, tx, file_index=1, nonce="1")
    over = threading.Event()

    def hold(reply: HTTPResponse) -> None:
        with reply:
            while not over.is_set() and reply.read(16384):
                pass

    replies = [urlopen(buyer.download_url(asset, tx), timeout=60) for _ in range(STREAMS)]
    threads = [threading.Thread(target=hold, args=(reply,)) for reply in replies]
    for thread in threads:
        thread.start()
    yield running
    over.set()
    for thread in threads:
        thread.join()
    running.child.stop()


@pytest.fixture(scope="module")
def open_tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Tab]]:
    """Chromium; call it for a tab."""
    with running_browser(tmp_path_factory.mktemp("browser")) as opening:
        yield opening


@pytest.fixture
def tab(open_tab: Callable[[], Tab]) -> Iterator[Tab]:
    """A tab in which nothing goes wrong, and which asks nobody but the server it shows."""
    one = open_tab()
    one.emulate()
    yield one
    hosts = {urlsplit(url).netloc for url in one.urls if not url.startswith(("data:", "about:"))}
    one.close()
    assert one.trouble == []
    assert len(hosts) == 1


def pictures(tab: Tab) -> int:
    """The number of the last picture that the dashboard shows."""
    return int(tab.run("document.documentElement.dataset.pictures || 0"))


def show(tab: Tab, server: DemoServer) -> None:
    """Open the dashboard and wait until it has rates."""
    tab.open(f"{server.admin_url}/dashboard/")
    tab.wait("document.getElementById('now-throughput').textContent !== '–'")


def ask_until(server: DemoServer, over: threading.Event) -> None:
    """Ask for a nonce ten times a second."""
    while not over.wait(0.1):
        requests.get(f"{server.url}/api/services/nonce", params={"userAddress": f"0x{7:040x}"}, timeout=60)


def fits(tab: Tab) -> bool:
    """Is the page no wider than the window?"""
    return bool(tab.run("document.documentElement.scrollWidth <= window.innerWidth"))


def luminance(tab: Tab) -> float:
    """Of the page's ground, 0 to 255."""
    colour = str(tab.run("getComputedStyle(document.documentElement).backgroundColor"))
    return sum(map(float, re.findall(r"[\d.]+", colour)[:3])) / 3


# Who gets what at `/`


@pytest.mark.parametrize(
    "headers",
    [
        {"Accept": None},
        {"Accept": "*/*"},
        {"Accept": "application/json"},
        {"Accept": "application/json, text/plain, */*"},
        {"Accept": None, "Content-Type": "application/json"},
        {"Accept": "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"},
    ],
)
def test_programs_get_json(server: DemoServer, headers: dict[str, str | None]) -> None:
    reply = requests.get(server.url, headers=headers, timeout=60)
    assert (reply.status_code, reply.headers["Content-Type"]) == (200, "application/json")
    assert reply.json()["software"] == "Provider"
    assert reply.headers["Vary"] == "Accept"


def test_browsers_get_a_page_without_scripts(server: DemoServer) -> None:
    reply = requests.get(server.url, headers={"Accept": BROWSER_ACCEPT, "Origin": "https://a.example"}, timeout=60)
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    assert reply.headers["Vary"] == "Origin, Accept"
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
    assert "unsafe" not in reply.headers["Content-Security-Policy"]
    assert "<script" not in reply.text
    assert not re.search(r"""(src|href)=["'](/|https?:)""", reply.text)
    for name, (method, path) in requests.get(server.url, timeout=60).json()["serviceEndpoints"].items():
        assert name in reply.text
        assert f">{method}<" in reply.text
        assert path in reply.text


def test_head_is_answered_as_get(server: DemoServer) -> None:
    got = requests.get(server.url, headers={"Accept": BROWSER_ACCEPT}, timeout=60)
    head = requests.head(server.url, headers={"Accept": BROWSER_ACCEPT}, timeout=60)
    assert {name: head.headers[name] for name in ("Content-Type", "Content-Length", "Vary")} == {
        name: got.headers[name] for name in ("Content-Type", "Content-Length", "Vary")
    }


@in_browser
def test_page_shows_chains_and_endpoints_and_leads_to_the_documentation(tab: Tab, server: DemoServer) -> None:
    tab.open(f"{server.url}/")
    facts = requests.get(server.url, timeout=60).json()
    text = tab.text()
    assert facts["version"] in text
    assert "Ganache" in text
    assert facts["providerAddresses"]["8996"] in text
    assert facts["nodeId"] in text
    assert all(path in text for _, path in facts["serviceEndpoints"].values())
    tab.press("Tab")
    assert tab.run("document.activeElement.textContent") == "API documentation"
    tab.press("Enter")
    tab.wait("location.pathname === '/api/docs/'")


@in_browser
def test_description_is_dark_when_asked_to_and_names_this_server(tab: Tab, server: DemoServer) -> None:
    tab.emulate(prefers_color_scheme="light")
    tab.open(f"{server.url}/api/docs/")
    tab.wait("document.querySelectorAll('.opblock').length > 20")
    light = luminance(tab)
    tab.emulate(prefers_color_scheme="dark")
    tab.wait("document.documentElement.classList.contains('dark-mode')")
    assert luminance(tab) < 60 < 200 < (light or 255)
    assert tab.run("document.querySelector('.servers select').value") == server.url
    assert tab.text().lower().count("/api/services/fileinfo") == 1


@in_browser
def test_page_is_dark_when_asked_to_and_fits_a_phone(tab: Tab, server: DemoServer) -> None:
    tab.emulate(prefers_color_scheme="light")
    tab.open(f"{server.url}/")
    light = luminance(tab)
    tab.emulate(width=360, height=740, phone=True, prefers_color_scheme="dark")
    assert luminance(tab) < 60 < 200 < light
    assert fits(tab)


# The dashboard


def test_figures_of_all_workers_reach_whoever_listens_and_only_then(busy: DemoServer, consumer: Consumer) -> None:
    def listen(enough: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        with requests.get(f"{busy.admin_url}/dashboard/events", stream=True, timeout=60) as reply:
            assert reply.headers["Content-Type"] == "text/event-stream"
            for line in reply.iter_lines():
                if line.startswith(b'data: {"number"') and enough(told := json.loads(line[6:])):
                    return dict(told)
        raise AssertionError("the stream has ended")

    told = listen(lambda told: len(told["workers"]) == 2 and len(told["streams"]) == STREAMS)
    assert {row["path"] for row in told["streams"]} == {"splice"}
    assert told["rpc"][0]["standing"] == "ok"
    shown = json.dumps(told)
    assert list(witness.secrets_in(shown.encode())) == []
    assert not re.search(rf"://|{consumer.address[2:]}", shown, re.IGNORECASE)
    # As long as several pictures take nobody listens: the counter stands, but for those until the end is noticed.
    threading.Event().wait(6.0)
    assert listen(lambda _: True)["number"] <= told["number"] + 4


# Dataset, file and size.
STREAM_ROWS = """[...document.querySelectorAll('#streams tbody:not(.none) tr')].map(
  (row) => [1, 2, 4].map((column) => row.children[column].textContent))"""


@in_browser
def test_a_code_leads_to_its_cause_and_remedy(tab: Tab, busy: DemoServer) -> None:
    show(tab, busy)
    tab.wait("!!document.querySelector('#codes a')")
    target = tab.run("document.querySelector('#codes a').href")
    tab.open(target)
    assert target.endswith("/dashboard/errors#nonce_refused")
    assert "nonce" in tab.run("document.querySelector(':target').textContent")


@in_browser
def test_the_hour_before_is_shown_and_gaps_are_named(tab: Tab, busy: DemoServer) -> None:
    show(tab, busy)
    kept = """(async () => {
      const {Chart} = await import('./charts.js');
      const figure = document.createElement('figure');
      figure.id = 'test';
      document.querySelector('main').append(figure);
      const chart = new Chart('test', {title: 'T', lines: [{key: 'a', name: 'A', colour: 'first'}], show: String});
      const now = Math.floor(Date.now() / 1000);
      const written = [];
      CanvasRenderingContext2D.prototype.fillText = ((real) => function (text, ...rest) {
        written.push(text);
        return real.call(this, text, ...rest);
      })(CanvasRenderingContext2D.prototype.fillText);
      for (const at of [4000, 3500, 1000, 990, 0]) chart.add({t: now - at, a: 1}, {gap: at === 1000 || at === 0});
      chart.update();
      await new Promise((done) => setTimeout(done, 200));
      window.kept = [chart.data[0].filter((at) => Number.isInteger(at)).map((at) => now - at), written];
    })()"""
    tab.run(kept)
    tab.wait("window.kept")
    times, written = tab.run("window.kept")
    assert times == [3500, 1000, 990, 0]
    assert written.count("not recorded") >= 2


@in_browser
def test_values_move_while_a_server_streams(tab: Tab, busy: DemoServer) -> None:
    show(tab, busy)
    tab.wait(f"document.querySelectorAll('#streams tbody:not(.none) tr').length === {STREAMS}")
    sent = "document.querySelector('#streams tbody:not(.none) tr').children[3].textContent"
    before, number = tab.run(sent), pictures(tab)
    tab.wait(f"{sent} !== {json.dumps(before)}")
    assert pictures(tab) > number
    assert re.fullmatch(r"[\d.]+ [kM]B/s", tab.run("document.getElementById('now-throughput').textContent"))
    text = tab.text()
    (of_stream,) = {tuple(row) for row in tab.run(STREAM_ROWS)}
    assert of_stream[0].startswith("did:op:")
    assert (of_stream[1], of_stream[2]) == ("0", "300 MB")
    for shown in ("nonce_refused", "Ganache (8996)", "answers", "splice", "datatoken"):
        assert shown in text
    assert len(tab.run("[...document.querySelectorAll('#workers tbody:not(.none) tr')].map((row) => 1)")) == 2


# How many dots of each chart have the colour of its first line; white would be found in none.
LINE_DOTS = """[...document.querySelectorAll('figure')].map((figure) => {
  const {width, height} = figure.querySelector('canvas');
  const copy = new OffscreenCanvas(width, height).getContext('2d', {willReadFrequently: true});
  copy.drawImage(figure.querySelector('canvas'), 0, 0);
  const dots = copy.getImageData(0, 0, width, height).data;
  const line = getComputedStyle(figure.querySelector('.mark')).color.match(/[0-9]+/g).map(Number);
  let found = 0;
  for (let at = 0; at < dots.length; at += 4)
    if (line.every((value, index) => Math.abs(dots[at + index] - value) < 8)) found++;
  return found;
})"""


@in_browser
def test_charts_are_drawn_and_told_in_words(tab: Tab, busy: DemoServer) -> None:
    show(tab, busy)
    assert len(tab.run(LINE_DOTS)) == 5
    # Nothing is decrypted meanwhile, and no stream begins: two charts may have nothing to draw. Of the requests' chart
    # the first line is hidden below the others while all are zero, so the server is asked something.
    over = threading.Event()
    asking = threading.Thread(target=ask_until, args=(busy, over))
    asking.start()
    try:
        tab.wait(f"{LINE_DOTS}.filter((found) => found > 20).length >= 3")
    finally:
        over.set()
        asking.join()
    label = "document.querySelector('#chart-throughput [role=img]').getAttribute('aria-label')"
    tab.wait(f"/^Throughput.*now [0-9.]+ [kM]B.s, between/.test({label})")


@in_browser
def test_keyboard_reaches_everything(tab: Tab, busy: DemoServer) -> None:
    show(tab, busy)
    tab.wait("document.documentElement.dataset.pictures > 2")
    tab.press("Tab")
    assert tab.run("document.activeElement.className") == "skip"
    tab.press("Tab")
    assert tab.run("document.activeElement.id") == "span"
    tab.press("Tab")
    tab.press("Enter")
    tab.wait("document.getElementById('state').textContent === 'Paused'")
    tab.press("Tab")
    assert tab.run("document.activeElement.getAttribute('role')") == "img"
    latest = tab.run("document.querySelector('figure .legend b').textContent")
    tab.press("Home")
    assert re.fullmatch(r"\d\d:\d\d:\d\d", tab.run("document.querySelector('figure .at').textContent"))
    tab.press("Escape")
    assert tab.run("document.querySelector('figure .legend b').textContent") == latest
    tab.press("Tab")
    tab.press("Enter")
    tab.wait("document.querySelectorAll('figure details[open] tbody tr').length > 1")


@in_browser
def test_paused_page_is_told_nothing_until_it_goes_on(tab: Tab, busy: DemoServer) -> None:
    show(tab, busy)
    tab.run("document.getElementById('pause').click()")
    tab.wait("document.getElementById('state').textContent === 'Paused'")
    number = pictures(tab)
    # Another who listens gets pictures meanwhile, this page does not.
    with requests.get(f"{busy.admin_url}/dashboard/events", stream=True, timeout=60) as reply:
        told = (line for line in reply.iter_lines() if line.startswith(b'data: {"number"'))
        assert len([next(told) for _ in range(3)]) == 3
    assert pictures(tab) == number
    tab.run("document.getElementById('pause').click()")
    tab.wait(f"document.documentElement.dataset.pictures > {number}")
    assert tab.run("document.getElementById('state').textContent") == "Live"


@in_browser
def test_dashboard_is_dark_when_asked_to_and_fits_a_phone(tab: Tab, busy: DemoServer) -> None:
    tab.emulate(prefers_color_scheme="light")
    show(tab, busy)
    light = luminance(tab)
    tab.emulate(width=360, height=740, phone=True, prefers_color_scheme="dark", prefers_reduced_motion="reduce")
    assert luminance(tab) < 60 < 200 < light
    tab.wait("[...document.querySelectorAll('figure canvas')].every((one) => one.clientWidth < 360)")
    assert fits(tab)
    assert tab.run("getComputedStyle(document.getElementById('pause')).transitionDuration") == "0s"
