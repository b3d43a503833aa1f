"""Sends proofs as forms to the operator's service. Any answer but 2xx is a failure and is tried again.

A proof arrives at least once: if an answer is lost, the same proof is sent again.
"""

import asyncio
import logging

from provider.chain.networks import Networks
from provider.crypto.accounts import Account
from provider.errors import ServiceUnavailable, UnsupportedChain
from provider.outgoing.client import ServiceClient
from provider.proofs.pace import MAX_ATTEMPTS, retry_seconds
from provider.proofs.proof import http_form
from provider.proofs.sql import Entry
from provider.proofs.store import ProofStore

PARALLEL = 8

_log = logging.getLogger(__name__)


class HttpSender:
    """Posts proofs to `path` of the service behind `client`."""

    def __init__(self, client: ServiceClient, path: str, *, networks: Networks, store: ProofStore) -> None:
        self._client = client
        self._path = path
        self._networks = networks
        self._store = store

    async def turn(self) -> bool:
        """Send what is due; True if there may be more. Raises StoreError."""
        entries = await self._store.due("queued", chain_id=None, limit=PARALLEL)
        await asyncio.gather(*(self._send(entry) for entry in entries))
        return len(entries) == PARALLEL

    async def close(self) -> None:
        """Close idle connections."""
        await self._client.close()

    async def _send(self, entry: Entry) -> None:
        account = self._account(entry)
        if account is None:
            await self._store.give_up(entry, "its chain is no longer configured")
            return
        try:
            reply = await self._client.call("POST", self._path, form=http_form(entry.proof, account), with_body=False)
            failure = "" if 200 <= reply.status < 300 else f"status {reply.status}"
        except ServiceUnavailable as error:
            failure = error.detail or "no answer"
        if not failure:
            await self._store.confirm(entry)
        elif entry.attempts + 1 >= MAX_ATTEMPTS:
            await self._store.give_up(entry, failure)
        else:
            _log.info("proof not accepted: %s", failure, extra={"fields": {"kind": "http", "proof": entry.id}})
            await self._store.retry(entry, due_in_seconds=retry_seconds(entry.attempts))

    def _account(self, entry: Entry) -> Account | None:
        try:
            return self._networks.get(entry.proof.chain_id).account
        except UnsupportedChain:
            return None
