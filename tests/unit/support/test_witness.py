"""The reader of all replies and logs sees a secret in every form in which one could slip out."""

from urllib.parse import quote

import pytest

from tests.support.witness import Witness

SIGNATURE = "0x" + "Ab" * 64 + "1c"
URL = "http://origin.example:8080/planted/data.csv?key=1"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.c2lnbmF0dXJl"


@pytest.fixture
def witness() -> Witness:
    planted = Witness()
    planted.plant_hex(SIGNATURE)
    planted.plant_hex("11" * 32)
    planted.plant_files([{"type": "url", "url": URL}, {"type": "url", "url": "http://origin.example"}])
    planted.tokens.add(TOKEN.encode())
    return planted


@pytest.mark.parametrize(
    "text",
    [
        f'{{"error":"Invalid signature {SIGNATURE}"}}',
        SIGNATURE.upper(),
        SIGNATURE[2:-2],
        "key=0x" + "11" * 32,
        f"cannot fetch {URL}",
        f"next={quote(URL, safe='')}",
        URL.replace("/", "\\/"),
        f"Location: {URL}&more=1",
        f"AuthToken: {TOKEN}",
        "X-Secret: planted-Zz9",
    ],
)
def test_secret_is_seen(witness: Witness, text: str) -> None:
    witness.look(text.encode(), "a reply")
    assert len(witness.found) == 1


@pytest.mark.parametrize(
    "text",
    ["", "{}", "http://origin.example/", "ab" * 32, "22" * 65, "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjJ9.c2lnbmF0dXJl"],
)
def test_everything_else_is_passed_over(witness: Witness, text: str) -> None:
    witness.look(text.encode(), "a reply")
    assert witness.found == []
