"""Gateways that the operator configured: ask them in turn until one has the file.

A gateway itself may be on a private network, since the operator chose it and not a publisher. A redirect by a gateway
is a stranger's choice again: it passes the address guard, even if it leads back to the gateway.
"""

import time
from collections.abc import Callable, Sequence

from provider.errors import UpstreamError, UpstreamTimedOut, UpstreamUnreachable
from provider.upstream.http_origin import HttpOrigin
from provider.upstream.http_source import HttpSource
from provider.upstream.patience import refusal
from provider.upstream.request_head import Redirect
from provider.upstream.resume import may_pass
from provider.upstream.source import HttpRequest

# Any other status only means that this gateway does not serve the file: not pinned, not paid, not allowed, not yet.
_ANSWERS = frozenset((200, 206, 416))
# These answer a request with a condition (RFC 9110 section 13.1).
_OF_CONDITIONS = frozenset((304, 412))
_CONDITIONS = frozenset(("if-match", "if-none-match", "if-modified-since", "if-unmodified-since"))
# A gateway that did not answer is asked last for this time, so that not every request waits for it.
_EJECTION_SECONDS = 30.0


class Gateways:
    """Opens files at gateways.

    `own` connects to the gateways themselves. It shares no connection with `guarded`, which follows redirects.
    """

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
        """The first answer about the file itself, before any body byte was read.

        Args:
            request_at: makes the request for the gateway with the given URL.
            accepts: answers that it rejects are skipped.
            resuming: the request is for the rest of a body.

        Raises:
            UpstreamError: that of the last gateway.
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
                # The next round may succeed, and a body that broke in the middle is worth it.
                failure = UpstreamUnreachable(detail=failure.detail)
        raise failure

    async def _ask(self, request: HttpRequest) -> HttpSource:
        answer = await self._own.open_hop(request)
        return await self._guarded.open(answer) if isinstance(answer, Redirect) else answer

    def _in_order(self) -> list[str]:
        """In the configured order, but ejected gateways last."""
        now = self._clock()
        return sorted(self._urls, key=lambda url: self._ejected_until.get(url, 0.0) > now)


def _is_answer(status: int, request: HttpRequest) -> bool:
    if status in _OF_CONDITIONS:
        return any(name.lower() in _CONDITIONS for name, _ in request.headers)
    return status in _ANSWERS
