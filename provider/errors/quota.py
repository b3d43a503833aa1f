"""A quota is used up."""

from provider.errors.base import Fault, ProviderError


class QuotaExhausted(ProviderError):
    """A quota is used up: of the order, of the consumer for this day, or of the dataset for this month."""

    code = "quota_exhausted"
    fault: Fault = "consumer"
    remedy = (
        "Try again after `Retry-After`. If the quota of the order is used up, order again. If a part is left, ask for "
        "a smaller range. Operator: the quotas are under `[quotas]`; publishers may set lower ones (`docs/limits.md`)."
    )
    http_status = 429
    # An order without an end has none.
    retry_after_seconds: int | None = 10
    text = "The quota is used up."
    other_texts = (
        "The quota of this order is used up. Order again to go on. The order ends at <time>.",
        "The consumer's quota for this day is used up. It begins anew at <time>.",
        "The quota of this dataset for this month is used up. It begins anew at <time>.",
        "Less is left of … than was asked for. …",
        "Downloads in progress hold what is left of … Try again in 10 seconds.",
    )

    def __init__(self, text: str, *, after_seconds: float | None) -> None:
        """`after_seconds`: None if waiting does not help."""
        super().__init__(text)
        if after_seconds is None:
            self.retry_after_seconds = None
        else:
            self.ask_again_in(after_seconds)
