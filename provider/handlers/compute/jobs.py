"""`compute`: start, watch, stop and delete jobs. Answers of the operator service are passed on unchanged."""

from dataclasses import dataclass

from provider.auth import messages
from provider.auth.identify import Identifier
from provider.compute.operator import Operator
from provider.compute.starting import Starting
from provider.errors import OperatorUnavailable
from provider.handlers.base import D, Endpoint
from provider.handlers.compute.params import (
    RAW_ALGORITHM_BODY_BYTES,
    ChangeComputeRequest,
    ComputeStatusRequest,
    StartComputeRequest,
)
from provider.handlers.identity.token_params import presented_token
from provider.policy.gate import Gate
from provider.policy.rbac import Subject
from provider.wire.json import read_json

REFUSED = b'{"error":"The compute service refused the request."}'


class OperatorEndpoint(Endpoint[D]):
    """Base of endpoints that pass on an answer of the operator service."""

    def pass_on(self, status: int, body: bytes) -> None:
        """Send status and JSON body unchanged. A refusal that is not JSON, as of a proxy, keeps only its status.

        Raises OperatorUnavailable for a success that is not JSON.
        """
        if _is_json(body):
            shown = body
        elif status >= 400:
            shown = REFUSED
        else:
            raise OperatorUnavailable(detail=f"operator: status {status} without JSON")
        self.facts["operator_status"] = status
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.set_header("Content-Length", str(len(shown)))
        self.write(shown)


def _is_json(body: bytes) -> bool:
    try:
        read_json(body)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class ComputeStartDeps:
    """The parts in the order they are used."""

    identifier: Identifier
    gate: Gate
    starting: Starting


class ComputeStartEndpoint(OperatorEndpoint[ComputeStartDeps]):
    """`POST compute`."""

    endpoint = "computeStart"
    max_body_bytes = RAW_ALGORITHM_BODY_BYTES

    async def handle(self) -> None:
        """Start the job (`provider-api.md` sections 5.8 and 10.1). The nonce is spent before any other work."""
        arguments = self.arguments()
        request = StartComputeRequest.parse(arguments, presented_token(arguments, self.request.headers))
        signed = request.signed
        await self.deps.identifier.identify(
            signed,
            messages.start_compute(
                consumer=signed.claimed, job_id=request.job_id, dataset_did=request.dataset.did, nonce=signed.nonce
            ),
            client=self.client,
        )
        job = request.job()
        named = tuple(Subject(item.did, item.service_id) for item in job.datasets)
        algorithm = job.algorithm.item
        await self.deps.gate.ask_role_for_compute(
            job.consumer,
            datasets=named[:1],
            algorithms=(Subject(algorithm.did, algorithm.service_id),) if algorithm is not None else (),
            additional_datasets=named[1:],
        )
        reply = await self.deps.starting.start(job)
        self.pass_on(reply.status, reply.body)


class ComputeStatusEndpoint(OperatorEndpoint[Operator]):
    """`GET compute`, open to everybody."""

    endpoint = "computeStatus"

    async def handle(self) -> None:
        """Report jobs (`provider-api.md` section 5.9)."""
        request = ComputeStatusRequest.parse(self.arguments())
        reply = await self.deps.jobs("GET", owner=request.owner, job_id=request.job_id, document_id=request.document_id)
        self.pass_on(reply.status, reply.body)


@dataclass(frozen=True, slots=True)
class ComputeChangeDeps:
    """The parts in the order they are used."""

    identifier: Identifier
    gate: Gate
    operator: Operator


class ComputeStopEndpoint(OperatorEndpoint[ComputeChangeDeps]):
    """`PUT compute`."""

    endpoint = "computeStop"
    texts = staticmethod(messages.stop_compute)
    """The messages that a client may sign."""

    async def handle(self) -> None:
        """Stop the named job (`provider-api.md` section 5.9) [K44]."""
        arguments = self.arguments()
        request = ChangeComputeRequest.parse(arguments, presented_token(arguments, self.request.headers))
        request.require_job()
        signed = request.signed
        texts = self.texts(
            consumer=signed.claimed, job_id=request.job_id, document_id=request.document_id, nonce=signed.nonce
        )
        await self.deps.identifier.identify(signed, texts, client=self.client)
        # Only the operator knows the job's asset, so none can be named [K36].
        await self.deps.gate.ask_role_for_compute(signed.address)
        reply = await self.deps.operator.jobs(
            str(self.request.method),
            owner=signed.claimed,
            job_id=request.job_id,
            document_id=request.document_id,
        )
        self.pass_on(reply.status, reply.body)


class ComputeDeleteEndpoint(ComputeStopEndpoint):
    """`DELETE compute`. Newer clients sign another message than for a stop."""

    endpoint = "computeDelete"
    texts = staticmethod(messages.delete_compute)
