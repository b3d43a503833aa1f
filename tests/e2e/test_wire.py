"""HTTP as such: framing, CORS, methods, paths, request ids, where parameters come from, hostile heads and bodies."""

import concurrent.futures
import json
import re
import socket
from urllib.parse import urlsplit

import pytest

from provider.testing.http_client import Reply, request
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published
from provider.testing.readings import scrape
from provider.testing.stage import DemoServer
from tests.support.origin import wait_until
from tests.support.raw_http import connected, exchange, get, is_closed, read_reply, read_to_end

NONCE = "/api/services/nonce"
ADDRESS = "0x" + "ab" * 20
ASKED = f"{NONCE}?userAddress={ADDRESS}"
BODY_LIMIT = 10 << 20
SERVICE_ROUTES = {
    "nonce": "GET",
    "encrypt": "POST",
    "decrypt": "POST",
    "fileinfo": "POST",
    "initialize": "GET",
    "download": "GET",
}
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH")


def no_traceback(server: DemoServer) -> bool:
    log = server.child.stderr_tail(1 << 24)
    return "Traceback" not in log and "traceback" not in log and "Task was destroyed" not in log


@pytest.fixture(autouse=True)
def _server_logs_no_traceback(server: DemoServer):
    yield
    assert no_traceback(server)


# CORS


def test_without_origin_everybody_may_read(server: DemoServer) -> None:
    reply = get(server.url, ASKED)
    assert reply.headers["access-control-allow-origin"] == "*"
    assert "vary" not in reply.headers
    assert reply.headers["access-control-expose-headers"] == "X-Request-ID"
    assert "access-control-allow-credentials" not in reply.headers


@pytest.mark.parametrize("target", [ASKED, NONCE, "/nowhere", "/"], ids=["ok", "refused", "unknown", "root"])
def test_origin_is_echoed(server: DemoServer, target: str) -> None:
    reply = get(server.url, target, "Origin: https://market.example")
    assert reply.headers["access-control-allow-origin"] == "https://market.example"
    # At the root a browser gets a page, so that its reply depends on one header more.
    assert reply.headers["vary"].split(", ")[0] == "Origin"


@pytest.mark.parametrize("path", [NONCE, "/api/services/download", "//api/services/decrypt", "/"])
def test_preflight_allows_what_the_browser_asks_for(server: DemoServer, path: str) -> None:
    reply = get(
        server.url,
        path,
        "Origin: https://market.example",
        "Access-Control-Request-Method: GET",
        "Access-Control-Request-Headers: authtoken,content-type",
        method="OPTIONS",
    )
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["access-control-allow-headers"] == "authtoken,content-type"
    assert reply.headers["access-control-allow-methods"] == "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
    assert reply.headers["access-control-allow-origin"] == "https://market.example"
    assert "access-control-max-age" not in reply.headers


@pytest.mark.parametrize("name", SERVICE_ROUTES)
def test_options_tells_the_methods(server: DemoServer, name: str) -> None:
    reply = get(server.url, f"/api/services/{name}", method="OPTIONS")
    assert (reply.status, reply.body) == (200, b"")
    assert set(reply.headers["allow"].split(", ")) == {SERVICE_ROUTES[name], "OPTIONS"}


# Methods


@pytest.mark.parametrize("name", SERVICE_ROUTES)
def test_wrong_methods_are_405_with_allow(server: DemoServer, name: str) -> None:
    for method in METHODS:
        if method == SERVICE_ROUTES[name]:
            continue
        reply = get(server.url, f"/api/services/{name}", method=method)
        assert reply.status == 405, method
        assert set(reply.headers["allow"].split(", ")) == {SERVICE_ROUTES[name], "OPTIONS"}
        assert reply.headers["content-type"] == "application/json"
        if method != "HEAD":
            expected = "405 Method Not Allowed: The method is not allowed for the requested URL."
            assert reply.json()["error"] == expected


@pytest.mark.parametrize("method", ["BREW", "CONNECT", "TRACE", "PROPFIND", "get"])
def test_unknown_methods_are_405_json(server: DemoServer, method: str) -> None:
    reply = get(server.url, ASKED, method=method)
    assert reply.status == 405
    assert reply.json()["error"].startswith("405 Method Not Allowed")
    assert set(reply.headers["allow"].split(", ")) == {"GET", "OPTIONS"}
    assert reply.headers["connection"] == "close"
    assert get(server.url, "/nowhere", method=method).json()["error"].startswith("404 Not Found")


def test_head_spends_no_nonce(server: DemoServer, consumer: Consumer, bought: tuple[Published, str]) -> None:
    target = consumer.download_url(*bought).removeprefix(server.url)
    head = get(server.url, target, method="HEAD")
    assert (head.status, head.body) == (405, b"")
    assert get(server.url, target).status == 200


def test_head_of_the_root_is_the_get_without_body(server: DemoServer) -> None:
    head, full = get(server.url, "/", method="HEAD"), get(server.url, "/")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == full.headers["content-length"] == str(len(full.body))


# Root


def test_root_names_provider_chains_and_endpoints(server: DemoServer) -> None:
    root = get(server.url, "/").json()
    assert root["software"] == "Provider"
    assert root["chainIds"] == [8996]
    assert root["providerAddresses"] == {"8996": "0xe08A1dAe983BC701D05E492DB80e0144f8f4b909"}
    # Sixteen names of Provider 2.1 and three that ocean.js 8 looks up.
    assert len(root["serviceEndpoints"]) == 19
    assert root["serviceEndpoints"]["download"] == ["GET", "/api/services/download"]
    assert root["serviceEndpoints"]["create_auth_token"] == ["GET", "/api/services/createAuthToken"]
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", root["version"])


# Paths


@pytest.mark.parametrize("slashes", [1, 2, 3, 40])
def test_any_number_of_leading_slashes_is_one(server: DemoServer, slashes: int) -> None:
    reply = get(server.url, "/" * slashes + ASKED[1:])
    assert (reply.status, reply.json()) == (200, {"nonce": "1"})


@pytest.mark.parametrize("host", ["http://provider.example", "HTTPS://other.example:8443", "http://[::1]:80"])
def test_an_absolute_target_is_its_path(server: DemoServer, host: str) -> None:
    """RFC 9112 section 3.2.2: servers take it, although only proxies are sent it."""
    reply = get(server.url, f"{host}{ASKED}")
    assert (reply.status, reply.json()) == (200, {"nonce": "1"})
    assert get(server.url, host).json()["software"] == "Provider"
    assert get(server.url, f"{host}?a=b").json()["software"] == "Provider"
    assert get(server.url, f"{host}/nowhere").status == 404


@pytest.mark.parametrize("target", ["http://a,b/", "http://<>/"])
def test_an_absolute_target_with_a_bad_host_is_refused(server: DemoServer, target: str) -> None:
    assert get(server.url, target).status == 400


@pytest.mark.parametrize("target", ["*", "http://provider.example"])
def test_options_of_the_whole_server_tells_every_method(server: DemoServer, target: str) -> None:
    reply = get(server.url, target, method="OPTIONS")
    assert (reply.status, reply.body) == (200, b"")
    assert {"DELETE", "GET", "HEAD", "OPTIONS", "POST"} <= set(reply.headers["allow"].split(", "))


NOT_FOUND = (
    "404 Not Found: The requested URL was not found on the server. If you entered the URL manually "
    "please check your spelling and try again."
)


@pytest.mark.parametrize(
    "target",
    [
        f"{NONCE}/",
        f"{NONCE}/?userAddress={ADDRESS}",
        "/api/services",
        "/api/services/",
        "/api/services/Nonce",
        "/api/services/nonce%2f",
        "/api/services/../services/nonce",
        "/api/services/%2e%2e/services/nonce",
        "/api/services/nonce%00",
        "/api/services/nonce;a=b",
        "/%",
        "/%zz%",
        "/" + "a" * 30_000,
        "/" + "a/" * 10_000,
        b"/\xff\xfe\xfd",
        b"/api/services/\xc3\xa9",
        "*",
        "nonce",
        "ftp://provider.example/",
        "http:///",
        "http://u:p@provider.example/",
        "/favicon.ico",
    ],
    ids=lambda target: str(target[:30]),
)
def test_other_paths_are_404_json(server: DemoServer, target: str | bytes) -> None:
    reply = get(server.url, target)
    assert reply.status == 404
    assert reply.headers["content-type"] == "application/json"
    assert reply.json() == {"error": NOT_FOUND}


@pytest.mark.parametrize("route", ["compute", "computeResult", "computeEnvironments"])
def test_compute_routes_are_404_without_an_operator_service(server: DemoServer, route: str) -> None:
    assert get(server.url, f"/api/services/{route}").status == 404


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/api//services/nonce", NONCE),
        ("//api///services////nonce", NONCE),
        (f"/api//services/nonce?userAddress={ADDRESS}&x=//y", f"{NONCE}?userAddress={ADDRESS}&x=//y"),
    ],
)
def test_doubled_inner_slashes_are_merged_by_a_redirect(server: DemoServer, target: str, location: str) -> None:
    reply = get(server.url, target)
    assert reply.status == 308
    assert reply.headers["location"] == location


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example//api/services/nonce",
        "///evil.example/api//services/nonce",
        "/\\evil.example//api",
        "//evil.example/%2e%2e//api//services/nonce",
        "/api//services/nonce\\@evil.example",
        "http://evil.example//api/services/nonce",
        "http://evil.example/api//services/nonce",
    ],
)
def test_no_redirect_leads_to_another_host(server: DemoServer, target: str) -> None:
    reply = get(server.url, target)
    location = reply.headers.get("location", "/")
    assert location.startswith("/")
    assert not location.startswith(("//", "/\\"))
    assert urlsplit(location).netloc == ""
    assert "evil" not in location


# Request ids, server header


def test_request_id_is_made_up(server: DemoServer) -> None:
    first, second = (get(server.url, ASKED).headers["x-request-id"] for _ in range(2))
    assert re.fullmatch(r"[0-9a-f]{16}", first)
    assert first != second


@pytest.mark.parametrize("offered", ["a", "front-proxy_1.2", "A" * 64])
def test_well_formed_request_id_is_echoed_and_logged(server: DemoServer, offered: str) -> None:
    assert get(server.url, ASKED, f"X-Request-ID: {offered}").headers["x-request-id"] == offered
    wait_until(lambda: f'"request_id":"{offered}"' in server.child.stderr_tail(1 << 20))


@pytest.mark.parametrize("offered", ["", "A" * 65, "a b", "a\xe9", 'a"b', "a\tb", "<script>", "a,b"])
def test_malformed_request_id_is_replaced(server: DemoServer, offered: str) -> None:
    assert re.fullmatch(r"[0-9a-f]{16}", get(server.url, ASKED, f"X-Request-ID: {offered}").headers["x-request-id"])


@pytest.mark.parametrize("target", ["/", ASKED, NONCE, "/nowhere", "/api//services/nonce"])
def test_every_reply_has_an_id_and_no_server_name(server: DemoServer, target: str) -> None:
    reply = get(server.url, target)
    assert reply.headers["x-request-id"]
    assert "server" not in reply.headers


# Where parameters come from


def test_first_of_repeated_query_keys_wins(server: DemoServer) -> None:
    assert get(server.url, f"{ASKED}&userAddress=nonsense").status == 200
    assert get(server.url, f"{NONCE}?userAddress=nonsense&userAddress={ADDRESS}").status == 400


def with_body(server: DemoServer, target: str, body: bytes, content_type: str = "application/json") -> Reply:
    return request("GET", server.url + target, body=body, headers={"Content-Type": content_type})


def test_get_reads_a_json_body(server: DemoServer) -> None:
    assert with_body(server, NONCE, json.dumps({"userAddress": ADDRESS}).encode()).json() == {"nonce": "1"}


def test_any_query_parameter_beats_the_body(server: DemoServer) -> None:
    good = json.dumps({"userAddress": ADDRESS}).encode()
    assert with_body(server, f"{NONCE}?other=1", good).json()["errors"] == {
        "userAddress": ["The userAddress field is required."]
    }
    assert with_body(server, ASKED, b'{"userAddress":"nonsense"}').status == 200
    assert with_body(server, f"{NONCE}?", good).status == 200


@pytest.mark.parametrize("body", [b"[]", b"[1]", b'"text"', b"1", b"true"])
def test_json_that_is_no_object_is_400(server: DemoServer, body: bytes) -> None:
    reply = with_body(server, NONCE, body)
    assert (reply.status, reply.json()) == (400, {"error": "The request body must be a JSON object."})


@pytest.mark.parametrize(
    "body",
    [b"{", b"", b"null", b'{"userAddress":', b"\xff\xfe", b"[" * 2000, b'{"a":NaN}', b'{"userAddress":"\\ud800"}'],
)
def test_broken_json_counts_as_nothing(server: DemoServer, body: bytes) -> None:
    reply = with_body(server, NONCE, body)
    assert reply.status == 400
    assert reply.json() == {
        "errors": {"userAddress": ["The userAddress field is required."]},
        "message": "Validation error",
        "success": False,
    }


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", "json", "\xff"])
def test_other_content_types_count_as_nothing(server: DemoServer, content_type: str) -> None:
    reply = with_body(server, NONCE, json.dumps({"userAddress": ADDRESS}).encode(), content_type)
    assert reply.json()["errors"] == {"userAddress": ["The userAddress field is required."]}


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON", "application/ld+json"])
def test_json_content_types_are_recognised(server: DemoServer, content_type: str) -> None:
    assert with_body(server, NONCE, json.dumps({"userAddress": ADDRESS}).encode(), content_type).status == 200


@pytest.mark.parametrize(
    "query",
    [
        b"userAddress=\xff\xfe",
        b"userAddress=%ff%fe%00",
        b"userAddress=%",
        b"userAddress=%zz",
        b"%75serAddress=x",
        b"userAddress[]=x",
        b"=",
        b"&&&=&",
        b"userAddress=" + b"9" * 50_000,
        b"&".join(b"a%d=1" % i for i in range(500)),
    ],
    ids=lambda query: str(query[:30]),
)
def test_absurd_queries_are_400_json(server: DemoServer, query: bytes) -> None:
    reply = get(server.url, NONCE.encode() + b"?" + query)
    assert reply.status == 400
    assert reply.json()["success"] is False


# Connections


def test_connection_is_kept_for_the_next_request(server: DemoServer) -> None:
    with connected(server.url) as sock:
        for _ in range(3):
            sock.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % ASKED.encode())
            assert read_reply(sock).status == 200


def test_pipelined_requests_are_answered_in_order(server: DemoServer) -> None:
    ids = [f"pipe-{i}" for i in range(5)]
    requests = [f"GET {ASKED} HTTP/1.1\r\nHost: x\r\nX-Request-ID: {i}\r\n\r\n" for i in ids]
    requests[-1] = requests[-1].replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")
    with connected(server.url) as sock:
        sock.sendall("".join(requests).encode())
        received = read_to_end(sock).decode()
    assert re.findall(r"(?i)x-request-id: (\S+)", received) == ids
    assert received.count('{"nonce":"1"}') == 5


def test_connection_close_is_honoured(server: DemoServer) -> None:
    with connected(server.url) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert read_to_end(sock).startswith(b"HTTP/1.1 200")


def test_http_1_0_is_served_and_closed(server: DemoServer) -> None:
    with connected(server.url) as sock:
        sock.sendall(b"GET %s HTTP/1.0\r\n\r\n" % ASKED.encode())
        reply = read_to_end(sock)
    head, _, body = reply.partition(b"\r\n\r\n")
    assert head.split(b" ", 2)[1] == b"200"
    assert b"chunked" not in head.lower()
    assert body == b'{"nonce":"1"}\n'


def test_http_1_0_may_ask_to_keep_the_connection(server: DemoServer) -> None:
    with connected(server.url) as sock:
        for _ in range(2):
            sock.sendall(b"GET %s HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" % ASKED.encode())
            reply = read_reply(sock)
            assert reply.status == 200
            assert reply.headers["connection"].lower() == "keep-alive"


def test_expect_100_continue_is_answered_before_the_body(server: DemoServer) -> None:
    body = json.dumps({"userAddress": ADDRESS}).encode()
    head = f"GET {NONCE} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
    with connected(server.url) as sock:
        sock.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode())
        assert sock.recv(1000).startswith(b"HTTP/1.1 100 ")
        sock.sendall(body)
        assert read_reply(sock).json() == {"nonce": "1"}


# Bodies over the limit


def refused_as_too_large(reply: Reply) -> bool:
    return reply.status == 413 and reply.json() == {"error": "The request body is too large."}


def post_head(path: str, *headers: str) -> bytes:
    return "".join(f"{line}\r\n" for line in (f"POST {path} HTTP/1.1", "Host: x", *headers, "")).encode()


ENCRYPT = "/api/services/encrypt?chainId=8996"
OCTETS = "Content-Type: application/octet-stream"


def test_body_of_exactly_the_limit_is_taken(server: DemoServer) -> None:
    reply = request(
        "POST", server.url + ENCRYPT, body=bytes(BODY_LIMIT), headers={"Content-Type": "application/octet-stream"}
    )
    assert reply.status == 201
    assert len(reply.body) == 2 + 2 * (BODY_LIMIT + 97)


@pytest.mark.parametrize("length", [BODY_LIMIT + 1, 1 << 40, 10**30], ids=["one more", "1 TiB", "absurd"])
def test_announced_body_over_the_limit_is_refused_before_it_comes(server: DemoServer, length: int) -> None:
    with connected(server.url) as sock:
        sock.sendall(post_head(ENCRYPT, OCTETS, f"Content-Length: {length}"))
        reply = read_reply(sock)
        assert refused_as_too_large(reply)
        assert reply.headers["connection"] == "close"
        assert reply.headers["x-request-id"]


def test_client_that_waits_for_100_gets_413_instead_and_no_second_answer(server: DemoServer) -> None:
    with connected(server.url) as sock:
        sock.sendall(post_head(ENCRYPT, OCTETS, f"Content-Length: {BODY_LIMIT + 1}", "Expect: 100-continue"))
        received = read_to_end(sock)
    assert received.count(b"HTTP/1.1 ") == 1
    assert received.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("path", [ENCRYPT, "/api/services/fileinfo", "/nowhere", NONCE])
def test_client_that_sends_all_before_it_reads_sees_the_413(server: DemoServer, path: str) -> None:
    with connected(server.url) as sock:
        sock.sendall(post_head(path, OCTETS, f"Content-Length: {BODY_LIMIT + 500_000}"))
        sock.sendall(bytes(BODY_LIMIT + 500_000))
        reply = read_reply(sock)
        assert refused_as_too_large(reply)
        assert is_closed(sock)


def test_chunked_body_over_the_limit_is_refused_while_it_arrives(server: DemoServer) -> None:
    chunk = b"100000\r\n" + bytes(1 << 20) + b"\r\n"
    with connected(server.url) as sock:
        sock.sendall(post_head(ENCRYPT, OCTETS, "Transfer-Encoding: chunked"))
        for _ in range(12):
            sock.sendall(chunk)
        assert refused_as_too_large(read_reply(sock))


def test_sender_without_end_is_cut_off(server: DemoServer) -> None:
    """The answer is out and much more was thrown away: whoever still sends is not waiting for an answer."""
    chunks = (b"100000\r\n" + bytes(1 << 20) + b"\r\n") * 60
    with connected(server.url) as sock:
        sock.sendall(post_head(ENCRYPT, OCTETS, "Transfer-Encoding: chunked"))
        with pytest.raises(OSError, match=r"reset|pipe"):
            sock.sendall(chunks)


def test_silent_sender_of_a_refused_body_is_let_go(server: DemoServer) -> None:
    """No connection is held for a body that nobody will read."""
    with connected(server.url) as sock:
        sock.sendall(post_head(ENCRYPT, OCTETS, f"Content-Length: {1 << 40}"))
        assert refused_as_too_large(read_reply(sock))
        assert is_closed(sock)


def test_client_that_leaves_in_the_middle_of_its_body_harms_nobody(server: DemoServer) -> None:
    with connected(server.url) as sock:
        sock.sendall(post_head(ENCRYPT, OCTETS, "Content-Length: 100000") + b"x" * 500)
    with connected(server.url) as sock:
        sock.sendall(post_head(ENCRYPT, OCTETS, "Transfer-Encoding: chunked") + b"10\r\nxx")
    assert get(server.url, ASKED).status == 200


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: -1",
        b"Content-Length: 1x",
        b"Content-Length: \xb2",
        b"Content-Length:\x855",
        b"Content-Length: " + b"9" * 5000,
        b"Content-Length: +4",
        b"Content-Length: 4\r\nContent-Length: 5",
        b"Content-Length: 4\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked, chunked",
        b"Transfer-Encoding: \x0bchunked",
    ],
    ids=lambda framing: framing[:40].decode("latin-1"),
)
def test_ambiguous_framing_is_refused_and_the_connection_closed(server: DemoServer, framing: bytes) -> None:
    """RFC 9112 section 6.3: what could hide a second request in a body must not be guessed at."""
    hidden = b"0\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"
    with connected(server.url) as sock:
        sock.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n%s" % (ENCRYPT.encode(), framing, hidden))
        received = read_to_end(sock)
    assert received.count(b"HTTP/1.1 ") == 1
    assert received.startswith(b"HTTP/1.1 4")


@pytest.mark.parametrize("chunks", [b"zz\r\n", b"-1\r\n", b"0x5\r\nabcde\r\n", b"5\r\nabcdeXX", b"f" * 100 + b"\r\n"])
def test_broken_chunks_are_refused(server: DemoServer, chunks: bytes) -> None:
    with connected(server.url) as sock:
        sock.sendall(post_head(ENCRYPT, OCTETS, "Transfer-Encoding: chunked") + chunks + b"0\r\n\r\n")
        assert read_to_end(sock)[:12] in (b"HTTP/1.1 400", b"")


# Heads


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: %s\r\n" % (i, b"y" * 1000) for i in range(100)) + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Bomb: " + b"y" * 200_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=["many fields", "long field", "long target"],
)
def test_oversized_heads_end_the_connection(server: DemoServer, head: bytes) -> None:
    with connected(server.url) as sock:
        try:
            sock.sendall(head)
            received = read_to_end(sock)
        except (BrokenPipeError, ConnectionResetError):
            received = b""
    assert received[:10] in (b"", b"HTTP/1.1 4")
    assert get(server.url, ASKED).status == 200


@pytest.mark.parametrize(
    "head",
    [
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / FTP/1.1\r\n\r\n",
        b"GET  /  HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n: empty\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nbad name: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
        b"GET /a?b=\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /a\x00b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST /directCommand HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
        b"POST /directCommand HTTP/1.1\r\nHost: x\r\nContent-Length: \xb2\r\n\r\n",
        b"POST /directCommand HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 2\r\n\r\n",
        b"POST /directCommand HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /directCommand HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=lambda head: repr(head[:40]),
)
def test_malformed_heads_get_400_as_every_refusal(server: DemoServer, head: bytes) -> None:
    before = scrape(server.admin_url).total("provider_errors_total", code="not_http")
    with connected(server.url) as sock:
        sock.sendall(head)
        reply = read_reply(sock)
        assert is_closed(sock)
    assert scrape(server.admin_url).total("provider_errors_total", code="not_http") == before + 1
    assert (reply.status, reply.json()) == (400, {"error": "This is not an HTTP request."})
    assert re.fullmatch("[0-9a-f]{16}", reply.headers["x-request-id"])
    assert "server" not in reply.headers


def test_slow_heads_do_not_block_others(server: DemoServer) -> None:
    slow = [socket.create_connection(("127.0.0.1", urlsplit(server.url).port)) for _ in range(50)]
    try:
        for sock in slow:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        assert {get(server.url, ASKED).status for _ in range(20)} == {200}
        # Those did not wait for the slow ones, which go on.
        for sock in slow:
            sock.sendall(b"y\r\n\r\n")
        assert {read_reply(sock).status for sock in slow} == {200}
    finally:
        for sock in slow:
            sock.close()


def test_clients_at_once_are_all_answered(server: DemoServer) -> None:
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        replies = list(pool.map(lambda _: get(server.url, ASKED).json(), range(200)))
    assert replies == [{"nonce": "1"}] * 200


def test_exchange_helper_would_see_a_second_reply(server: DemoServer) -> None:
    reply = exchange(server.url, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert reply.json()["software"] == "Provider"
