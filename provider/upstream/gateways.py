"""Gateways that the operator configured, asked in turn until one has the file.

A gateway's own host may be on a private network: it is the operator's word, not a publisher's. Where a gateway
redirects to is a stranger's word again and passes the address guard, also when it leads back to the gateway.
"""

import time
from collections.abc import Callable, Sequence

from provider.errors import UpstreamError, UpstreamTimedOut, UpstreamUnreachable
from provider.upstream.http_source import HttpOrigin, HttpSource
from provider.upstream.patience import refusal
from provider.upstream.request_head import Redirect
from provider.upstream.resume import may_pass
from provider.upstream.source import HttpRequest

# Any other status says only that this gateway does not give the file: not pinned, not paid, not allowed, not yet.
_ANSWERS = frozenset((200, 206, 416))
# These answer a request that has a condition (RFC 9110 section 13.1).
_OF_CONDITIONS = frozenset((304, 412))
_CONDITIONS = frozenset(("if-match", "if-none-match", "if-modified-since", "if-unmodified-since"))
# A gateway that did not answer at all is asked last for so long, so that not every request waits for it.
_EJECTION_SECONDS = 30.0


class Gateways:
    """`own` opens the gateways themselves and shares no connection with `guarded`, which follows redirects."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        own: HttpOrigin,
        guarded: HttpOrigin,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._urls = tuple(urls)
        self._own = own
        self._guarded = guarded
        self._clock = clock
        self._ejected_until: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._urls)

    async def open(
        self,
        request_at: Callable[[str], HttpRequest],
        *,
        accepts: Callable[[HttpSource], bool] | None = None,
        resuming: bool = False,
    ) -> HttpSource:
        """The first answer about the file itself; no body byte was read before.

        `request_at` makes the request for the gateway with that URL; answers that `accepts` does not take are passed
        over. `resuming`: the middle of a body is asked for. Raises the last gateway's UpstreamError.
        """
        failure = UpstreamError(detail="origin: no gateway")
        for url in self._in_order():
            request = request_at(url)
            try:
                source = await self._ask(request)
            except UpstreamError as error:
                if isinstance(error, UpstreamUnreachable | UpstreamTimedOut):
                    self._ejected_until[url] = self._clock() + _EJECTION_SECONDS
                failure = error
                continue
            if _is_answer(source.status, request):
                self._ejected_until.pop(url, None)
                if accepts is None or accepts(source):
                    return source
            source.release()
            failure = refusal(source, f"the gateway answered {source.status}", now=time.time())
            if resuming and may_pass(source.status):
                # Worth another round for those who were in the middle of a body.
                failure = UpstreamUnreachable(detail=failure.detail)
        raise failure

    async def _ask(self, request: HttpRequest) -> HttpSource:
        answer = await self._own.open_hop(request)
        return await self._guarded.open(answer) if isinstance(answer, Redirect) else answer

    def _in_order(self) -> list[str]:
        """As configured, but those put aside last."""
        now = self._clock()
        return sorted(self._urls, key=lambda url: self._ejected_until.get(url, 0.0) > now)


def _is_answer(status: int, request: HttpRequest) -> bool:
    if status in _OF_CONDITIONS:
        return any(name.lower() in _CONDITIONS for name, _ in request.headers)
    return status in _ANSWERS
