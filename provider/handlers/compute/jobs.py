"""`compute`: start, watch, stop and delete jobs. What the operator service answers is passed on as it is."""

from provider.auth import messages
from provider.auth.identify import Identifier
from provider.compute.operator import Operator
from provider.compute.starting import Starting
from provider.errors import OperatorUnavailable
from provider.handlers.base import Endpoint, Frame
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


class OperatorEndpoint(Endpoint):
    """Base of endpoints that pass an answer of the operator service on."""

    def pass_on(self, status: int, body: bytes) -> None:
        """Status and JSON body unchanged; a refusal that is no JSON, of a proxy in between, keeps its status only.

        Raises OperatorUnavailable for a success that is no JSON.
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


class ComputeStartEndpoint(OperatorEndpoint):
    """`POST compute`."""

    endpoint = "computeStart"
    max_body_bytes = RAW_ALGORITHM_BODY_BYTES

    def initialize(self, *, frame: Frame, identifier: Identifier, gate: Gate, starting: Starting) -> None:
        """The parts in the order they are used."""
        super().initialize(frame=frame)
        self._identifier = identifier
        self._gate = gate
        self._starting = starting

    async def handle(self) -> None:
        """`provider-api.md` sections 5.8 and 10.1; the nonce is spent before any other work."""
        arguments = self.arguments()
        request = StartComputeRequest.parse(arguments, presented_token(arguments, self.request.headers))
        signed = request.signed
        await self._identifier.identify(
            client=self.client,
            address=signed.address,
            messages=messages.start_compute(
                consumer=signed.claimed, job_id=request.job_id, dataset_did=request.dataset.did, nonce=signed.nonce
            ),
            signature=signed.signature,
            nonce=signed.nonce,
            token=signed.token,
        )
        job = request.job()
        named = tuple(Subject(item.did, item.service_id) for item in job.datasets)
        algorithm = job.algorithm.item
        await self._gate.ask_role_for_compute(
            job.consumer,
            datasets=named[:1],
            algorithms=(Subject(algorithm.did, algorithm.service_id),) if algorithm is not None else (),
            additional_datasets=named[1:],
        )
        reply = await self._starting.start(job)
        self.pass_on(reply.status, reply.body)


class ComputeStatusEndpoint(OperatorEndpoint):
    """`GET compute`: anybody may look."""

    endpoint = "computeStatus"

    def initialize(self, *, frame: Frame, operator: Operator) -> None:
        """`operator` is asked."""
        super().initialize(frame=frame)
        self._operator = operator

    async def handle(self) -> None:
        """`provider-api.md` section 5.9."""
        request = ComputeStatusRequest.parse(self.arguments())
        reply = await self._operator.jobs(
            "GET", owner=request.owner, job_id=request.job_id, document_id=request.document_id
        )
        self.pass_on(reply.status, reply.body)


class ComputeStopEndpoint(OperatorEndpoint):
    """`PUT compute`."""

    endpoint = "computeStop"

    def initialize(self, *, frame: Frame, identifier: Identifier, gate: Gate, operator: Operator) -> None:
        """The parts in the order they are used."""
        super().initialize(frame=frame)
        self._identifier = identifier
        self._gate = gate
        self._operator = operator

    async def handle(self) -> None:
        """`provider-api.md` section 5.9, with a job named [K44]."""
        arguments = self.arguments()
        request = ChangeComputeRequest.parse(arguments, presented_token(arguments, self.request.headers))
        request.require_job()
        await self.identify(request)
        # What job this is about only the operator knows: no asset can be named [K36].
        await self._gate.ask_role_for_compute(request.signed.address)
        reply = await self._operator.jobs(
            str(self.request.method),
            owner=request.signed.claimed,
            job_id=request.job_id,
            document_id=request.document_id,
        )
        self.pass_on(reply.status, reply.body)

    async def identify(self, request: ChangeComputeRequest) -> None:
        """Prove who asks. Raises what `Identifier.identify` raises."""
        signed = request.signed
        await self._identifier.identify(
            client=self.client,
            address=signed.address,
            messages=messages.stop_compute(
                consumer=signed.claimed, job_id=request.job_id, document_id=request.document_id, nonce=signed.nonce
            ),
            signature=signed.signature,
            nonce=signed.nonce,
            token=signed.token,
        )


class ComputeDeleteEndpoint(ComputeStopEndpoint):
    """`DELETE compute`."""

    endpoint = "computeDelete"

    async def identify(self, request: ChangeComputeRequest) -> None:
        """As for a stop; the messages of the newer clients differ."""
        signed = request.signed
        await self._identifier.identify(
            client=self.client,
            address=signed.address,
            messages=messages.delete_compute(
                consumer=signed.claimed, job_id=request.job_id, document_id=request.document_id, nonce=signed.nonce
            ),
            signature=signed.signature,
            nonce=signed.nonce,
            token=signed.token,
        )
