"""Which clients get the page at `/`, and its content."""

import base64
import hashlib
import re

import pytest

from provider.handlers.about.root import build_page
from provider.handlers.accept import wants_page

CHROMIUM = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8"
SAFARI = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
JAVA = "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"


@pytest.mark.parametrize(
    "accept", [CHROMIUM, SAFARI, "text/html", "application/xhtml+xml", "text/html, */*", "TEXT/HTML"]
)
def test_who_rates_html_highest_sees_the_page(accept: str) -> None:
    assert wants_page(accept)


@pytest.mark.parametrize(
    "accept",
    ["", "*/*", "application/json", "application/json, text/plain, */*", "application/json, text/html", JAVA,
     "text/html;q=0.5, application/json", "text/html;q=0.5, */*", "text/html;q=0", "text/html;q=x", "text/plain",
     "text/html;q=", "html", ",", "text/html,,"],
)  # fmt: skip
def test_everybody_else_gets_json(accept: str) -> None:
    assert not wants_page(accept)


def test_page_escapes_what_comes_from_files_of_the_operator() -> None:
    name = '<script>alert(1)</script>&"'
    page = build_page([(name, 1, "0xabc")], {"x": ("GET", "/x?<b>")}, node_id="<i>", public_key="<u>").body.decode()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;" in page
    assert not re.search(r"<(b|i|u)>", page)


def test_policy_allows_the_style_that_was_hashed_and_no_script() -> None:
    page = build_page([("Ganache", 8996, "0xabc")], {}, node_id="", public_key="")
    (style,) = re.findall(r"<style>(.*?)</style>", page.body.decode(), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in page.policy
    assert "default-src 'none'" in page.policy
    assert "script-src" not in page.policy
