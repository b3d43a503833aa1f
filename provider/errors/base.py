"""The root of all errors a client can see, and the network prefix some of them carry."""

import math
from collections.abc import Mapping


class ProviderError(Exception):
    """A fault of ours that nobody foresaw. Raise a subclass; `text` overrides its default public text.

    A subclass's docstring is the cause and `remedy` the way out that `docs/errors.md` shows; `other_texts` are public
    texts that no literal in the source shows.
    """

    code = "internal"
    remedy = "Tell the operator the `X-Request-ID` of the answer: the log line with it names the fault."
    http_status = 500
    text = "Internal error."
    other_texts: tuple[str, ...] = ()
    # What `body` looks like: "error", "validation", "signature" or "compute" (`docs/errors.md` shows them).
    shape = "error"
    # Value of Retry-After (RFC 9110 section 10.2.3) for refusals that will pass.
    retry_after_seconds: int | None = None

    def __init__(self, text: str | None = None, *, detail: str | None = None) -> None:
        super().__init__(text if text is not None else self.text)
        self.detail = detail
        self.network: str | None = None

    def ask_again_in(self, seconds: float) -> None:
        """`Retry-After` becomes the next whole second, at least one: a client that comes back then is not too early.

        The difference of two clock readings may be a hair longer than what was added, which is no second more.
        """
        self.retry_after_seconds = max(1, math.ceil(round(seconds, 3)))

    @property
    def public_text(self) -> str:
        """Text for the client on one line, with the `Provider <network>: ` prefix where it applies."""
        text = str(self)
        return " ".join((f"Provider {self.network}: {text}" if self.network else text).split())

    def body(self) -> Mapping[str, object]:
        """JSON body of the reply (`provider-api.md` section 1, shape 2)."""
        return {"error": self.public_text}


class named_network:  # noqa: N801 - used as a function
    """Errors raised inside carry the `Provider <name>: ` prefix that clients of old show to their users."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, ProviderError) and error.network is None:
            error.network = self._name
