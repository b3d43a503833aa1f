"""The operator service, which runs the jobs: its wire (`provider-api.md` sections 10.4 to 10.6) and our signatures.

The operator of this server named its address, so no address guard stands here.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlencode

from provider.crypto.accounts import Account
from provider.crypto.signature import sign_message
from provider.errors import OperatorUnavailable
from provider.outgoing.client import ServiceClient, ServiceReply
from provider.outgoing.sessions import Outgoing
from provider.upstream.source import HttpRequest

_BASE = "/api/v1/operator"
Fields = Sequence[tuple[str, str]]


class Operator:
    """Speaks for this Provider (`account`, checksummed `address`) with the operator service at `base_url`.

    `timeout_seconds` bounds one whole call but that of a result, `max_bytes` one answer. A connection of its own for
    each call: then only what was never sent is sent again [K38].
    """

    def __init__(
        self,
        base_url: str,
        *,
        account: Account,
        address: str,
        timeout_seconds: float,
        max_bytes: int = 16 << 20,
        clock_ns: Callable[[], int] = time.time_ns,
        outgoing: Outgoing | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._account = account
        self._address = address
        self._clock_ns = clock_ns
        self._last_nonce = 0
        self._client = ServiceClient(
            base_url,
            name="operator",
            timeout_seconds=timeout_seconds,
            max_bytes=max_bytes,
            sends_once=True,
            unavailable=OperatorUnavailable,
            outgoing=outgoing,
        )

    async def start(
        self,
        workflow: Mapping[str, object],
        *,
        owner: str,
        agreement_id: str,
        environment: str,
        end: int,
        chain_id: int,
    ) -> ServiceReply:
        """Start a job of `owner` that may run until `end` (unix seconds). Raises OperatorUnavailable."""
        nonce = self._nonce()
        body = {
            "workflow": workflow,
            "providerSignature": self._sign(f"{owner}{nonce}"),
            "agreementId": agreement_id,
            "owner": owner,
            "providerAddress": self._address,
            "environment": environment,
            "validUntil": end,
            "nonce": nonce,
            "chainId": chain_id,
        }
        return await self._client.call("POST", f"{_BASE}/compute", json=body)

    async def jobs(self, method: str, *, owner: str, job_id: str, document_id: str) -> ServiceReply:
        """Status (GET), stop (PUT) or delete (DELETE); empty texts are left out. Raises OperatorUnavailable.

        Without a job the operator means all jobs of the owner.
        """
        nonce = self._nonce()
        fields = [("providerAddress", self._address), ("owner", owner)]
        fields += [(name, text) for name, text in (("jobId", job_id), ("documentId", document_id)) if text]
        fields += [("providerSignature", self._sign(f"{owner}{job_id}{nonce}")), ("nonce", str(nonce))]
        return await self._client.call(method, f"{_BASE}/compute", params=fields)

    async def environments(self, chain_id: int) -> object:
        """The JSON answer about a chain's environments. Raises OperatorUnavailable, also for any other answer."""
        reply = await self._client.call("GET", f"{_BASE}/environments", params=[("chainId", str(chain_id))])
        if reply.status // 100 != 2:
            raise OperatorUnavailable(detail=f"operator: status {reply.status} for the environments of {chain_id}")
        return reply.json()

    def result(
        self, *, owner: str, job_id: str, index: str, consumer_signature: str, asked: Fields = ()
    ) -> HttpRequest:
        """The request for one result of a job, to be opened as a stream; `asked` are a range and conditions."""
        nonce = self._nonce()
        fields: Fields = (
            ("index", index),
            ("owner", owner),
            ("jobId", job_id),
            ("consumerSignature", consumer_signature),
            ("providerSignature", self._sign(f"{owner}{job_id}{nonce}")),
            ("nonce", str(nonce)),
        )
        url = f"{self._base_url}{_BASE}/getResult?{urlencode(fields, errors='replace')}"
        return HttpRequest(method="GET", url=url, headers=(("Accept-Encoding", "identity"), *asked))

    async def close(self) -> None:
        """Close what is open."""
        await self._client.close()

    def _nonce(self) -> int:
        """Nanoseconds, and greater than any before in this process."""
        self._last_nonce = max(self._clock_ns(), self._last_nonce + 1)
        return self._last_nonce

    def _sign(self, message: str) -> str:
        return "0x" + sign_message(self._account, message).hex()
