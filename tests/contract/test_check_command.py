"""`provider check` against the real demo chain, and with each thing broken in turn."""

import json
import os
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from provider.commands.check import check
from provider.config.load import load_settings
from provider.testing.chain.keys import CONSUMER_KEY
from provider.testing.ports import free_ports
from provider.testing.stage import DemoChain
from tests.support.illnesses import refusing_batches
from tests.support.rpc_proxy import running_rpc_proxy

SECRET = "s3cr3t"
STRANGER_TOKEN = "0x" + "99" * 20

Answer = Callable[[str, list[Any]], object]


@contextmanager
def http_server(reply: Callable[[str, bytes], tuple[int, str, bytes]]) -> Iterator[str]:
    """URL of a server whose `reply(path, body)` gives status, content type and body."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            status, kind, body = reply(self.path, self.rfile.read(int(self.headers.get("Content-Length", 0))))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer  # noqa: N815 - names that http.server calls

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def node(chain: DemoChain, alter: Answer) -> Iterator[str]:
    """The demo chain, except where `alter(method, params)` answers something else than None.

    An Exception becomes a JSON-RPC error with its text.
    """

    def one(call: dict[str, Any]) -> dict[str, Any]:
        result = alter(call["method"], call["params"])
        reply = {"jsonrpc": "2.0", "id": call["id"]}
        if isinstance(result, Exception):
            return {**reply, "error": {"code": -32005, "message": str(result)}}
        return {**reply, "result": chain.rpc(call["method"], *call["params"]) if result is None else result}

    def reply(_: str, body: bytes) -> tuple[int, str, bytes]:
        request = json.loads(body)
        answer = [one(call) for call in request] if isinstance(request, list) else one(request)
        return 200, "application/json", plain_json(answer)

    with http_server(reply) as url:
        yield url


def plain_json(value: object) -> bytes:
    """JSON of what web3 hands out: attribute dicts and bytes among plain values."""

    def convert(item: Any) -> Any:
        return "0x" + bytes(item).hex() if isinstance(item, bytes) else dict(item)

    return json.dumps(value, default=convert).encode()


def aquarius(path: str, _: bytes) -> tuple[int, str, bytes]:
    return (404, "application/json", b'{"error":"no"}') if "/ddo/did:op:" in path else (200, "text/html", b"hello")


def free_port() -> int:
    return free_ports(1)[0]


@pytest.fixture
def environ(chain: DemoChain, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Settings with which everything works."""
    addresses = tmp_path / "address.json"
    addresses.write_text(chain.contracts.address_file())
    with http_server(lambda *_: (200, "text/html", b"gateway")) as gateway:
        yield {
            "NETWORK_URL": json.dumps({"8996": chain.url}),
            "PROVIDER_PRIVATE_KEY": json.dumps({"8996": chain.provider_key}),
            "UNIVERSAL_PRIVATE_KEY": CONSUMER_KEY,
            "ADDRESS_FILE": str(addresses),
            "STORAGE_PATH": str(tmp_path / "provider.db"),
            "OCEAN_PROVIDER_URL": f"http://127.0.0.1:{free_port()}",
            "PROVIDER_ADMIN_URL": f"http://127.0.0.1:{free_port()}",
            "IPFS_GATEWAY": gateway,
            "ARWEAVE_GATEWAY": gateway,
            "REQUEST_TIMEOUT": "2",
            "PROVIDER_RPC_TIMEOUT_SECONDS": "2",
        }


@pytest.fixture
def run(
    environ: dict[str, str], chain: DemoChain, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, list[str]]]:
    """`run(VARIABLE=value or None, …)`: exit status and lines of the check under changed settings."""
    chain.rpc("evm_mine")  # other tests may have left the newest block in the past

    def checked(**changes: str | None) -> tuple[int, list[str]]:
        changed = {name: value for name, value in {**environ, **changes}.items() if value is not None}
        status = check(load_settings(changed))
        text = capsys.readouterr().out
        for secret in (SECRET, chain.provider_key[2:], CONSUMER_KEY[2:]):
            assert secret not in text
        return status, text.splitlines()

    return checked


def line_of(lines: list[str], what: str) -> str:
    (line,) = [line for line in lines if line.startswith(what)]
    return line


def state_of(lines: list[str], what: str) -> str:
    column = lines[0].index("state")
    return line_of(lines, what)[column : column + 5].strip()


def test_all_is_well(run, chain: DemoChain) -> None:
    status, lines = run()
    assert status == 0, lines
    assert lines[-1].startswith("ready to serve: ")
    assert lines[-1].endswith("0 failures, 0 warnings")
    host = chain.url.removeprefix("http://")
    for what in (
        "universal key",
        f"chain 8996 endpoint 1 ({host})",
        "chain 8996 key",
        "chain 8996 clock",
        "chain 8996 ERC721Factory",
        "chain 8996 fee token",
        "chain 8996 logs",
        "metadata store",
        "IPFS gateway",
        "Arweave gateway",
        "nonce store",
        "metadata index",
        "disk space",
        "listener",
        "admin listener",
        "certificate",
    ):
        assert state_of(lines, what) == "ok", lines
    assert Account.from_key(chain.provider_key).address in line_of(lines, "chain 8996 key")
    assert Account.from_key(CONSUMER_KEY).address in line_of(lines, "universal key")


def test_it_leaves_no_file_behind(run, tmp_path: Path) -> None:
    run()
    assert os.listdir(tmp_path) == ["address.json"]


def test_single_chain_mode_asks_the_node_for_its_chain(run, chain: DemoChain) -> None:
    status, lines = run(NETWORK_URL=chain.url, PROVIDER_PRIVATE_KEY=chain.provider_key)
    assert status == 0
    assert state_of(lines, "chain 8996 ERC721Factory") == "ok"


def test_secrets_of_urls_are_not_shown(run, chain: DemoChain) -> None:
    with http_server(lambda *_: (401, "text/plain", b"")) as url:
        host = url.removeprefix("http://")
        secret_url = f"http://user:{SECRET}@{host}/{SECRET}?key={SECRET}"
        status, lines = run(
            NETWORK_URL=json.dumps({"8996": [chain.url, secret_url]}), AQUARIUS_URL=secret_url, IPFS_GATEWAY=secret_url
        )
    assert status == 1
    assert "HTTP 401" in line_of(lines, f"chain 8996 endpoint 2 ({host})")


@pytest.mark.parametrize("is_spare", [False, True], ids=["the only one", "another one answers"])
def test_endpoint_that_is_away(run, chain: DemoChain, is_spare: bool) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    status, lines = run(NETWORK_URL=json.dumps({"8996": [away, chain.url] if is_spare else [away]}))
    assert status == (0 if is_spare else 1)
    assert state_of(lines, "chain 8996 endpoint 1") == ("warn" if is_spare else "FAIL")
    assert "NETWORK_URL" in line_of(lines, "chain 8996 endpoint 1")


def test_endpoint_that_is_no_node(run) -> None:
    with http_server(lambda *_: (200, "text/html", b"<html>")) as url:
        status, lines = run(NETWORK_URL=json.dumps({"8996": url}))
    assert status == 1
    assert "JSON-RPC" in line_of(lines, "chain 8996 endpoint 1")


def test_endpoint_of_another_chain_fails_even_as_a_spare(run, chain: DemoChain) -> None:
    with node(chain, lambda method, _: "0x5" if method == "eth_chainId" else None) as url:
        status, lines = run(NETWORK_URL=json.dumps({"8996": [chain.url, url]}))
    assert status == 1
    assert "answers for chain 5, not 8996" in line_of(lines, "chain 8996 endpoint 2")


def test_endpoints_of_single_mode_must_agree(run, chain: DemoChain) -> None:
    with node(chain, lambda method, _: "0x5" if method == "eth_chainId" else None) as url:
        status, lines = run(NETWORK_URL=json.dumps([chain.url, url]), PROVIDER_PRIVATE_KEY=chain.provider_key)
    assert status == 1
    assert state_of(lines, "chain 8996 endpoint 2") == "FAIL"


def test_lagging_endpoint_is_a_warning(run, chain: DemoChain) -> None:
    def behind(method: str, params: list[Any]) -> object:
        if method != "eth_getBlockByNumber":
            return None
        return dict(chain.rpc(method, hex(chain.w3.eth.block_number - 9), False))

    with node(chain, behind) as url:
        status, lines = run(NETWORK_URL=json.dumps({"8996": [chain.url, url]}))
    assert status == 0
    assert state_of(lines, "chain 8996 endpoint 2") == "warn"
    assert "9 blocks behind" in line_of(lines, "chain 8996 endpoint 2")


@pytest.mark.parametrize(
    ("above", "told"),
    [(1, "takes no batches, so asked one by one"), (3, "takes 3 calls at a time"), (9, "takes batches")],
)
def test_how_many_calls_a_node_takes_at_a_time_is_told(run, chain: DemoChain, above: int, told: str) -> None:
    with running_rpc_proxy(chain.url) as proxy:
        proxy.manner = refusing_batches("status 500 with an object", above=above)
        status, lines = run(NETWORK_URL=json.dumps({"8996": proxy.url}))
    assert status == 0
    assert told in line_of(lines, "chain 8996 endpoint 1")


@pytest.mark.parametrize("method", ["eth_getTransactionReceipt", "eth_call"])
def test_a_node_without_a_method_that_orders_need_is_told(run, chain: DemoChain, method: str) -> None:
    def without(asked: str, params: list[Any]) -> object:
        return Exception("the method is not available") if asked == method else None

    with node(chain, without) as url:
        status, lines = run(NETWORK_URL=json.dumps({"8996": [chain.url, url]}))
        assert status == 0
        assert state_of(lines, "chain 8996 endpoint 2") == "warn"
        assert f"does not answer {method}" in line_of(lines, "chain 8996 endpoint 2")
        status, lines = run(NETWORK_URL=json.dumps({"8996": url}))
        assert status == 1
        assert state_of(lines, "chain 8996 endpoint 1") == "FAIL"


@pytest.mark.parametrize("shift", [-1000, 1000], ids=["old", "ahead"])
def test_clock_that_disagrees_with_the_chain_is_a_warning(run, chain: DemoChain, shift: int) -> None:
    with chain.clock_shifted(shift):
        chain.rpc("evm_mine")
    status, lines = run()
    chain.rpc("evm_mine")
    assert status == 0
    assert state_of(lines, "chain 8996 clock") == "warn"


def test_the_clock_of_a_chain_that_may_stand_still_is_no_warning(run, chain: DemoChain) -> None:
    with chain.clock_shifted(-1000):
        chain.rpc("evm_mine")
    status, lines = run(PROVIDER_IDLE_CHAINS="8996")
    chain.rpc("evm_mine")
    assert (status, state_of(lines, "chain 8996 clock")) == (0, "ok")


def test_chain_that_the_address_book_does_not_list(run) -> None:
    status, lines = run(ADDRESS_FILE=None)
    assert status == 1
    assert "ADDRESS_FILE" in line_of(lines, "chain 8996 contracts")


def test_address_file_with_a_wrong_value(run, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"development": {"chainId": 8996, "ERC721Factory": "0x1"}}')
    status, lines = run(ADDRESS_FILE=str(tmp_path / "bad.json"))
    assert status == 1
    assert "ERC721Factory is not an address" in line_of(lines, "address file")


@pytest.mark.parametrize("wrong", ["empty address", "another contract"])
def test_factory_that_is_none(run, chain: DemoChain, tmp_path: Path, wrong: str) -> None:
    address = STRANGER_TOKEN if wrong == "empty address" else chain.contracts.ocean
    book = {"development": {"chainId": 8996, "Ocean": chain.contracts.ocean, "ERC721Factory": address}}
    (tmp_path / "wrong.json").write_text(json.dumps(book))
    status, lines = run(ADDRESS_FILE=str(tmp_path / "wrong.json"))
    assert status == 1
    assert state_of(lines, "chain 8996 ERC721Factory") == "FAIL"
    assert state_of(lines, "chain 8996 fee token") == "ok"


@pytest.mark.parametrize("wrong", ["empty address", "another contract"])
def test_fee_token_that_is_none(run, chain: DemoChain, wrong: str) -> None:
    address = STRANGER_TOKEN if wrong == "empty address" else chain.contracts.factory
    status, lines = run(PROVIDER_FEE_TOKEN=json.dumps({"8996": address}))
    assert status == 1
    assert state_of(lines, "chain 8996 fee token") == "FAIL"


def refuse_logs(above_blocks: int) -> Answer:
    def alter(method: str, params: list[Any]) -> object:
        if method != "eth_getLogs":
            return None
        length = int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) + 1
        return ValueError("too many results") if length > above_blocks else None

    return alter


@pytest.mark.parametrize(("above_blocks", "state"), [(3, "warn"), (0, "FAIL")], ids=["long ranges", "all"])
def test_node_that_refuses_logs(run, chain: DemoChain, above_blocks: int, state: str) -> None:
    with node(chain, refuse_logs(above_blocks)) as url:
        status, lines = run(NETWORK_URL=json.dumps({"8996": url}))
    assert status == (1 if state == "FAIL" else 0)
    assert state_of(lines, "chain 8996 logs") == state


def test_metadata_store_replaces_the_index(run, chain: DemoChain) -> None:
    with http_server(aquarius) as url, node(chain, refuse_logs(0)) as node_url:
        status, lines = run(AQUARIUS_URL=url, NETWORK_URL=json.dumps({"8996": node_url}))
    assert status == 0
    assert state_of(lines, f"metadata store ({url.removeprefix('http://')})") == "ok"
    assert not [line for line in lines if line.startswith(("metadata index", "chain 8996 logs"))]


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ((404, "text/html", b""), "warn"),
        ((200, "text/html", b""), "warn"),
        ((500, "application/json", b"{}"), "FAIL"),
        ((403, "application/json", b"{}"), "FAIL"),
    ],
    ids=["404 of another server", "200 for everything", "500", "403"],
)
def test_metadata_store_that_is_none(run, answer: tuple[int, str, bytes], state: str) -> None:
    with http_server(lambda *_: answer) as url:
        status, lines = run(AQUARIUS_URL=url)
    assert status == (1 if state == "FAIL" else 0)
    assert state_of(lines, "metadata store") == state


def test_metadata_store_that_is_away(run) -> None:
    status, lines = run(AQUARIUS_URL=f"http://127.0.0.1:{free_port()}")
    assert status == 1
    assert "AQUARIUS_URL" in line_of(lines, "metadata store")


@pytest.mark.parametrize("variable", ["IPFS_GATEWAY", "ARWEAVE_GATEWAY", "OPERATOR_SERVICE_URL"])
@pytest.mark.parametrize("trouble", ["away", "500"])
def test_optional_service_in_trouble_is_a_warning(run, variable: str, trouble: str) -> None:
    with http_server(lambda *_: (500, "text/plain", b"")) as url:
        status, lines = run(**{variable: url if trouble == "500" else f"http://127.0.0.1:{free_port()}"})
    assert status == 0
    assert [line for line in lines if variable in line and " warn " in line]


@pytest.mark.parametrize("variable", ["RBAC_SERVER_URL", "POLICY_SERVER_URL"])
def test_gatekeeper_that_is_away_or_broken_fails(run, variable: str) -> None:
    what = "RBAC server" if variable.startswith("RBAC") else "policy server"
    for status, state in ((404, "ok"), (500, "FAIL")):
        with http_server(lambda *_, status=status: (status, "text/plain", b"")) as url:
            assert state_of(run(**{variable: url})[1], what) == state
    away = line_of(run(**{variable: f"http://127.0.0.1:{free_port()}/planted"})[1], what)
    assert "FAIL" in away
    assert "planted" not in away


def test_settings_warnings_are_shown(run) -> None:
    status, lines = run(LOG_CFG="logging.yaml")
    assert status == 0
    assert state_of(lines, "settings") == "warn"


def test_existing_store_is_opened(run, tmp_path: Path) -> None:
    run()
    for name in ("provider.db", "provider.db.index"):
        (tmp_path / name).touch()
    status, lines = run()
    assert status == 0
    assert "opens and can be written" in line_of(lines, "nonce store")
    assert "opens and can be written" in line_of(lines, "metadata index")


@pytest.mark.parametrize("trouble", ["no directory", "not SQLite", "another program's"])
def test_store_that_cannot_be_used(run, tmp_path: Path, trouble: str) -> None:
    path = tmp_path / "other.db"
    if trouble == "no directory":
        path = tmp_path / "missing" / "other.db"
    elif trouble == "not SQLite":
        path.write_bytes(b"not a database, but long enough to look like one" * 100)
    else:
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA user_version = 99")
        connection.close()
    status, lines = run(STORAGE_PATH=str(path))
    assert status == 1
    assert state_of(lines, "nonce store") == "FAIL"
    assert "STORAGE_PATH" in line_of(lines, "nonce store")


@pytest.mark.parametrize(
    ("variable", "what"), [("OCEAN_PROVIDER_URL", "listener"), ("PROVIDER_ADMIN_URL", "admin listener")]
)
def test_port_in_use_is_a_warning(run, variable: str, what: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        status, lines = run(**{variable: f"http://127.0.0.1:{taken.getsockname()[1]}"})
    assert status == 0
    assert state_of(lines, what) == "warn"


def test_address_that_is_not_of_this_host_fails(run) -> None:
    status, lines = run(OCEAN_PROVIDER_URL="http://192.0.2.1:8030")
    assert status == 1
    assert state_of(lines, "listener") == "FAIL"


def test_account_that_pays_for_proofs_shows_what_it_holds(run) -> None:
    _, lines = run(USE_CHAIN_PROOF="true")
    assert state_of(lines, "chain 8996 proofs") == "ok"
    _, lines = run(USE_CHAIN_PROOF="true", PROVIDER_PRIVATE_KEY=json.dumps({"8996": "7c" * 32}))
    assert state_of(lines, "chain 8996 proofs") == "warn"
    assert "fund the account" in line_of(lines, "chain 8996 proofs")
    _, lines = run()
    assert not any(line.startswith("chain 8996 proofs") for line in lines)
