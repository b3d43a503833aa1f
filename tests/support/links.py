"""A consumer of links: requests them, and opens them as a plain tool would."""

import json
from collections.abc import Mapping
from typing import Any

from provider.testing.http_client import Reply, request
from provider.testing.market.consumer import Consumer
from provider.testing.market.publisher import Published

JSON = {"Content-Type": "application/json"}


def signed_for_links(consumer: Consumer, asset: Published, tx: str, **more: object) -> dict[str, object]:
    """Signed fields of a request for links; `more` overrides or adds any of them after signing."""
    nonce = consumer.next_nonce()
    return {
        "documentId": asset.did,
        "serviceId": asset.service(0)["id"],
        "transferTxId": tx,
        "consumerAddress": consumer.address,
        "nonce": nonce,
        "signature": consumer.wallet.sign_text(f"{consumer.address}{nonce}createLinks"),
        **more,
    }


def ask_for_links(
    consumer: Consumer, asset: Published, tx: str, headers: Mapping[str, str] | None = None, **more: object
) -> Reply:
    """Reply to a request for links."""
    url = f"{consumer.provider_url}/api/services/links"
    return _send("POST", url, signed_for_links(consumer, asset, tx, **more), headers)


def links(consumer: Consumer, asset: Published, tx: str, **more: object) -> list[dict[str, Any]]:
    """The files of a manifest, which must come."""
    reply = ask_for_links(consumer, asset, tx, **more)
    assert reply.status == 200, reply.body
    files: list[dict[str, Any]] = reply.json()["files"]
    return files


def revoke(consumer: Consumer, **more: object) -> Reply:
    """End links of the consumer."""
    url = f"{consumer.provider_url}/api/services/links"
    return _send("DELETE", url, signed_to_revoke(consumer, **more))


def signed_to_revoke(consumer: Consumer, **more: object) -> dict[str, object]:
    """Signed fields of a request that ends links; `more` adds to them after signing."""
    nonce = consumer.next_nonce()
    return {
        "consumerAddress": consumer.address,
        "nonce": nonce,
        "signature": consumer.wallet.sign_text(f"{consumer.address}{nonce}revokeLinks"),
        **more,
    }


def _send(method: str, url: str, fields: Mapping[str, object], headers: Mapping[str, str] | None = None) -> Reply:
    return request(method, url, body=json.dumps(fields).encode(), headers={**JSON, **(headers or {})})
