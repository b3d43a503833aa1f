"""The nonce endpoint, and what nonces mean to the endpoints that spend them."""

import concurrent.futures
import json
import time

import pytest

from provider.testing.chain.keys import SPARE_KEYS
from provider.testing.http_client import Reply, request, with_query
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published
from provider.testing.stage import DemoChain, DemoServer
from tests.support.nonce_refusal import nonce_refusal

NEVER_SEEN = "0x" + "0f" * 20


def ask(server: DemoServer, address: object) -> Reply:
    return request("GET", with_query(f"{server.url}/api/services/nonce", {"userAddress": address}))


UNKNOWN_DID = "did:op:" + "00" * 32


class Signer:
    """Spends nonces with downloads of an asset that does not exist: the nonce comes first."""

    def __init__(self, chain: DemoChain, server: DemoServer, key: str) -> None:
        self.consumer = Consumer(chain.wallet(key), server.url)

    def spend(self, nonce: str, **more: object) -> Reply:
        parameters = {
            "documentId": UNKNOWN_DID,
            "serviceId": "any",
            "transferTxId": "0x" + "00" * 32,
            "fileIndex": 0,
            "consumerAddress": self.consumer.address,
            "nonce": nonce,
            "signature": self.consumer.sign(UNKNOWN_DID, nonce),
            **more,
        }
        return request("GET", with_query(f"{self.consumer.provider_url}/api/services/download", parameters))


def accepted(reply: Reply) -> bool:
    """The nonce was taken: what is wrong now is the asset."""
    return (reply.status, reply.json()) == (400, {"error": "Cannot resolve DID"})


def test_unknown_address_has_nonce_one_as_text_and_asking_stores_nothing(server: DemoServer) -> None:
    for _ in range(2):
        reply = ask(server, NEVER_SEEN)
        assert (reply.status, reply.body) == (200, b'{"nonce":"1"}\n')


def test_last_nonce_is_told_in_any_case_of_the_address(chain: DemoChain, server: DemoServer) -> None:
    signer = Signer(chain, server, SPARE_KEYS[0])
    address = signer.consumer.address
    assert accepted(signer.spend("5"))
    for text in (address, address.lower(), "0x" + address[2:].upper()):
        assert ask(server, text).json() == {"nonce": "5"}


@pytest.mark.parametrize(
    "address",
    [
        "0x",
        "0x12",
        "zz" * 21,
        "0x" + "g" * 40,
        "0x" + "a" * 41,
        "a" * 40,
        "\u0660" * 42,
        "a" * 10_000,
        "'; drop--",
        " ",
    ],
)
def test_malformed_addresses_are_400(server: DemoServer, address: str) -> None:
    reply = ask(server, address)
    assert reply.status == 400
    assert list(reply.json()["errors"]) == ["userAddress"]


@pytest.mark.parametrize("address", [12, 1.5, True, ["x"], {"a": 1}, [], None, ""])
def test_addresses_of_another_type_are_400(server: DemoServer, address: object) -> None:
    body = json.dumps({"userAddress": address}).encode()
    url = f"{server.url}/api/services/nonce"
    reply = request("GET", url, body=body, headers={"Content-Type": "application/json"})
    assert reply.status == 400
    assert list(reply.json()["errors"]) == ["userAddress"]


def test_nonces_must_rise_and_are_compared_as_numbers(chain: DemoChain, server: DemoServer) -> None:
    """Text order would take 10 for less than 9; floats would take 2^53 and 2^53 + 1 for equal."""
    signer = Signer(chain, server, SPARE_KEYS[1])
    rising = ["9", "10", "10.5", "1644315615.24195"]
    large = ["9007199254740992", "9007199254740993", "1e30", "1" + "0" * 40]
    for nonce in (*rising, *large):
        assert accepted(signer.spend(nonce)), nonce
    for nonces in ([*rising, "-1", "0"], [*large, "1" + "0" * 40 + ".0", "+" + "1" + "0" * 40]):
        for nonce in nonces:
            reply = signer.spend(nonce)
            assert reply.status == 400
            assert reply.json()["errors"]["signature"] == nonce_refusal(
                rising[-1] if nonces[0] == "9" else large[-1], nonce
            )


def test_equal_nonce_is_refused_with_the_documented_body(chain: DemoChain, server: DemoServer) -> None:
    signer = Signer(chain, server, SPARE_KEYS[2])
    assert accepted(signer.spend("7"))
    reply = signer.spend("7")
    assert (reply.status, reply.json()) == (
        400,
        {"errors": {"signature": nonce_refusal("7", "7")}, "message": "Validation error", "success": False},
    )


@pytest.mark.parametrize(
    "nonce",
    ["nan", "NaN", "inf", "-inf", "Infinity", "1e999", "0x10", "1_0", "\u0661", "1" * 101, "1" * 10_000, "1,5", "x"],
    ids=lambda nonce: nonce[:12],
)
def test_nonces_that_are_no_finite_number_are_400(
    server: DemoServer, consumer: Consumer, bought: tuple[Published, str], nonce: str
) -> None:
    parameters = consumer.download_parameters(*bought, nonce=nonce)
    reply = request("GET", with_query(f"{server.url}/api/services/download", parameters))
    assert (reply.status, reply.json()["errors"]) == (400, {"nonce": ["The nonce must be a number."]})


def test_wrong_signature_spends_nothing(chain: DemoChain, server: DemoServer) -> None:
    signer = Signer(chain, server, SPARE_KEYS[3])
    wrong = signer.spend("50", signature=signer.consumer.sign("another text", "50"))
    assert wrong.status == 400
    assert isinstance(wrong.json()["errors"]["signature"], str)
    assert ask(server, signer.consumer.address).json() == {"nonce": "1"}


@pytest.mark.parametrize(
    "signature",
    ["0x", "00" * 65, "0x" + "00" * 64, "0x" + "ff" * 65, "z" * 130, "0x" + " " * 130, "a" * 10_000, "1"],
    ids=lambda text: text[:10],
)
def test_malformed_signatures_are_a_plain_string_error(
    server: DemoServer, consumer: Consumer, bought: tuple[Published, str], signature: str
) -> None:
    parameters = consumer.download_parameters(*bought, signature=signature)
    reply = request("GET", with_query(f"{server.url}/api/services/download", parameters))
    assert reply.status == 400
    assert isinstance(reply.json()["errors"]["signature"], str)
    assert signature not in reply.body.decode() or len(signature) < 5


@pytest.mark.parametrize("value", [None, ""], ids=["absent", "empty"])
def test_missing_signature_is_a_list(
    server: DemoServer, consumer: Consumer, bought: tuple[Published, str], value: str | None
) -> None:
    parameters = consumer.download_parameters(*bought, signature=value)
    reply = request("GET", with_query(f"{server.url}/api/services/download", parameters))
    expected = {"signature": ["Invalid signature provided. Please check the nonce or documentId."]}
    assert (reply.status, reply.json()["errors"]) == (400, expected)


@pytest.mark.parametrize("form", ["0x with v 27", "bare", "upper case", "v 0 or 1"])
def test_signatures_are_taken_in_every_form_clients_write(chain: DemoChain, server: DemoServer, form: str) -> None:
    signer = Signer(chain, server, SPARE_KEYS[4])
    nonce = str(time.time_ns())
    text = signer.consumer.sign(UNKNOWN_DID, nonce)
    written = {
        "0x with v 27": text,
        "bare": text[2:],
        "upper case": "0x" + text[2:].upper(),
        "v 0 or 1": text[:-2] + f"{int(text[-2:], 16) - 27:02x}",
    }[form]
    assert accepted(signer.spend(nonce, signature=written))


def test_one_of_many_equal_requests_gets_through(
    server: DemoServer, consumer: Consumer, bought: tuple[Published, str]
) -> None:
    url = consumer.download_url(*bought)
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(lambda _: request("GET", url).status, range(40)))
    assert sorted(statuses) == [200] + [400] * 39


def test_lower_case_address_does_not_open_the_door_for_a_replay(
    server: DemoServer, consumer: Consumer, bought: tuple[Published, str]
) -> None:
    """[K4]"""
    parameters = consumer.download_parameters(*bought)
    url = f"{server.url}/api/services/download"
    assert request("GET", with_query(url, parameters)).status == 200
    for address in (consumer.address.lower(), "0x" + consumer.address[2:].upper()):
        reply = request("GET", with_query(url, {**parameters, "consumerAddress": address}))
        nonce = str(parameters["nonce"])
        assert (reply.status, reply.json()["errors"]["signature"]) == (400, nonce_refusal(nonce, nonce))
