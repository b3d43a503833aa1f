"""The recipes of docs/links.md for browsers, in a real Chromium, on a page of another origin than the link's."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from provider.testing.stage import DemoServer
from tests.support.browser import CHROMIUM, WAIT_SECONDS, Tab, running_browser
from tests.support.cutting_relay import cutting_relay
from tests.support.data_origin import DataOrigin
from tests.support.origin import wait_until
from tests.support.recipes import needs, recipes
from tests.tools.conftest import MIB, Linked, Sample

RECIPES = recipes()
# The button of the newest download on the browser's own page of them.
RESUME = (
    "document.querySelector('downloads-manager')?.shadowRoot?.querySelector('downloads-item')"
    "?.shadowRoot?.querySelector('#pause-or-resume')"
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium")


@pytest.fixture(scope="module")
def open_tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Tab]]:
    """A running browser."""
    with running_browser(tmp_path_factory.mktemp("browser")) as opening:
        yield opening


@pytest.fixture
def tab(open_tab: Callable[[], Tab], data_origin: DataOrigin) -> Iterator[Tab]:
    """A tab with an empty page of another origin than the links'."""
    data_origin.put("page.html", b"<!doctype html><title>A page</title>")
    opened = open_tab()
    opened.open(f"{data_origin.url}/page.html")
    yield opened
    opened.close()


def test_a_page_of_another_origin_fetches_ranges(tab: Tab, linked: Linked, big: Sample) -> None:
    url, file = linked(big.name, big.body)
    fetched = tab.run(
        f"(async () => {{ const url = {json.dumps(url)}; {RECIPES['fetch']}; "
        "return [reply.status, reply.headers.get('Content-Range'), reply.headers.get('ETag'), [...part]] })()"
    )
    size = len(big.body)
    status, content_range, etag, part = fetched
    assert (status, content_range, bytes(part)) == (206, f"bytes {size - 100}-{size - 1}/{size}", big.body[-100:])
    again = tab.run(
        f"(async () => {{ const reply = await fetch({json.dumps(url)}, "
        f"{{headers: {{Range: 'bytes=7-9', 'If-Range': {json.dumps(etag)}}}}}); "
        "return [reply.status, [...new Uint8Array(await reply.arrayBuffer())]] })()"
    )
    assert again == [206, list(big.body[7:10])]
    assert file.ranges == ["bytes=-100", "bytes=7-9"]


def test_a_page_gets_no_part_of_another_version(tab: Tab, linked: Linked, big: Sample) -> None:
    url, file = linked(big.name, big.body)
    file.change(big.body[::-1])
    status = tab.run(f"(async () => {{ const url = {json.dumps(url)}; {RECIPES['fetch']}; return reply.status }})()")
    assert status == 412
    assert len(file.asked) == 1


@pytest.mark.parametrize("changes", [False, True])
def test_a_download_goes_on_after_a_cut_and_starts_again_with_another_version(
    changes: bool, tab: Tab, linked: Linked, big: Sample, server: DemoServer, folder: Path
) -> None:
    url, file = linked(big.name, big.body)
    expected = big.body[::-1] if changes else big.body
    if changes:
        file.change(expected, at=1)
    tab.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    with cutting_relay(server.url, cut_after=3 * MIB) as relay:
        tab.run(f"location.href = {json.dumps(url.replace(server.url, relay.url))}")
        relay.has_cut.wait(WAIT_SECONDS)
        # Another page would end a navigation that has not become a download.
        wait_until(lambda: any(path.is_file() for path in folder.iterdir()))
        tab.send("Page.navigate", url="chrome://downloads/")
        tab.wait(f"{RESUME}?.textContent.includes('Resume')")
        tab.run(f"{RESUME}.click()")
        saved = folder / big.name
        wait_until(lambda: saved.exists() and saved.stat().st_size == len(expected))
    assert saved.read_bytes() == expected
    first, second = file.ranges
    assert first is None
    assert (second or "").startswith("bytes=")


@needs("ffmpeg")
def test_a_video_seeks(tab: Tab, linked: Linked, film: Sample) -> None:
    url, file = linked(film.name, film.body)
    tab.run(f"document.body.innerHTML = {json.dumps(RECIPES['video'].replace('URL', url))}")
    tab.wait("document.querySelector('video').readyState >= 1")
    tab.run("document.querySelector('video').currentTime = 50")
    tab.wait("!document.querySelector('video').seeking && document.querySelector('video').readyState >= 2")
    assert tab.run("document.querySelector('video').currentTime") == 50
    assert any(int((wanted or "bytes=0-")[6:].partition("-")[0]) > len(film.body) // 2 for wanted in file.ranges)
    assert len(file.asked) <= 8
