"""Opens results of jobs at the operator service."""

from collections.abc import Awaitable
from dataclasses import dataclass

from provider.compute.operator import Operator
from provider.upstream.http_origin import HttpOrigin
from provider.upstream.http_source import HttpSource
from provider.upstream.resume import Rest, for_rest
from provider.upstream.source import HttpRequest, Source
from provider.upstream.wish import NO_WISH, Wish


@dataclass(frozen=True, slots=True)
class JobResult:
    """A result of a compute job. Texts are as received; the operator service compares `owner`, an address."""

    job_id: str
    index: str
    owner: str


@dataclass(frozen=True, slots=True)
class JobResults:
    """Opens results of jobs. `origin` connects to the operator service only, so it has no address guard."""

    operator: Operator
    origin: HttpOrigin

    def ask(self, result: JobResult, wish: Wish, *, signature: str) -> Awaitable[HttpSource]:
        """Open the result. `signature`: the consumer's, "" where a token replaced it. Raises UpstreamError."""
        return self.origin.open(self._request(result, wish, signature))

    def ask_rest(self, result: JobResult, rest: Rest, *, signature: str) -> Awaitable[Source]:
        """Open the rest of the result after its body broke off. Raises UpstreamError."""
        return self.origin.open(for_rest(self._request(result, NO_WISH, signature), rest))

    def _request(self, result: JobResult, wish: Wish, signature: str) -> HttpRequest:
        # Signed anew each time, as the operator takes a nonce once.
        return self.operator.result(
            owner=result.owner,
            job_id=result.job_id,
            index=result.index,
            consumer_signature=signature,
            asked=wish.fields,
        )
