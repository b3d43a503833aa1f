"""nginx and Caddy with the files of `conf/` before a real server: what streams without them streams through them."""

import http.client
import subprocess
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from provider.testing.http_client import request, with_query
from tests.deploy.conftest import CHUNKED, DIES, DIES_CHUNKED, LARGE, LARGE_BYTES, SMALL, STALLS, Stage, tool
from tests.deploy.fronts import CADDYFILE, NGINX_CONF, Front, caddy_front, nginx_front, skip_caddy_that_hides_cuts
from tests.support.certificates import Authority
from tests.support.links import links
from tests.support.origin import pattern_sha256, wait_until

FRONTS = {"nginx": nginx_front, "caddy": caddy_front}


@pytest.fixture(scope="module", params=FRONTS)
def front(request: pytest.FixtureRequest, stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """Each of them, where it is installed."""
    program = tool(request.param)
    skip_caddy_that_hides_cuts(program)
    folder = tmp_path_factory.mktemp(request.param)
    authority = Authority(folder)
    port = urlsplit(stage.server.url).port
    assert port is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(authority.ca_path))
        with FRONTS[request.param](program, folder, port, authority.issue("front")) as running:
            yield running


def test_a_large_file_arrives_whole(front: Front, stage: Stage) -> None:
    got = stage.consumer(front.url).download(stage.asset, stage.order_tx, file_index=LARGE)
    assert (got.status, got.complete, got.size_bytes) == (200, True, LARGE_BYTES)
    assert got.sha256 == pattern_sha256(LARGE_BYTES)
    assert got.headers["content-length"] == str(LARGE_BYTES)


def test_a_range_is_answered_with_that_part(front: Front, stage: Stage) -> None:
    first = LARGE_BYTES - (64 << 20)
    got = stage.consumer(front.url).download(
        stage.asset, stage.order_tx, file_index=LARGE, headers={"Range": f"bytes={first}-"}
    )
    assert (got.status, got.complete, got.size_bytes) == (206, True, 64 << 20)
    assert got.headers["content-range"] == f"bytes {first}-{LARGE_BYTES - 1}/{LARGE_BYTES}"
    assert got.sha256 == pattern_sha256(64 << 20)


def test_a_body_of_unknown_length_arrives_whole(front: Front, stage: Stage) -> None:
    got = stage.consumer(front.url).download(stage.asset, stage.order_tx, file_index=CHUNKED)
    assert (got.status, got.complete, got.size_bytes) == (200, True, 40 * 65536)


def test_the_first_bytes_come_while_the_origin_has_not_ended(front: Front, stage: Stage) -> None:
    parts = urlsplit(stage.consumer(front.url).download_url(stage.asset, stage.order_tx, file_index=STALLS))
    connection = http.client.HTTPSConnection(parts.netloc, timeout=60)
    connection.request("GET", f"{parts.path}?{parts.query}")
    response = connection.getresponse()
    assert len(response.read(100_000)) == 100_000
    assert stage.origin.active == 1
    # A consumer who leaves is noticed through the front, too.
    response.close()
    connection.close()
    wait_until(lambda: stage.origin.active == 0)


@pytest.mark.parametrize("index", [DIES, DIES_CHUNKED], ids=["with a length", "without a length"])
def test_a_cut_transfer_looks_cut(front: Front, stage: Stage, index: int) -> None:
    got = stage.consumer(front.url).download(stage.asset, stage.order_tx, file_index=index)
    assert (got.status, got.complete) == (200, False)
    assert got.size_bytes <= 100_000


def test_a_long_request_line_reaches_the_server(front: Front) -> None:
    reply = request("GET", with_query(front.url, {"userdata": "x" * 40_000}))
    assert (reply.status, reply.json()["software"]) == (200, "Provider")


def test_a_doubled_slash_is_served(front: Front) -> None:
    """C2D pods and indexers send it; a redirect would lose their POST."""
    reply = request("POST", f"{front.url}//api/services/fileinfo", body=b"{}")
    assert (reply.status, "x-request-id" in reply.headers) == (400, True)


@pytest.mark.parametrize("front", ["nginx"], indirect=True)
def test_a_body_that_is_too_long_is_refused_by_the_server(front: Front) -> None:
    """By its announced length, before it is sent; in the server's JSON. Caddy waits for some of it first."""
    connection = http.client.HTTPSConnection(urlsplit(front.url).netloc, timeout=60)
    connection.putrequest("POST", "/api/services/encrypt?chainId=8996")
    connection.putheader("Content-Length", str((10 << 20) + 1))
    connection.endheaders(b"x")
    response = connection.getresponse()
    assert (response.status, response.headers.get_content_type()) == (413, "application/json")
    connection.close()


def test_no_log_of_the_front_holds_a_signature(front: Front, stage: Stage) -> None:
    consumer = stage.consumer(front.url)
    parameters = consumer.download_parameters(stage.asset, stage.order_tx, file_index=DIES_CHUNKED)
    target = with_query(f"{front.url}/api/services/download", parameters)
    with pytest.raises(http.client.HTTPException):
        request("GET", target)
    request("GET", target, headers={"Authorization": "planted-token"})
    # Each has written that there were downloads.
    wait_until(lambda: front.log_text().count("/api/services/download") >= 2)
    text = front.log_text()
    assert str(parameters["signature"]).removeprefix("0x")[:40] not in text
    assert "planted-token" not in text


def test_no_log_of_the_front_holds_a_link(front: Front, stage: Stage) -> None:
    (made,) = links(stage.consumer(front.url), stage.asset, stage.order_tx, fileIndex=SMALL)
    path = urlsplit(made["url"]).path
    token = path.split("/")[2]
    for target in (path, f"{path}.wrong", f"{path}?x=1"):
        request("GET", front.url + target)
    wait_until(lambda: front.log_text().count("/d/") >= 3)
    assert token[:20] not in front.log_text()


def test_the_example_of_nginx_parses_with_its_own_names() -> None:
    """Independent of nginx: crossplane checks directives, their context and their arguments."""
    crossplane = pytest.importorskip("crossplane", reason="crossplane is not installed")
    parsed = crossplane.parse(str(NGINX_CONF), single=True, check_ctx=False, check_args=True)
    assert (parsed["status"], parsed["errors"]) == ("ok", [])


def test_the_caddyfile_is_valid_as_it_is() -> None:
    done = subprocess.run(
        [tool("caddy"), "adapt", "--validate", "--config", str(CADDYFILE), "--adapter", "caddyfile"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
