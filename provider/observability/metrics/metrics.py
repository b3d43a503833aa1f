"""All metrics of one process, by topic."""

from collections.abc import Mapping

from provider.observability.metrics.backends import (
    BooksMetrics,
    Caches,
    Chains,
    Index,
    Nonces,
    Proofs,
    QuotaMetrics,
    Redis,
)
from provider.observability.metrics.instruments import Group, Instrument, Snapshot
from provider.observability.metrics.processes import Processes
from provider.observability.metrics.traffic import Files, LinkMetrics, Requests, Slices, Streams

GROUPS: tuple[type[Group], ...] = (
    Requests,
    Streams,
    LinkMetrics,
    Files,
    Slices,
    Nonces,
    Redis,
    Chains,
    Caches,
    Index,
    Proofs,
    BooksMetrics,
    QuotaMetrics,
    Processes,
)
"""In the order of `docs/metrics.md` and of the exposition."""

DECLARED: Mapping[str, Instrument] = {
    declared.name: declared for group in GROUPS for declared in group.declared().values()
}
"""Every metric, by name."""


class Metrics:
    """The groups that rooms count in. Use them on the event loop's thread, except `files.decrypting`.

    With `is_on` False nothing is counted: all instruments are null.
    """

    def __init__(self, *, is_on: bool = True) -> None:
        self.is_on = is_on
        self.requests = Requests(is_on=is_on)
        self.streams = Streams(is_on=is_on)
        self.links = LinkMetrics(is_on=is_on)
        self.files = Files(is_on=is_on)
        self.slices = Slices(is_on=is_on)
        self.nonces = Nonces(is_on=is_on)
        self.redis = Redis(is_on=is_on)
        self.chains = Chains(is_on=is_on)
        self.caches = Caches(is_on=is_on)
        self.index = Index(is_on=is_on)
        self.proofs = Proofs(is_on=is_on)
        self.books = BooksMetrics(is_on=is_on)
        self.quotas = QuotaMetrics(is_on=is_on)
        self.processes = Processes(is_on=is_on)
        groups = [group for group in vars(self).values() if isinstance(group, Group)]
        self._instruments = [instrument for group in groups for instrument in group.instruments]

    def hand_over(self) -> None:
        """Leave gauges to a successor: expose only metrics that are summed over workers.

        A maximum or minimum that this process saw last could hide the successor's value.
        """
        self._instruments = [instrument for instrument in self._instruments if instrument.merge == "sum"]

    def snapshot(self) -> Snapshot:
        """Return the current values. Use them before the next turn of the event loop."""
        for instrument in self._instruments:
            instrument.look()
        with self.files.lock:
            return {instrument.name: instrument.cells() for instrument in self._instruments}
