"""`provider file check` and `encrypt`, and the sources of `provider check`: real origins, folders and a store."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provider.commands.check.source_probes import probe_sources
from provider.commands.check.table import State
from provider.commands.file.check import check_file, examined
from provider.commands.file.encrypt import encrypt_files
from provider.config.load import FileSettings, load_file_settings, load_settings
from provider.crypto.accounts import Account
from provider.files.file_list import open_files
from provider.files.file_object import parse_file_object
from provider.testing.chain.keys import PROVIDER_KEY
from provider.testing.ports import free_ports
from tests.contract.test_sources import bucket, store, write
from tests.support.assets import ASSET, DATATOKEN, NFT, SERVICE
from tests.support.raw_origin import Exchange, answering, raw_origin

__all__ = ["store"]

LISTED = "0x" + "ab" * 20
DATA = b"0123456789"
GOOD = b'Content-Type: text/csv\r\nETag: "1"\r\nAccept-Ranges: bytes\r\n'
SINGLE = {"NETWORK_URL": "http://127.0.0.1:1", "PROVIDER_PRIVATE_KEY": PROVIDER_KEY}


def with_publishers(sources: dict[str, dict[str, object]]) -> str:
    return json.dumps({name: {"publishers": [LISTED], **given} for name, given in sources.items()})


def settings_of(*, private: bool = True, **sources: dict[str, object]) -> FileSettings:
    return load_file_settings({"ALLOW_NON_PUBLIC_IP": str(private), "PROVIDER_SOURCES": with_publishers(sources)})


async def states(file: dict[str, object], settings: FileSettings | None = None) -> dict[str, tuple[State, str]]:
    found = await examined(parse_file_object(file), settings or settings_of())
    return {finding.what: (finding.state, finding.detail) for finding in found}


def serving(fields: bytes, *, ranges: bool) -> Any:
    """A host of one file of ten bytes."""

    async def script(exchange: Exchange) -> bool:
        if ranges and exchange.field("Range") == "bytes=0-0":
            head = b"HTTP/1.1 206 Part\r\nContent-Range: bytes 0-0/10\r\nContent-Length: 1\r\n%b\r\n0"
        else:
            head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n%b\r\n" + DATA
        await exchange.send(head % fields)
        return True

    return script


@pytest.mark.gen_test
async def test_a_good_host_has_nothing_to_mend_but_its_encryption() -> None:
    async with raw_origin(serving(GOOD, ranges=True)) as origin:
        found = await states({"type": "url", "url": f"{origin.url}/data.csv"})
    assert found.pop("transport")[0] is State.WARN
    assert set(found) == {"answer", "time", "redirects", "length", "type", "validator", "ranges"}
    assert {state for state, _ in found.values()} == {State.OK}
    assert found["length"][1] == "10 bytes"


@pytest.mark.gen_test
async def test_what_a_poor_host_lacks_is_told() -> None:
    async with raw_origin(serving(b'ETag: W/"1"\r\nContent-Encoding: gzip\r\n', ranges=False)) as origin:
        found = await states({"type": "url", "url": f"{origin.url}/data"})
    for what in ("type", "coding", "validator", "ranges"):
        assert found[what][0] is State.WARN, what


@pytest.mark.gen_test
async def test_a_body_without_a_length_is_told() -> None:
    async with raw_origin(answering(b"HTTP/1.1 200 OK\r\n\r\n" + DATA)) as origin:
        found = await states({"type": "url", "url": f"{origin.url}/data.csv"})
    assert found["length"] == (State.WARN, "not stated")


@pytest.mark.gen_test
async def test_redirects_are_counted() -> None:
    async def script(exchange: Exchange) -> bool:
        if exchange.path == "/last":
            return bool(await serving(GOOD, ranges=True)(exchange))
        target = b"/second" if exchange.path == "/first" else b"/last"
        await exchange.send(b"HTTP/1.1 302 Go\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % target)
        return True

    async with raw_origin(script) as origin:
        found = await states({"type": "url", "url": f"{origin.url}/first"})
        host = origin.url.removeprefix("http://")
    assert found["redirects"] == (State.WARN, f"2, to {host}, {host}")


@pytest.mark.gen_test
@pytest.mark.parametrize("status", [401, 403, 404, 410, 500, 503])
async def test_an_answer_without_a_file_fails(status: int) -> None:
    async with raw_origin(answering(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status)) as origin:
        found = await states({"type": "url", "url": f"{origin.url}/data.csv"})
    assert found == {"answer": (State.FAIL, f"the origin answered {status}")}


@pytest.mark.gen_test
async def test_hosts_that_cannot_be_reached_fail() -> None:
    (port,) = free_ports(1)
    closed = await states({"type": "url", "url": f"http://127.0.0.1:{port}/"})
    assert closed["answer"][0] is State.FAIL
    assert "no connection" in closed["answer"][1]
    private = await states({"type": "url", "url": f"http://127.0.0.1:{port}/"}, settings_of(private=False))
    assert "its address is private" in private["answer"][1]


@pytest.mark.gen_test
async def test_a_file_of_a_source_is_tried_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(DATA)
    settings = settings_of(climate={"path": str(tmp_path)})
    found = await states({"type": "source", "source": "climate", "path": "a.parquet"}, settings)
    assert {state for state, _ in found.values()} == {State.OK}
    missing = await states({"type": "source", "source": "climate", "path": "b.parquet"}, settings)
    assert missing["answer"][0] is State.FAIL
    unknown = await states({"type": "source", "source": "other", "path": "a.parquet"}, settings)
    assert "no such source" in unknown["answer"][1]


def test_the_command_prints_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_bytes(DATA)
    (tmp_path / "object.json").write_text(json.dumps({"type": "source", "source": "climate", "path": "a.csv"}))
    settings = settings_of(climate={"path": str(tmp_path)})
    assert check_file(str(tmp_path / "object.json"), settings) == 0
    assert "can be downloaded: 6 ok" in capsys.readouterr().out
    (tmp_path / "a.csv").unlink()
    assert check_file(str(tmp_path / "object.json"), settings) == 1
    assert "cannot be downloaded" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "{}", '{"type": "url"}', '{"type": "tape"}', "[" * 100_000])
def test_what_is_no_file_object_is_said(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "object.json").write_text(text)
    assert check_file(str(tmp_path / "object.json"), settings_of()) == 2
    assert capsys.readouterr().err.startswith("provider: ")


# Encrypt


def encrypted(tmp_path: Path, content: object, **changes: Any) -> int:
    (tmp_path / "files.json").write_text(content if isinstance(content, str) else json.dumps(content))
    settings = load_settings({**SINGLE, "PROVIDER_SOURCES": with_publishers({"x": {"path": "/"}})})
    given = {"data_nft": NFT.lower(), "datatoken": DATATOKEN, "chain_id": None, "settings": settings} | changes
    return encrypt_files(str(tmp_path / "files.json"), **given)


def test_an_encrypted_list_is_what_the_server_opens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [{"type": "source", "source": "x", "path": "a"}, {"type": "url", "url": "https://files.example/b"}]
    assert encrypted(tmp_path, files) == 0
    service = replace(SERVICE, files=capsys.readouterr().out.strip())
    opened = open_files(Account.from_hex(PROVIDER_KEY), service, ASSET, allow_unbound=False)
    assert list(opened.items) == files


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("no JSON", "is not JSON"),
        ({"type": "url", "url": "https://files.example/b"}, "must be a JSON list"),
        ([], "must be a JSON list of 1 to 100"),
        ([{"type": "url", "url": "https://files.example/b"}] * 101, "must be a JSON list of 1 to 100"),
        ([{"type": "url"}], "file 0: malformed service files"),
        ([{"type": "source", "source": "other", "path": "a"}], "file 0: the settings name no such source"),
        ([{"type": "source", "source": "x", "path": "../a"}], "file 0: malformed file object"),
    ],
)
def test_wrong_lists_are_not_encrypted(
    tmp_path: Path, content: object, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert encrypted(tmp_path, content) == 2
    told = capsys.readouterr()
    assert (told.out, fault in told.err) == ("", True)


def test_wrong_addresses_and_chains_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [{"type": "url", "url": "https://files.example/b"}]
    keys = {"1": PROVIDER_KEY, "5": PROVIDER_KEY}
    nodes = {"1": "http://127.0.0.1:1", "5": "http://127.0.0.1:1"}
    several = {"NETWORK_URL": json.dumps(nodes), "PROVIDER_PRIVATE_KEY": json.dumps(keys)}
    two = load_settings(several | {"UNIVERSAL_PRIVATE_KEY": PROVIDER_KEY})
    assert encrypted(tmp_path, files, data_nft="0x12") == 2
    assert encrypted(tmp_path, files, settings=two) == 2
    assert encrypted(tmp_path, files, settings=two, chain_id=7) == 2
    told = capsys.readouterr().err
    for fault in ("--nft must be an address", "give --chain", "do not name this chain"):
        assert fault in told
    assert encrypted(tmp_path, files, settings=two, chain_id=5) == 0


# Sources of `provider check`


async def probed(**sources: dict[str, object]) -> list[tuple[State, str]]:
    settings = load_settings({**SINGLE, "PROVIDER_SOURCES": with_publishers(sources)})
    return [(finding.state, finding.detail) for finding in await probe_sources(settings)]


@pytest.mark.gen_test
async def test_folders_are_tried(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    paths = (tmp_path / "full", tmp_path / "empty", tmp_path / "full" / "a", tmp_path / "missing")
    found = await probed(**{f"x{index}": {"path": str(path)} for index, path in enumerate(paths)})
    assert [state for state, _ in found] == [State.OK, State.OK, State.FAIL, State.FAIL]
    assert found[0][1].startswith(f"{tmp_path}/full can be read, by ")


@pytest.mark.gen_test
async def test_buckets_are_tried(store: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "wrong").mkdir()
    right = bucket(store, store, tmp_path)
    wrong = bucket(store, {"accessKeyId": "AKIA", "secretAccessKey": "planted"}, tmp_path / "wrong")
    found = await probed(right=right, wrong=wrong)
    assert [state for state, _ in found] == [State.OK, State.FAIL]
    assert found[1][1] == "HTTP 403 InvalidAccessKeyId"


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("status", "state"), [(404, State.OK), (401, State.FAIL), (403, State.FAIL), (500, State.WARN)]
)
async def test_urls_are_tried(tmp_path: Path, status: int, state: State) -> None:
    async with raw_origin(answering(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status)) as origin:
        token = write(tmp_path / "token", "planted")
        ((found, detail),) = await probed(x={"url": origin.url, "bearer_token_file": token})
    assert (found, f"HTTP {status}" in detail) == (state, True)


@pytest.mark.gen_test
async def test_whether_its_files_are_cached_is_told() -> None:
    async with raw_origin(answering(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")) as origin:
        found = await probed(x={"url": origin.url, "cache": "never"}, y={"url": origin.url, "cache": "always"})
    assert found == [
        (State.OK, "answers (HTTP 404), cache = never"),
        (State.OK, "answers (HTTP 404), cache = always"),
        (State.WARN, "cache = always, and there is no slice cache"),
    ]


@pytest.mark.gen_test
async def test_a_host_that_cannot_be_reached_is_told(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    secret = {"client_id": "x", "client_secret_file": write(tmp_path / "secret", "planted")}
    url = f"http://127.0.0.1:{port}"
    found = await probed(x={"url": url}, y={"url": url, "token_url": f"{url}/token", **secret})
    assert [state for state, _ in found] == [State.FAIL, State.FAIL]
    assert "token endpoint of source y" in found[1][1]
