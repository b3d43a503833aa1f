"""Helpers for tests of the download endpoint: one download as a whole reply, and refusals."""

import json

from provider.testing.http_client import Downloaded, Reply, request, with_query
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published


def order_refusal(tx: str, reason: str) -> str:
    """The text of a refused order."""
    return f"Provider Ganache: Order with tx_id {tx} could not be validated due to error: Provider Ganache: {reason}"


def refused(got: Downloaded | Reply, text: str, status: int = 400) -> bool:
    """Tell whether the reply is a refusal with exactly this text."""
    body = got.error_body if isinstance(got, Downloaded) else got.body
    assert (got.status, json.loads(body)) == (status, {"error": text})
    return True


def ask(consumer: Consumer, asset: Published, tx: str, **more: object) -> Reply:
    """A download read as one reply; `more` as `Consumer.download_parameters`."""
    parameters = consumer.download_parameters(asset, tx, **more)  # type: ignore[arg-type]
    return request("GET", with_query(f"{consumer.provider_url}/api/services/download", parameters))
