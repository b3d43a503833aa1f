"""What serves is described, and what is described serves: the route table of a built application."""

import json
from pathlib import Path

import pytest

from provider.app.build import build
from provider.config.load import load_settings
from provider.handlers.about.docs import DocsAssetEndpoint
from provider.observability.metrics import Metrics
from provider.openapi.operations import OPERATIONS
from provider.testing.chain.keys import PROVIDER_KEY

NOWHERE = "http://127.0.0.1:9"
# With everything on that adds routes.
ENVIRON = {
    "NETWORK_URL": json.dumps({"1": NOWHERE}),
    "PROVIDER_PRIVATE_KEY": json.dumps({"1": PROVIDER_KEY}),
    "UNIVERSAL_PRIVATE_KEY": PROVIDER_KEY,
    "AQUARIUS_URL": NOWHERE,
    "OPERATOR_SERVICE_URL": NOWHERE,
    "POLICY_SERVER_URL": NOWHERE,
}


@pytest.mark.gen_test(timeout=20)
async def test_routes_and_descriptions_are_the_same(tmp_path: Path) -> None:
    settings = load_settings({**ENVIRON, "STORAGE_PATH": str(tmp_path / "provider.db")})
    parts = await build(settings, Metrics(), index_here=False)
    try:
        # Files of the page are not the API.
        served = {
            (route.method, route.path) for route in parts.router.routes if route.endpoint is not DocsAssetEndpoint
        }
    finally:
        await parts.close()
    assert served - OPERATIONS.keys() == set(), "describe them in provider/openapi/operations.py"
    assert OPERATIONS.keys() - served == set(), "described, but no route serves them"
