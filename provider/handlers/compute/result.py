"""`GET computeResult`: a result of a job, streamed from the operator service like any download."""

from dataclasses import dataclass
from functools import partial

from provider.auth import messages
from provider.auth.identify import Identifier, Signed
from provider.books.record import of_result
from provider.compute.results import JobResult, JobResults
from provider.errors import OperatorUnavailable, UpstreamError
from provider.handlers.compute.jobs import OperatorEndpoint
from provider.handlers.compute.params import ComputeResultRequest
from provider.handlers.downloads.quota_gate import QuotaGate, key_of_result
from provider.handlers.downloads.streaming import S, StreamDeps, StreamingEndpoint, file_name_of
from provider.handlers.identity.token_params import presented_token
from provider.streaming.relay import Relayed
from provider.upstream.answer import Answer, Refused
from provider.upstream.http_source import HttpSource
from provider.upstream.wish import Wish, read_wish

# A refusal is one sentence. A longer body is not shown.
MAX_REFUSAL_BYTES = 64 * 1024


class ResultEndpoint(StreamingEndpoint[S], OperatorEndpoint[S]):
    """Base of endpoints that send a result of a job."""

    async def send_result(
        self, results: JobResults, result: JobResult, consumer: str, *, signature: str, name: str | None = None
    ) -> Relayed | None:
        """Stream the result as the request's range and conditions say; the operator's refusal is passed on.

        Args:
            results: opens it.
            result: which one.
            consumer: whose stream it is, for the limits.
            signature: the consumer's signature for the operator.
            name: name of the file; None for the operator's.

        Raises:
            OperatorUnavailable: no answer, or one that is neither a file nor a refusal.
            ProviderError: as `hold_quota` and `stream`.
        """
        quotas = self.deps.quotas
        taker = None if quotas is None else await quotas.result_taker(consumer)
        with self.deps.limits.admitted(consumer) as slot:
            if self.deps.limits.leases is not None:
                await self.deps.limits.count_everywhere(slot)
            opened = await self.opened_result(results, result, read_wish(self.request.headers), signature=signature)
            if opened is None:
                return None
            source, answer = opened
            if self.use is not None:
                # The operator service knows whose job it is.
                self.use.is_bought = True
            name = name or file_name_of(source.headers, None)
            hold = None
            if quotas is not None and taker is not None:
                body = quotas.body(key_of_result(result), answer)
                hold = await self.hold_quota(quotas.quotas, taker, body, source)
            return await self.stream(
                source,
                answer,
                slot,
                name=name,
                reopen=lambda rest: results.ask_rest(result, rest, signature=signature),
                service_type="compute",
                file_type="result",
                hold=hold,
            )

    async def opened_result(
        self, results: JobResults, result: JobResult, wish: Wish, *, signature: str
    ) -> tuple[HttpSource, Answer] | None:
        """The open result and its answer; None if the operator refused, which is passed on. Raises as `send_result`."""
        try:
            source, answer = await self.opened(
                lambda asked: results.ask(result, asked, signature=signature), wish, "result"
            )
        except UpstreamError as error:
            raise OperatorUnavailable(detail=f"operator: {error.detail or error.code}") from error
        if not isinstance(answer, Refused):
            return source, answer
        if source.status == 206:
            source.close()
            raise OperatorUnavailable(detail=f"operator: {answer.detail}")
        self.pass_on(source.status, await _refusal(source))
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeResultDeps(StreamDeps):
    """The parts in the order they are used."""

    identifier: Identifier
    results: JobResults


class ComputeResultEndpoint(ResultEndpoint[ComputeResultDeps]):
    """Streams a result. The signature proves who asks; the operator knows whose job it is."""

    endpoint = "computeResult"

    async def handle(self) -> None:
        """Stream the result (`provider-api.md` section 5.10). The nonce is spent before the operator is asked."""
        arguments = self.arguments()
        request = ComputeResultRequest.parse(arguments, presented_token(arguments, self.request.headers))
        signed = request.signed
        self.enter("signature")
        consumer = await self.deps.identifier.identify(
            signed,
            messages.compute_result(
                consumer=signed.claimed, job_id=request.job_id, index=request.index, nonce=signed.nonce
            ),
            client=self.client,
            enter=self.enter,
            before_nonce=None if self.deps.quotas is None else partial(self._check_quota, self.deps.quotas, signed),
        )
        result = JobResult(request.job_id, request.index, signed.claimed)
        self.use = of_result(consumer, request.job_id)
        await self.send_result(self.deps.results, result, consumer, signature=signed.signature)

    async def _check_quota(self, quotas: QuotaGate, signed: Signed) -> None:
        await quotas.result_taker(signed.address)


async def _refusal(source: HttpSource) -> bytes:
    """Return the body of a refusal; empty if it is incomplete or too long."""
    buffer, body = memoryview(bytearray(MAX_REFUSAL_BYTES)), bytearray()
    try:
        while (count := await source.read_into(buffer)) and len(body) <= MAX_REFUSAL_BYTES:
            body += buffer[:count]
    except UpstreamError:
        body.clear()
    finally:
        source.close()
    return bytes(body) if len(body) <= MAX_REFUSAL_BYTES else b""
