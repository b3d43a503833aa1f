"""The description against the live server: whatever schemathesis sends, fitting or not, every answer must fit."""

import base64
import hashlib
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from openapi_spec_validator import validate
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.schemas import BaseSchema

from provider.openapi.operations import OPERATIONS
from provider.testing.child import Children
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, Publisher, url_file
from provider.testing.stage import DemoChain, DemoServer, launch_server
from tests.e2e.conftest import Sell
from tests.support.answering_service import running_service
from tests.support.metadata_store import MetadataStore
from tests.support.operator import environment, running_operator
from tests.support.origin import Origin

FITTING, NOT_FITTING = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
# What takes no input cannot be given a wrong one.
SENT = [
    pytest.param(method, path, mode, id=f"{method}-{path}-{mode.value}")
    for (method, path), operation in sorted(OPERATIONS.items())
    for mode in (FITTING, NOT_FITTING)
    if path.startswith(("/api/services/", "/api/aquarius/", "/directCommand"))
    and (mode is FITTING or operation.via != "none")
    # Described as fileinfo.
    and path != "/api/services/fileInfo"
]
load_all_checks()
# Left out: those that take any refusal of data that fits for a fault. What fits a schema may be unsigned or unpaid.
ANY_ANSWER = CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "allow_header_conformance",
        "negative_data_rejection",
    ]
)
RIGHT_ANSWER = [check for check in ANY_ANSWER if check.__name__ != "negative_data_rejection"]
# An example takes some milliseconds; the whole module stays within seconds.
fuzz = settings(
    max_examples=8,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def full_server(
    children: Children, chain: DemoChain, metadata_store: MetadataStore, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DemoServer]:
    """A server that serves all there is, compute too."""
    chain_id = chain.contracts.chain_id
    with running_operator({chain_id: [environment("env")]}) as operator, running_service() as policy:
        environ = {
            "AQUARIUS_URL": metadata_store.url,
            "OPERATOR_SERVICE_URL": operator.url,
            "POLICY_SERVER_URL": policy.url,
            "PROVIDER_RECEIPT_WAIT_SECONDS": "0.1",
            "REQUEST_TIMEOUT": "2",
        }
        server = launch_server(children, chain, tmp_path_factory.mktemp("full"), environ, name="full")
        server.wait_ready()
        yield server


@pytest.fixture(scope="module")
def document(full_server: DemoServer) -> dict[str, Any]:
    reply = requests.get(f"{full_server.url}/spec", timeout=60)
    assert reply.headers["Content-Type"] == "application/json"
    value: dict[str, Any] = reply.json()
    return value


@pytest.fixture(scope="module")
def api(document: dict[str, Any], full_server: DemoServer) -> BaseSchema:
    described = schemathesis.openapi.from_dict(document)
    described.config.update(base_url=full_server.url)
    return described


def test_document_is_valid_openapi(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    assert document["info"]["title"] == "Provider"
    validate(document)


def stay_at_home(case: Case, origin: Origin) -> None:
    """Addresses of the world outside are no business of a test."""
    if isinstance(case.body, dict) and "://" in str(case.body.get("url")):
        case.body["url"] = f"{origin.url}/data.csv"


@pytest.mark.parametrize(("method", "path", "mode"), SENT)
def test_every_answer_fits(api: BaseSchema, origin: Origin, method: str, path: str, mode: GenerationMode) -> None:
    session = requests.Session()

    @seed(1)
    @fuzz
    @given(api[path][method].as_strategy(generation_mode=mode))
    def run(case: Case) -> None:
        stay_at_home(case, origin)
        case.call_and_validate(session=session, checks=ANY_ANSWER, timeout=60)

    with session:
        run()


# Answers to requests that are good, which no generator can sign


def fits(api: BaseSchema, method: str, path: str, url: str, **sent: Any) -> requests.Response:
    reply = requests.request(method, f"{url}{path}", timeout=60, **sent)
    body = {"body": sent["json"]} if "json" in sent else {}
    case = api[path][method].Case(query=sent.get("params"), **body)
    case.validate_response(schemathesis.Response.from_any(reply), checks=RIGHT_ANSWER)
    return reply


def test_download_fits_whole_and_in_ranges(
    api: BaseSchema, server: DemoServer, consumer: Consumer, sell: Sell, origin: Origin
) -> None:
    asset, tx = sell(url_file(f"{origin.url}/bytes/1000"), url_file(f"{origin.url}/unsatisfiable"))
    for file_index, wanted, status in ((0, None, 200), (0, "bytes=0-3", 206), (1, "bytes=100-", 416)):
        query = consumer.download_parameters(asset, tx, file_index=file_index)
        headers = {"Range": wanted} if wanted else {}
        reply = fits(api, "GET", "/api/services/download", server.url, params=query, headers=headers)
        assert reply.status_code == status


def test_initialize_fits_with_and_without_an_order(
    api: BaseSchema, server: DemoServer, consumer: Consumer, bought: tuple[Published, str]
) -> None:
    asset, tx = bought
    query = {"documentId": asset.did, "serviceId": asset.service(0)["id"], "consumerAddress": consumer.address}
    path = "/api/services/initialize"
    assert "providerFee" in fits(api, "GET", path, server.url, params=query).json()
    assert fits(api, "GET", path, server.url, params={**query, "transferTxId": tx}).json() == {"validOrder": tx}


def test_fileinfo_fits(api: BaseSchema, server: DemoServer, bought: tuple[Published, str]) -> None:
    asset, _ = bought
    sent = {"did": asset.did, "serviceId": asset.service(0)["id"], "checksum": True}
    assert fits(api, "POST", "/api/services/fileinfo", server.url, json=sent).json()[0]["valid"]


def test_encrypt_and_decrypt_fit(
    api: BaseSchema, server: DemoServer, publisher: Publisher, stranger: Consumer, bought: tuple[Published, str]
) -> None:
    asset, _ = bought
    sealed = publisher.encrypt(asset.document)
    nonce = stranger.next_nonce()
    sent = {
        "chainId": asset.chain_id,
        "dataNftAddress": asset.data_nft,
        "encryptedDocument": sealed,
        "documentHash": f"0x{hashlib.sha256(asset.document).hexdigest()}",
        "flags": 2,
        "decrypterAddress": stranger.address,
        "nonce": nonce,
        "signature": stranger.sign(f"{asset.data_nft}{stranger.address}{asset.chain_id}", nonce),
    }
    assert fits(api, "POST", "/api/services/decrypt", server.url, json=sent).status_code == 201


def test_compute_environments_fit(api: BaseSchema, full_server: DemoServer) -> None:
    assert fits(api, "GET", "/api/services/computeEnvironments", full_server.url).json()["8996"]


# The description itself, and the page


def test_description_is_kept_by_those_who_have_it(server: DemoServer) -> None:
    first = requests.get(f"{server.url}/spec", timeout=60)
    again = requests.get(f"{server.url}/spec", headers={"If-None-Match": first.headers["ETag"]}, timeout=60)
    assert (again.status_code, again.content) == (304, b"")


def test_page_needs_nothing_from_elsewhere(server: DemoServer) -> None:
    reply = requests.get(f"{server.url}/api/docs", timeout=60)
    assert [(step.status_code, step.headers["Location"]) for step in reply.history] == [(308, "docs/")]
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = reply.headers["Content-Security-Policy"].split("; ")
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert not re.search(r"""(src|href|url)[=:]\s*["'](/|https?:)""", reply.text)
    linked = re.findall(r'<a href="([^"]+)"', reply.text)
    assert [requests.get(urljoin(reply.url, reference), timeout=60).status_code for reference in linked] == [200, 200]
    named = re.findall(r'(?<!<a )(?:src|href)="([^"]+)"(?: integrity="sha384-([^"]+)")?', reply.text)
    assert len(named) == 3
    for reference, integrity in named:
        file = requests.get(urljoin(reply.url, reference), timeout=60)
        assert file.status_code == 200
        assert "immutable" in file.headers["Cache-Control"]
        assert len(file.content) == int(file.headers["Content-Length"])
        if integrity:
            assert base64.b64encode(hashlib.sha384(file.content).digest()).decode() == integrity


def test_only_the_script_that_was_hashed_is_allowed_inline(server: DemoServer) -> None:
    reply = requests.get(f"{server.url}/api/docs/", timeout=60)
    (script,) = re.findall(r"<script>(.*?)</script>", reply.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'self' 'sha256-{digest}'" in reply.headers["Content-Security-Policy"]
