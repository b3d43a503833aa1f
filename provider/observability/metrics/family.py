"""What one metric is called, what it tells and how it is exposed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["counter", "gauge", "histogram", "summary"]
Merge = Literal["sum", "max", "min"]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. `name` as it is exposed, `labels` with the values they take, `buckets` of a histogram.

    `merge`: how the values of several workers become one; counters, histograms and summaries are always summed.
    """

    name: str
    kind: Kind
    help: str
    labels: Mapping[str, str] = field(default_factory=dict)
    buckets: tuple[float, ...] = ()
    merge: Merge = "sum"


def bound_text(bound: float) -> str:
    """A bucket's bound as people write it."""
    return str(int(bound)) if bound >= 1 and bound.is_integer() else f"{bound:g}"
