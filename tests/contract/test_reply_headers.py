"""What every answer says to caches and browsers, whoever gives it."""

from email.parser import BytesHeaderParser
from pathlib import Path

import pytest

from provider.errors import NotHttp, ServerBusy
from provider.handlers.about.docs import DocsAssetEndpoint
from provider.handlers.base import Endpoint
from provider.handlers.downloads.streaming import StreamingEndpoint
from provider.handlers.fallbacks import refusal_of_unread
from provider.http1.listener import prepared_answer
from tests.contract.test_accounting import answers, fails, raising, serving


def checked_header(reply: bytes) -> str:
    """The `Cache-Control` of a whole answer, which tells browsers to believe its type."""
    fields = BytesHeaderParser().parsebytes(reply.partition(b"\r\n")[2])
    assert fields.get_all("X-Content-Type-Options") == ["nosniff"]
    (value,) = fields.get_all("Cache-Control", [])
    return str(value)


def expected(endpoint: type[Endpoint]) -> str:
    return "private, no-store" if issubclass(endpoint, StreamingEndpoint) else "no-store"


@pytest.mark.gen_test(timeout=60)
@pytest.mark.parametrize("handle", [answers, raising(NotHttp), raising(RuntimeError)], ids=["200", "400", "500"])
async def test_answers_of_every_route_are_not_to_be_stored(handle, tmp_path: Path) -> None:
    async with serving(tmp_path / "provider.db") as served:
        served.serve(handle)
        for route in served.routes:
            assert checked_header(await served.ask(route)) == expected(route.endpoint), route


@pytest.mark.gen_test(timeout=60)
async def test_answers_before_a_request_is_handled_are_not_to_be_stored(tmp_path: Path) -> None:
    async with serving(tmp_path / "provider.db") as served:
        served.serve(answers, prepare=fails)
        for route in served.routes:
            assert checked_header(await served.ask(route)) == expected(route.endpoint), route
        assert checked_header(refusal_of_unread(served.parts.frame, NotHttp())) == "no-store"
        assert checked_header(bytes(prepared_answer(ServerBusy()))) == "no-store"


@pytest.mark.gen_test(timeout=60)
async def test_static_pages_may_be_kept(tmp_path: Path) -> None:
    async with serving(tmp_path / "provider.db") as served:
        served.serve_as_they_are()
        told = {}
        for route in served.routes:
            if route.path in ("/", "/spec", "/api/docs/") or route.endpoint is DocsAssetEndpoint:
                told[f"{route.method} {route.path}"] = checked_header(await served.ask(route, "Accept: text/html"))
        assert set(told.values()) == {"no-cache", "public, max-age=31536000, immutable"}
        assert len(told) == 7
