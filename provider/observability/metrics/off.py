"""No metrics (`PROVIDER_METRICS=off`): the same object, with nothing behind what requests call."""

from contextlib import AbstractContextManager, nullcontext

from provider.observability.metrics.observed import Sent
from provider.observability.metrics.recorder import Metrics
from provider.observability.metrics.values import Snapshot


class NoMetrics(Metrics):
    """Counts nothing that happens often, and tells nothing. Workers still see that the others are alive."""

    @property
    def is_on(self) -> bool:
        """No."""
        return False

    def request(self, endpoint: str, status: int, seconds: float) -> None:
        """Nothing."""

    def error(self, code: str) -> None:
        """Nothing."""

    def order_refused(self, code: str) -> None:
        """Nothing."""

    def first_byte(self, endpoint: str, seconds: float) -> None:
        """Nothing."""

    def upstream(self, file_type: str, result: str, seconds: float) -> None:
        """Nothing."""

    def stream_begins(self, endpoint: str, progress: Sent) -> None:
        """Nothing."""

    def stream_ended(
        self, progress: Sent, *, service_type: str, file_type: str, path: str, outcome: str, seconds: float
    ) -> None:
        """Nothing."""

    def stream_failed(self, progress: Sent) -> None:
        """Nothing."""

    def resumed(self, endpoint: str, count: int) -> None:
        """Nothing."""

    def decrypting(self, kind: str) -> AbstractContextManager[None]:  # noqa: ARG002 - as in the base
        """Nothing around the block."""
        return nullcontext()

    def nonce(self, result: str, seconds: float) -> None:
        """Nothing."""

    def loop_lag(self, seconds: float) -> None:
        """Nothing."""

    def snapshot(self) -> Snapshot:
        """Empty."""
        return {}
