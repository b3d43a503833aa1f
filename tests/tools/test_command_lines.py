"""The recipes of docs/links.md for command lines, run as they stand there."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from provider.testing.http_client import request
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published
from provider.testing.stage import DemoServer
from tests.support.data_origin import DataFile
from tests.support.links import links, signed_for_links, signed_to_revoke
from tests.support.origin import wait_until
from tests.support.recipes import environment, needs, printed, recipes, run_shell
from tests.tools.conftest import MIB, Linked, Sample

RECIPES = recipes()
Offer = Callable[[dict[str, bytes]], tuple[tuple[Published, str], list[DataFile]]]


def stopped_in_the_middle(
    recipe: str, folder: Path, url: str, file: DataFile, *, connections: int = 1, how: int = signal.SIGKILL
) -> int:
    """Start a recipe, end it when part of the file has arrived, and let the origin go on: the size of what is saved."""
    file.hold_after = 3 * MIB // connections
    started = subprocess.Popen(
        ["bash", "-c", RECIPES[recipe]], cwd=folder, env=environment(folder, URL=url), start_new_session=True
    )
    saved = folder / url.rpartition("/")[2]
    wait_until(lambda: file.sent_bytes >= 3 * MIB and saved.exists() and saved.stat().st_size)
    os.killpg(started.pid, how)
    started.wait()
    file.released.set()
    file.hold_after = None
    return saved.stat().st_size


@pytest.mark.parametrize(
    "recipe",
    [pytest.param(tool.partition("-")[0], marks=needs(tool)) for tool in ("curl", "wget", "rclone")],
)
def test_a_whole_file_is_one_request(recipe: str, linked: Linked, big: Sample, folder: Path) -> None:
    url, file = linked(big.name, big.body)
    printed(run_shell(RECIPES[recipe], folder, URL=url))
    assert (folder / big.name).read_bytes() == big.body
    assert file.ranges == [None]


@pytest.mark.parametrize(
    ("first", "then"),
    [
        pytest.param("curl", "curl-resume", marks=needs("curl")),
        pytest.param("wget", "wget", marks=needs("wget")),
    ],
)
def test_a_cut_download_goes_on_where_it_stood(
    first: str, then: str, linked: Linked, big: Sample, folder: Path
) -> None:
    url, file = linked(big.name, big.body)
    size = stopped_in_the_middle(first, folder, url, file)
    assert 0 < size < len(big.body)
    printed(run_shell(RECIPES[then], folder, URL=url))
    assert (folder / big.name).read_bytes() == big.body
    assert file.ranges == [None, f"bytes={size}-"]


@pytest.mark.parametrize(
    ("first", "then"),
    [
        pytest.param("curl", "curl-resume", marks=needs("curl")),
        pytest.param("wget", "wget", marks=needs("wget")),
    ],
)
def test_what_was_cut_does_not_go_on_with_another_version(
    first: str, then: str, linked: Linked, big: Sample, folder: Path
) -> None:
    url, file = linked(big.name, big.body)
    size = stopped_in_the_middle(first, folder, url, file)
    file.change(big.body[::-1])
    done = run_shell(RECIPES[then], folder, URL=url)
    assert done.returncode != 0
    assert (folder / big.name).read_bytes() == big.body[:size]
    (folder / big.name).unlink()
    printed(run_shell(RECIPES[then], folder, URL=url))
    assert (folder / big.name).read_bytes() == big.body[::-1]


@needs("curl")
def test_head_asks_the_origin_nothing(linked: Linked, big: Sample, folder: Path) -> None:
    url, file = linked(big.name, big.body)
    head = printed(run_shell(RECIPES["curl-head"], folder, URL=url)).lower()
    assert f"content-length: {len(big.body)}\r\n" in head
    assert "accept-ranges: bytes\r\n" in head
    assert file.asked == []


@needs("aria2c")
def test_eight_connections_fetch_at_the_same_time(linked: Linked, big: Sample, folder: Path) -> None:
    url, file = linked(big.name, big.body)
    # Nobody gets more than a little before eight have asked.
    file.hold_after, file.release_at = 65_536, 8
    printed(run_shell(RECIPES["aria2"], folder, URL=url))
    assert (folder / big.name).read_bytes() == big.body
    assert 8 <= len(file.asked) <= 12


@needs("aria2c")
def test_what_aria2_was_stopped_at_goes_on(linked: Linked, big: Sample, folder: Path) -> None:
    url, file = linked(big.name, big.body)
    stopped_in_the_middle("aria2", folder, url, file, connections=8, how=signal.SIGTERM)
    file.forget()
    printed(run_shell(RECIPES["aria2"], folder, URL=url))
    assert (folder / big.name).read_bytes() == big.body
    starts = [int(wanted[6:].partition("-")[0]) for wanted in file.ranges if wanted]
    assert any(start % MIB for start in starts)
    assert len(file.asked) <= 16


@needs("aria2c")
def test_aria2_does_not_join_two_versions(linked: Linked, big: Sample, folder: Path) -> None:
    url, file = linked(big.name, big.body)
    file.hold_after, file.release_at = 65_536, 8
    file.change(big.body[::-1], at=4)
    done = run_shell(RECIPES["aria2"].replace("aria2c", "aria2c --max-tries=1"), folder, URL=url)
    assert done.returncode != 0 or (folder / big.name).read_bytes() == big.body


@pytest.mark.parametrize(
    ("recipe", "most"),
    [
        pytest.param("wget-list", 1, marks=needs("curl", "wget")),
        pytest.param("aria2-list", 8, marks=needs("curl", "aria2c")),
        pytest.param("aria2-metalink", 8, marks=needs("curl", "aria2c")),
    ],
)
def test_all_files_of_an_order(
    recipe: str, most: int, offer: Offer, consumer: Consumer, server: DemoServer, folder: Path, big: Sample
) -> None:
    bodies = {"first.bin": big.body[: 3 * MIB], "second.bin": big.body[3 * MIB :]}
    bought, files = offer(bodies)
    (folder / "order.json").write_text(json.dumps(signed_for_links(consumer, *bought)))
    printed(run_shell(RECIPES[recipe], folder, PROVIDER=server.url))
    for (name, body), file in zip(bodies.items(), files, strict=True):
        assert (folder / name).read_bytes() == body
        # One request beforehand, for what the manifest says.
        assert file.ranges[0] == "bytes=0-0"
        assert 2 <= len(file.asked) <= 1 + most


@needs("curl")
def test_a_manifest_is_had_by_token_or_signature_and_a_link_renews_itself(
    offer: Offer, consumer: Consumer, server: DemoServer, folder: Path
) -> None:
    bought, (file,) = offer({"small.txt": b"some text"})
    (folder / "order.json").write_text(json.dumps(signed_for_links(consumer, *bought)))
    printed(run_shell(RECIPES["manifest"], folder, PROVIDER=server.url))
    made = json.loads((folder / "links.json").read_bytes())["files"][0]
    printed(run_shell(RECIPES["renew"], folder, URL=made["url"]))
    renewed = json.loads((folder / "links.json").read_bytes())["files"][0]
    assert {**renewed, "url": ""} == {**made, "url": ""}
    assert request("GET", renewed["url"]).body == b"some text"
    assert file.ranges == ["bytes=0-0", None]


@needs("curl")
def test_revoked_links_open_nothing(offer: Offer, consumer: Consumer, server: DemoServer, folder: Path) -> None:
    bought, _ = offer({"small.txt": b"some text"})
    (made,) = links(consumer, *bought)
    (folder / "revoke.json").write_text(json.dumps(signed_to_revoke(consumer, transferTxId=bought[1])))
    printed(run_shell(RECIPES["revoke"], folder, PROVIDER=server.url))
    assert request("GET", made["url"]).status == 410


@needs("ffmpeg")
def test_ffmpeg_seeks(linked: Linked, film: Sample, folder: Path) -> None:
    url, file = linked(film.name, film.body)
    printed(run_shell(RECIPES["ffmpeg"], folder, URL=url))
    assert (folder / "frame.png").read_bytes() == frame(film.body, folder)
    assert len(file.asked) <= 6
    assert any(int((wanted or "bytes=0-")[6:].partition("-")[0]) > len(film.body) // 2 for wanted in file.ranges)


@needs("ffmpeg")
def test_ffmpeg_shows_no_mix_of_two_versions(linked: Linked, film: Sample, folder: Path) -> None:
    url, file = linked(film.name, film.body)
    file.change(bytes(255 - byte for byte in film.body), at=1)
    done = run_shell(RECIPES["ffmpeg"], folder, URL=url)
    assert done.returncode != 0 or (folder / "frame.png").read_bytes() == frame(film.body, folder)


def frame(body: bytes, folder: Path) -> bytes:
    """The picture that the recipe takes of a film on disk."""
    place = folder / "local"
    place.mkdir()
    (place / "film.webm").write_bytes(body)
    printed(run_shell(RECIPES["ffmpeg"], place, URL="film.webm"))
    return (place / "frame.png").read_bytes()
