"""The forms of a manifest, and distinct names."""

import json
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from provider.links.facts import FileFacts
from provider.links.manifest import JSON, METALINK, URI_LIST, LinkedFile, Manifest, distinct_names, link_url
from provider.upstream.source import Headers

FACTS = FileFacts(Headers([("ETag", '"1"'), ("Content-Type", "text/csv")]), 12, ranges=True)
MANIFEST = Manifest(
    ("documentId", "did:op:1"),
    1_764_547_200,
    [
        LinkedFile(0, "a & <b>.csv", "https://p.example/d/1/a", FACTS),
        LinkedFile(1, "c", "https://p.example/d/2/c", None),
    ],
)


def test_json() -> None:
    assert json.loads(MANIFEST.text(JSON)) == {
        "documentId": "did:op:1",
        "expires": "2025-12-01T00:00:00Z",
        "files": [
            {
                "index": 0,
                "name": "a & <b>.csv",
                "url": "https://p.example/d/1/a",
                "length": 12,
                "contentType": "text/csv",
                "etag": '"1"',
                "ranges": True,
            },
            {"index": 1, "name": "c", "url": "https://p.example/d/2/c"},
        ],
    }


def test_metalink_escapes_names() -> None:
    files = ElementTree.fromstring(MANIFEST.text(METALINK))
    assert [file.attrib["name"] for file in files] == ["a & <b>.csv", "c"]


def test_lines_end_as_rfc_2483_says() -> None:
    assert MANIFEST.text(URI_LIST) == b"https://p.example/d/1/a\r\nhttps://p.example/d/2/c\r\n"


@given(st.lists(st.sampled_from(["a.csv", "A.csv", "a-1.csv", "a-2.csv", "b", "b-1", ""])))
def test_names_are_distinct_on_every_system(names: list[str]) -> None:
    found = distinct_names(names)
    assert len({name.lower() for name in found}) == len(names)


def test_a_name_stands_in_a_url_as_one_segment() -> None:
    assert link_url("https://p.example", "1t", "a/b?c#d é.csv") == "https://p.example/d/1t/a%2Fb%3Fc%23d%20%C3%A9.csv"
