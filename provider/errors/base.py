"""The root of all errors that a client can see, and the network prefix that some of them carry."""

import math
from collections.abc import Mapping
from typing import Literal

Fault = Literal["consumer", "origin", "ours"]
"""Whose fault it is.

consumer: the caller must change something, or has no right to it. origin: what was published does not work: the file's
host, the file list, the document. ours: this server, or a node or service that its operator configured.
"""


class ProviderError(Exception):
    """An unexpected fault of the server. Raise a subclass; `text` overrides its default public text.

    `docs/errors.md` shows a subclass's docstring as the cause, and `remedy`. `other_texts` are public texts that no
    literal in the source shows.
    """

    code = "internal"
    remedy = "Send the operator the `X-Request-ID` of the answer: the log line with this id names the fault."
    http_status = 500
    fault: Fault = "ours"
    text = "Internal error."
    other_texts: tuple[str, ...] = ()
    # What `body` looks like: "error", "validation", "signature" or "compute" (`docs/errors.md` shows them).
    shape = "error"
    # Value of Retry-After (RFC 9110 section 10.2.3) for temporary refusals.
    retry_after_seconds: int | None = None

    def __init__(self, text: str | None = None, *, detail: str | None = None) -> None:
        super().__init__(text if text is not None else self.text)
        self.detail = detail
        self.network: str | None = None

    def ask_again_in(self, seconds: float) -> None:
        """Round `Retry-After` up to a whole second, at least one, so that a client does not come back too early.

        The difference of two clock readings may be slightly longer than the wait that was added. Rounding it to a
        millisecond keeps that from becoming one more second.
        """
        self.retry_after_seconds = max(1, math.ceil(round(seconds, 3)))

    @property
    def public_text(self) -> str:
        """The text for the client, on one line, with the `Provider <network>: ` prefix if it has a network."""
        text = str(self)
        return " ".join((f"Provider {self.network}: {text}" if self.network else text).split())

    def body(self) -> Mapping[str, object]:
        """JSON body of the reply (`provider-api.md` section 1, shape 2)."""
        return {"error": self.public_text}


class named_network:  # noqa: N801 - used as a function
    """Give errors raised inside the `Provider <name>: ` prefix that older clients show to their users."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, ProviderError) and error.network is None:
            error.network = self._name
