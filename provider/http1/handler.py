"""Tornado's request handler with public names for the undocumented members that endpoints and dispatch need."""

import asyncio
from asyncio import Future
from collections.abc import Awaitable, Iterator, Sequence
from typing import Any, ClassVar, cast

from tornado.web import Application, RequestHandler

from provider.errors import ProviderError
from provider.http1.heads import Fields, Request, http_date
from provider.override import override


class _NoBody:
    """A body that was read: what a request without one waits for."""

    def __await__(self) -> Iterator[None]:
        return iter(())

    def done(self) -> bool:
        """Tornado asks when a client leaves. It tells the handler only if the body was read."""
        return True


# Tornado has a future there. It awaits it and asks whether it is done.
_NO_BODY = cast("Future[None]", _NoBody())


class HttpHandler(RequestHandler):
    """Base of endpoints. `start` takes over a request, `give_up` ends one whose body cannot be read to its end."""

    cache_control: ClassVar[str] = "no-store"
    """The `Cache-Control` that replies begin with."""

    @property
    def headers_written(self) -> bool:
        """Has the reply's head left?"""
        return self._headers_written

    @property
    def finished(self) -> bool:
        """Has the reply ended?"""
        return self._finished

    def __init__(self, application: Application, request: Request, **more: Any) -> None:
        super().__init__(application, request, **more)
        # Four objects for templates, which no endpoint has.
        self.ui = None  # type: ignore[assignment]

    def drop_unsent(self) -> None:
        """Forget what was written to the body and has not left."""
        self._write_buffer = []

    _headers: Fields

    @override
    def clear(self) -> None:
        self._headers = Fields(
            {
                "Content-Type": ["text/html; charset=UTF-8"],
                "Date": [http_date()],
                "Cache-Control": [self.cache_control],
                "X-Content-Type-Options": ["nosniff"],
            }
        )
        self.set_default_headers()
        self._write_buffer = []
        self._status_code, self._reason = 200, "OK"

    @override
    def set_header(self, name: str, value: Any) -> None:
        # The base class checks each value twice.
        if type(value) is str and value.isascii() and value.isprintable():
            self._headers.put_all(((name, value),))
        else:
            super().set_header(name, value)

    def set_headers(self, fields: Sequence[tuple[str, str]]) -> None:
        """Set each field as `set_header` does."""
        text = "".join([value for _, value in fields])
        if text.isascii() and text.isprintable():
            self._headers.put_all(fields)
        else:
            for name, value in fields:
                self.set_header(name, value)

    @property
    def announces_length(self) -> bool:
        """True if the reply has a `Content-Length`."""
        return self._headers.get("Content-Length") is not None

    def start(self) -> asyncio.Task[None]:
        """Serve the request in a task of its own."""
        raise NotImplementedError

    def give_up(self, error: ProviderError) -> None:
        """Answer with `error` if there was no answer yet: the rest of the body never comes."""
        raise NotImplementedError

    def execute(self) -> Awaitable[None]:
        """Let Tornado run the method of this request."""
        return self._execute([])

    def expect_body(self) -> "tuple[Future[None], Future[None]]":
        """Two futures: the caller sets the first when the body was read; the second is done when it may be read."""
        body: Future[None] = Future()
        prepared: Future[None] = Future()
        self.request._body_future = body
        # Tornado declares None and sets a future itself.
        self._prepared_future = prepared  # type: ignore[assignment]
        return body, prepared

    def expect_no_body(self) -> None:
        """The request has no body."""
        self.request._body_future = _NO_BODY

    def drop_references(self) -> None:
        """Break the cycles that remain when a client leaves in its body: Tornado then stops without `finish`."""
        self.request._body_future = _NO_BODY
        self._break_cycles()
