"""`GET computeResult`: a result of a job, streamed from the operator service like any download."""

from collections.abc import Awaitable
from dataclasses import dataclass

from provider.auth import messages
from provider.auth.identify import Identifier
from provider.compute.operator import Operator
from provider.errors import OperatorUnavailable, UpstreamError
from provider.handlers.compute.jobs import OperatorEndpoint
from provider.handlers.compute.params import ComputeResultRequest
from provider.handlers.downloads.streaming import StreamDeps, StreamingEndpoint
from provider.handlers.identity.token_params import presented_token
from provider.upstream.answer import Refused
from provider.upstream.http_source import HttpOrigin, HttpSource
from provider.upstream.resume import Rest, for_rest
from provider.upstream.source import HttpRequest, Source
from provider.upstream.wish import NO_WISH, Wish, read_wish

# Refusals are a sentence; of anything longer nothing is shown.
MAX_REFUSAL_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeResultDeps(StreamDeps):
    """`origin` connects to the operator service only, so it has no address guard."""

    identifier: Identifier
    operator: Operator
    origin: HttpOrigin


class ComputeResultEndpoint(StreamingEndpoint[ComputeResultDeps], OperatorEndpoint[ComputeResultDeps]):
    """Who asks is proven, whose job it is the operator knows."""

    endpoint = "computeResult"

    async def handle(self) -> None:
        """`provider-api.md` section 5.10; the nonce is spent before the operator is asked."""
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
        )

        def wanted(wish: Wish) -> HttpRequest:
            # Signed anew each time, as the operator takes a nonce once.
            return self.deps.operator.result(
                owner=signed.claimed,
                job_id=request.job_id,
                index=request.index,
                consumer_signature=signed.signature,
                asked=wish.fields,
            )

        def ask(wish: Wish) -> Awaitable[HttpSource]:
            return self.deps.origin.open(wanted(wish))

        def reopen(rest: Rest) -> Awaitable[Source]:
            return self.deps.origin.open(for_rest(wanted(NO_WISH), rest))

        with self.deps.limits.admitted(consumer) as slot:
            if self.deps.limits.leases is not None:
                await self.deps.limits.count_everywhere(slot)
            try:
                source, answer = await self.opened(ask, read_wish(self.request.headers), "result")
            except UpstreamError as error:
                raise OperatorUnavailable(detail=f"operator: {error.detail or error.code}") from error
            if not isinstance(answer, Refused):
                await self.stream(
                    source, answer, slot, url_path=None, reopen=reopen, service_type="compute", file_type="result"
                )
            elif source.status == 206:
                source.close()
                raise OperatorUnavailable(detail=f"operator: {answer.detail}")
            else:
                self.pass_on(source.status, await _refusal(source))


async def _refusal(source: HttpSource) -> bytes:
    """Body of a refusal, empty when there is no whole one of acceptable size."""
    buffer, body = memoryview(bytearray(MAX_REFUSAL_BYTES)), bytearray()
    try:
        while (count := await source.read_into(buffer)) and len(body) <= MAX_REFUSAL_BYTES:
            body += buffer[:count]
    except UpstreamError:
        body.clear()
    finally:
        source.close()
    return bytes(body) if len(body) <= MAX_REFUSAL_BYTES else b""
