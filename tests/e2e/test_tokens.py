"""Auth tokens over HTTP: created, used, ended, in the words of Provider 2.1 and of ocean-node; and every forgery."""

import base64
import hashlib
import hmac
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jwt
import pytest

from provider.testing.chain.keys import PROVIDER_KEY, SPARE_KEYS
from provider.testing.http_client import Reply, get_json, request, with_query
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published, url_file
from provider.testing.stage import DemoChain, DemoServer
from tests.e2e.conftest import LaunchServer
from tests.support.metadata_store import StoringPublisher
from tests.support.nonce_refusal import nonce_refusal
from tests.support.origin import CSV, Origin

REFUSED = {
    "errors": {"signature": ["Invalid signature provided. Please check the nonce or documentId."]},
    "message": "Validation error",
    "success": False,
}
INVALID_SIGNATURE = "Invalid signature provided. Please check the nonce or documentId."
CREATE, DELETE = "createAuthToken", "deleteAuthToken"
GENERATE, INVALIDATE = "auth/token", "auth/token/invalidate"


class Holder:
    """A consumer who works with tokens. Nonces come from a clock, so that tests need not share a count."""

    def __init__(self, consumer: Consumer) -> None:
        self.consumer = consumer
        self.address = consumer.address
        self.url = f"{consumer.provider_url}/api/services"

    def nonce(self) -> str:
        return str(time.time_ns())

    def signed(self, command: str, **more: object) -> dict[str, object]:
        """`address`, `nonce` and a signature over both and the command."""
        nonce = str(more.pop("nonce", self.nonce()))
        signature = self.consumer.wallet.sign_text(f"{self.address}{nonce}{command}")
        return {"address": self.address, "nonce": nonce, "signature": signature, **more}

    def create(self, command: str = "", **more: object) -> Reply:
        expiration = more.pop("expiration", int(time.time()) + 3600)
        return request("GET", with_query(f"{self.url}/{CREATE}", self.signed(command, expiration=expiration, **more)))

    def delete(self, token: str, command: str = "", **more: object) -> Reply:
        return request("DELETE", with_query(f"{self.url}/{DELETE}", self.signed(command, token=token, **more)))

    def post(self, name: str, value: object) -> Reply:
        headers = {"Content-Type": "application/json"}
        return request("POST", f"{self.url}/{name}", body=json.dumps(value).encode(), headers=headers)

    def generate(self, command: str = "createAuthToken", **more: object) -> Reply:
        return self.post(GENERATE, self.signed(command, **more))

    def invalidate(self, token: str, command: str = "invalidateAuthToken", **more: object) -> Reply:
        return self.post(INVALIDATE, self.signed(command, token=token, **more))

    def token(self, **more: object) -> str:
        reply = self.create(**more)
        assert reply.status == 200, reply.body
        return str(reply.json()["token"])

    def download(
        self, bought: tuple[Published, str], headers: dict[str, str], *, nonce: str | None = "now", **more: object
    ) -> Reply:
        """A download without signature; `nonce` None leaves it out."""
        asset, order_tx = bought
        parameters = {
            "documentId": asset.did,
            "serviceId": asset.service(0)["id"],
            "transferTxId": order_tx,
            "fileIndex": 0,
            "consumerAddress": self.address,
            "nonce": self.nonce() if nonce == "now" else nonce,
            **more,
        }
        return request("GET", with_query(f"{self.url}/download", parameters), headers=headers)


@pytest.fixture(scope="module")
def holder(chain: DemoChain, server: DemoServer) -> Holder:
    return Holder(Consumer(chain.wallet(SPARE_KEYS[7]), server.url))


@pytest.fixture(scope="module")
def other(chain: DemoChain, server: DemoServer) -> Holder:
    return Holder(Consumer(chain.wallet(SPARE_KEYS[8]), server.url))


@pytest.fixture(scope="module")
def owned(publisher: StoringPublisher, origin: Origin, holder: Holder) -> tuple[Published, str]:
    """An asset with an order of the holder's."""
    asset = publisher.publish([url_file(f"{origin.url}/data.csv")])
    publisher.mint(asset.datatokens[0], holder.address)
    return asset, holder.consumer.order(asset)


def claims(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


# Creating


def test_token_is_a_jwt_with_the_claims_of_the_original(holder: Holder) -> None:
    expiration = int(time.time()) + 600
    token = holder.token(expiration=expiration)
    assert list(claims(token).items()) == [("exp", expiration), ("address", holder.address)]
    assert jwt.get_unverified_header(token) == {"typ": "JWT", "alg": "HS256"}


def test_create_and_delete_take_json_as_well_as_the_query(holder: Holder) -> None:
    headers = {"Content-Type": "application/json"}
    value = holder.signed("", expiration=int(time.time()) + 600)
    created = request("GET", f"{holder.url}/{CREATE}", body=json.dumps(value).encode(), headers=headers)
    assert created.status == 200
    value = holder.signed("", token=created.json()["token"])
    deleted = request("DELETE", f"{holder.url}/{DELETE}", body=json.dumps(value).encode(), headers=headers)
    assert (deleted.status, deleted.json()) == (200, {"success": "Token has been deactivated."})


def test_life_of_a_token_is_capped(holder: Holder) -> None:
    """[K7]"""
    for token in (holder.token(expiration=int(time.time()) + 10**9), holder.generate().json()["token"]):
        assert abs(claims(token)["exp"] - time.time() - 30 * 86_400) < 60


def test_cap_is_a_setting(launch: LaunchServer, chain: DemoChain) -> None:
    server = launch(PROVIDER_TOKEN_MAX_LIFETIME_SECONDS="60", PROVIDER_CONTRACT_ACCOUNTS="false")
    holder = Holder(Consumer(chain.wallet(SPARE_KEYS[7]), server.url))
    assert claims(holder.token())["exp"] - time.time() <= 60
    assert holder.create("something else").json()["errors"]["signature"] == INVALID_SIGNATURE


def test_node_token_ends_when_asked(holder: Holder) -> None:
    for valid_until in (int(time.time()) + 120, (int(time.time()) + 120) * 1000):
        token = holder.generate(validUntil=valid_until).json()["token"]
        assert abs(claims(token)["exp"] - time.time() - 120) < 60


@pytest.mark.parametrize("name", [CREATE, DELETE, GENERATE, INVALIDATE])
def test_nonce_is_used_up_and_the_same_request_works_once(holder: Holder, name: str) -> None:
    """[K7]"""
    token = holder.token()
    act = {
        CREATE: lambda nonce: holder.create(nonce=nonce),
        DELETE: lambda nonce: holder.delete(token, nonce=nonce),
        GENERATE: lambda nonce: holder.generate(nonce=nonce),
        INVALIDATE: lambda nonce: holder.invalidate(token, nonce=nonce),
    }[name]
    nonce = holder.nonce()
    assert act(nonce).status == 200
    assert get_json(f"{holder.url}/nonce", {"userAddress": holder.address}) == {"nonce": nonce}
    replay = act(nonce)
    text = nonce_refusal(nonce, nonce)
    assert (replay.status, replay.json()["errors"]) == (400, {"signature": text})


def test_of_equal_creations_at_once_one_is_served(holder: Holder) -> None:
    value = holder.signed("", expiration=int(time.time()) + 600)
    url = with_query(f"{holder.url}/{CREATE}", value)
    with ThreadPoolExecutor(10) as pool:
        statuses = sorted(pool.map(lambda _: request("GET", url).status, range(10)))
    assert statuses == [200] + [400] * 9


def test_signature_of_another_makes_no_token(holder: Holder, other: Holder) -> None:
    forged = {**other.signed("", expiration=int(time.time()) + 600), "address": holder.address}
    reply = request("GET", with_query(f"{holder.url}/{CREATE}", forged))
    assert (reply.status, reply.json()["errors"]) == (400, {"signature": INVALID_SIGNATURE})
    reply = holder.post(GENERATE, {**other.signed("createAuthToken"), "address": holder.address})
    assert (reply.status, reply.json()["errors"]) == (400, {"signature": INVALID_SIGNATURE})


@pytest.mark.parametrize("name", [CREATE, GENERATE])
def test_token_creates_no_token(holder: Holder, name: str) -> None:
    """Else one that leaked would live for ever."""
    token = holder.token()
    for header in ("AuthToken", "Authorization"):
        value = {"address": holder.address, "nonce": holder.nonce(), "expiration": int(time.time()) + 600}
        url = f"{holder.url}/{name}"
        headers = {header: token, "Content-Type": "application/json"}
        reply = request("GET" if name == CREATE else "POST", url, body=json.dumps(value).encode(), headers=headers)
        assert (reply.status, reply.json()) == (400, REFUSED)


@pytest.mark.parametrize(
    ("expiration", "text"),
    [
        (0, "Invalid timestamp provided."),
        ("1600000000", "Invalid timestamp provided."),
        ("soon", "The expiration must be an integer."),
        ("-1", "The expiration must be an integer."),
        ("", "The expiration field is required."),
    ],
)
def test_expiration_must_lie_in_the_future(holder: Holder, expiration: object, text: str) -> None:
    reply = holder.create(expiration=expiration)
    assert (reply.status, reply.json()["errors"]["expiration"][0]) == (400, text)


# Messages


def test_old_route_takes_every_message_and_the_new_one_never_the_bare(holder: Holder) -> None:
    node = get_json(holder.consumer.provider_url)["nodeId"]
    for command in ("", "createAuthToken", f"createAuthToken{node}"):
        assert holder.create(command).status == 200
    for command in ("createAuthToken", f"createAuthToken{node}"):
        assert holder.generate(command).status == 200
    for command in ("", "createAuthTokenother-node", "invalidateAuthToken", "download"):
        reply = holder.generate(command)
        assert (reply.status, reply.json()["errors"]) == (400, {"signature": INVALID_SIGNATURE})


@pytest.mark.parametrize("command", ["", "invalidateAuthToken"], ids=["bare, as ocean.js 8", "ocean.js 9"])
def test_both_routes_end_a_token_by_either_message(holder: Holder, command: str) -> None:
    token = holder.token()
    assert holder.delete(token, command).json() == {"success": "Token has been deactivated."}
    token = holder.generate().json()["token"]
    reply = holder.invalidate(token, command)
    assert (reply.status, reply.json()) == (200, {"success": True})


def test_what_was_signed_to_create_does_not_end_a_token(holder: Holder) -> None:
    token = holder.token()
    for act in (holder.delete, holder.invalidate):
        for command in ("createAuthToken", "download"):
            assert act(token, command).json()["errors"] == {"signature": INVALID_SIGNATURE}


# Using


@pytest.mark.parametrize("header", ["AuthToken", "authtoken", "Authorization"])
@pytest.mark.parametrize("scheme", ["", "Bearer ", "bearer "])
def test_token_serves_in_place_of_a_signature(
    holder: Holder, owned: tuple[Published, str], header: str, scheme: str
) -> None:
    if scheme and header != "Authorization":
        return
    reply = holder.download(owned, {header: scheme + holder.token()})
    assert (reply.status, reply.body) == (200, CSV)


def test_token_of_either_route_serves_under_either_header(holder: Holder, owned: tuple[Published, str]) -> None:
    for token in (holder.token(), holder.generate().json()["token"]):
        for header in ("AuthToken", "Authorization"):
            assert holder.download(owned, {header: token}).status == 200


def test_case_of_the_address_does_not_matter(holder: Holder, owned: tuple[Published, str]) -> None:
    token = holder.token()
    assert holder.download(owned, {"AuthToken": token}, consumerAddress=holder.address.lower()).status == 200
    nonce = holder.nonce()
    lower = {
        "address": holder.address.lower(),
        "nonce": nonce,
        "expiration": int(time.time()) + 600,
        "signature": holder.consumer.wallet.sign_text(f"{holder.address.lower()}{nonce}"),
    }
    token = str(request("GET", with_query(f"{holder.url}/{CREATE}", lower)).json()["token"])
    assert claims(token)["address"] == holder.address.lower()
    assert holder.download(owned, {"AuthToken": token}).status == 200


def test_signature_always_wins_over_the_token(holder: Holder, owned: tuple[Published, str]) -> None:
    token = holder.token()
    reply = holder.download(owned, {"AuthToken": token, "Authorization": token}, signature="0x" + "00" * 65)
    assert reply.json()["errors"] == {"signature": INVALID_SIGNATURE}
    nonce = holder.nonce()
    good = holder.consumer.sign(owned[0].did, nonce)
    assert holder.download(owned, {"AuthToken": "nonsense"}, nonce=nonce, signature=good).status == 200
    assert holder.download(owned, {"AuthToken": token}, signature="").status == 200


@pytest.mark.parametrize("header", ["AuthToken", "Authorization"])
def test_nonce_of_a_token_must_rise_like_that_of_a_signature(
    holder: Holder, owned: tuple[Published, str], header: str
) -> None:
    """[K9]"""
    token, nonce = holder.token(), holder.nonce()
    assert holder.download(owned, {header: token}, nonce=nonce).status == 200
    assert get_json(f"{holder.url}/nonce", {"userAddress": holder.address}) == {"nonce": nonce}
    for given in (nonce, "5"):
        reply = holder.download(owned, {header: token}, nonce=given)
        text = nonce_refusal(nonce, given)
        assert (reply.status, reply.json()["errors"]) == (400, {"signature": text})
    reply = holder.download(owned, {header: token}, nonce="nan")
    assert reply.json()["errors"] == {"nonce": ["The nonce must be a number."]}


def test_nonce_may_be_left_out_with_authorization_only(holder: Holder, owned: tuple[Published, str]) -> None:
    """ocean.js 8 and 9 build such URLs: the address and no more."""
    token = holder.token()
    before = get_json(f"{holder.url}/nonce", {"userAddress": holder.address})
    for _ in range(2):
        assert holder.download(owned, {"Authorization": f"Bearer {token}"}, nonce=None).status == 200
    assert get_json(f"{holder.url}/nonce", {"userAddress": holder.address}) == before
    reply = holder.download(owned, {"AuthToken": token}, nonce=None)
    assert (reply.status, list(reply.json()["errors"])) == (400, ["nonce"])
    reply = holder.download(owned, {}, nonce=None, signature=holder.consumer.sign(owned[0].did, ""))
    assert (reply.status, list(reply.json()["errors"])) == (400, ["nonce"])


def test_decrypt_takes_a_token(holder: Holder, owned: tuple[Published, str]) -> None:
    asset, _ = owned
    value = {
        "decrypterAddress": holder.address,
        "chainId": 8996,
        "dataNftAddress": asset.data_nft,
        "transactionId": asset.publish_tx,
    }
    for header in ("AuthToken", "Authorization"):
        headers = {"Content-Type": "application/json", header: holder.token()}
        nonce = {"nonce": holder.nonce()} if header == "AuthToken" else {}
        body = json.dumps({**value, **nonce}).encode()
        reply = request("POST", f"{holder.url}/decrypt", body=body, headers=headers)
        assert (reply.status, json.loads(reply.body)["id"]) == (201, asset.did)


# Refusing


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).rstrip(b"=").decode()


def forged(header: object, payload: object, key: bytes) -> str:
    text = f"{part(header)}.{part(payload)}"
    tag = base64.urlsafe_b64encode(hmac.digest(key, text.encode(), hashlib.sha256)).rstrip(b"=").decode()
    return f"{text}.{tag}"


def forgeries(address: str, genuine: str) -> dict[str, str]:
    header, good = {"typ": "JWT", "alg": "HS256"}, {"exp": int(time.time()) + 600, "address": address}
    key = PROVIDER_KEY.encode()
    return {
        "alg none": f"{part({'typ': 'JWT', 'alg': 'none'})}.{part(good)}.",
        "alg none with a signature": forged({"typ": "JWT", "alg": "none"}, good, key),
        "the key of the original [K8]": forged(header, good, key),
        "the key without 0x": forged(header, good, key.removeprefix(b"0x")),
        "the raw key": forged(header, good, bytes.fromhex(PROVIDER_KEY.removeprefix("0x"))),
        "an empty key": forged(header, good, b""),
        "claims of wrong types": forged(header, {"exp": "soon", "address": [address]}, key),
        "other claims under a genuine signature": f"{part(header)}.{part(good)}.{genuine.rpartition('.')[2]}",
        "no signature": genuine.rpartition(".")[0] + ".",
        "a genuine one and more": genuine + "A",
        "HS512": str(jwt.encode(good, key * 2, algorithm="HS512")),
        "no JWT": "nonsense",
        "endless": "a" * 8000,
    }


def test_forged_tokens_are_refused_alike_and_use_up_no_nonce(holder: Holder, owned: tuple[Published, str]) -> None:
    genuine = holder.token()
    for name, token in forgeries(holder.address, genuine).items():
        for header in ("AuthToken", "Authorization"):
            reply = holder.download(owned, {header: token})
            assert (reply.status, reply.json()) == (400, REFUSED), name
        assert holder.delete(token).json() == {"error": "Token is invalid."}, name
        before = get_json(f"{holder.url}/nonce", {"userAddress": holder.address})
        assert holder.download(owned, {"AuthToken": token}).status == 400, name
        assert get_json(f"{holder.url}/nonce", {"userAddress": holder.address}) == before, name


def test_other_schemes_of_authorization_are_no_token(holder: Holder, owned: tuple[Published, str]) -> None:
    """A front proxy with a password of its own stands in the way of nobody who signs."""
    basic = {"Authorization": "Basic dXNlcjpwYXNz"}
    reply = holder.download(owned, basic)
    assert (reply.status, reply.json()) == (400, REFUSED)
    nonce = holder.nonce()
    good = holder.consumer.sign(owned[0].did, nonce)
    assert holder.download(owned, basic, nonce=nonce, signature=good).status == 200


def test_token_serves_its_own_address_only(holder: Holder, other: Holder, owned: tuple[Published, str]) -> None:
    token = other.token()
    reply = holder.download(owned, {"AuthToken": token})
    assert (reply.status, reply.json()) == (400, REFUSED)
    for act in (holder.delete, holder.invalidate):
        assert (act(token).status, act(token).json()) == (400, {"error": "Token is invalid."})
    reply = other.download(owned, {"AuthToken": token})
    assert "sender of order transaction is not the consumer/payer" in reply.json()["error"]


def test_expired_token_is_refused(holder: Holder, owned: tuple[Published, str]) -> None:
    token = holder.token(expiration=int(time.time()) + 2)
    deadline = time.monotonic() + 60
    while (reply := holder.download(owned, {"AuthToken": token})).status == 200:
        assert time.monotonic() < deadline
    assert (reply.status, reply.json()) == (400, REFUSED)
    for act in (holder.delete, holder.invalidate):
        assert (act(token).status, act(token).json()) == (400, {"error": "Token is expired."})


@pytest.mark.parametrize("way", [DELETE, INVALIDATE])
def test_ended_token_is_refused_until_the_same_is_created_again(
    holder: Holder, owned: tuple[Published, str], way: str
) -> None:
    expiration = int(time.time()) + 1000 + (way == DELETE)
    end = holder.delete if way == DELETE else holder.invalidate
    token = holder.token(expiration=expiration)
    assert end(token).status == 200
    for header in ("AuthToken", "Authorization"):
        reply = holder.download(owned, {header: token})
        assert (reply.status, reply.json()) == (400, REFUSED)
    assert (end(token).status, end(token).json()) == (400, {"error": "Token is deleted."})
    assert holder.token(expiration=expiration + 5) != token
    assert holder.download(owned, {"AuthToken": token}).status == 400
    assert holder.token(expiration=expiration) == token
    assert holder.download(owned, {"AuthToken": token}).status == 200


@pytest.mark.parametrize("missing", ["address", "token", "nonce", "signature"])
@pytest.mark.parametrize("name", [DELETE, INVALIDATE])
def test_missing_fields_are_named(holder: Holder, name: str, missing: str) -> None:
    value = {key: item for key, item in holder.signed("", token="a.b.c").items() if key != missing}
    body, headers = json.dumps(value).encode(), {"Content-Type": "application/json"}
    method = "DELETE" if name == DELETE else "POST"
    reply = request(method, f"{holder.url}/{name}", body=body, headers=headers)
    assert (reply.status, list(reply.json()["errors"])) == (400, [missing])


def test_tokens_are_not_logged(holder: Holder, owned: tuple[Published, str], server: DemoServer) -> None:
    token = holder.token()
    holder.download(owned, {"AuthToken": token})
    holder.download(owned, {"Authorization": f"{token}x"})
    holder.delete(token)
    log = server.child.stderr_tail(1 << 24)
    assert token not in log
    assert token.rpartition(".")[2] not in log
    assert "Traceback" not in log
