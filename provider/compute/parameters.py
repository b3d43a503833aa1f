"""Checks a job's user data against the parameters that publishers declare for consumers (pure)."""

from collections.abc import Iterator, Mapping, Sequence

import orjson

from provider.assets.consumer_parameters import Declared, check_parameters
from provider.compute.items import ALGORITHM, Algorithm, ResolvedItem
from provider.wire.json import is_crowded

Values = Mapping[str, object] | None


def check_job_parameters(datasets: Sequence[ResolvedItem], algorithm: ResolvedItem | None, named: Algorithm) -> None:
    """Check all parameters of a job. Raises ValidationFailed.

    A service's parameters come as `userdata` (an algorithm's also as `algouserdata`), those of an algorithm's metadata
    as `algocustomdata`.
    """
    for declared, values, field in _parameters(datasets, algorithm, named):
        check_parameters(declared, values, field=field)


def check_quoted_parameters(datasets: Sequence[ResolvedItem], algorithm: ResolvedItem | None, named: Algorithm) -> None:
    """Check the parameters of a quote, which may also be asked for without user data. Raises ValidationFailed."""
    for declared, values, field in _parameters(datasets, algorithm, named):
        if values:
            check_parameters(declared, values, field=field)


def _parameters(
    datasets: Sequence[ResolvedItem], algorithm: ResolvedItem | None, named: Algorithm
) -> Iterator[tuple[Declared, Values, str]]:
    """Yield the declared parameters, the given values, and their name in refusals."""
    for resolved in datasets:
        yield (
            resolved.service.consumer_parameters,
            _values(resolved.item.userdata),
            f"{resolved.item.resource}.userdata",
        )
    if algorithm is not None:
        given = _values(algorithm.item.userdata or named.user_data)
        yield algorithm.service.consumer_parameters, given, f"{ALGORITHM}.userdata"
        yield algorithm.asset.algorithm_parameters, _values(named.custom_data), f"{ALGORITHM}.algocustomdata"


def _values(raw: object) -> Values:
    """Return an object, also if it came as JSON text."""
    if isinstance(raw, str):
        text = raw.encode("utf-8", "surrogatepass")
        try:
            raw = None if is_crowded(text) else orjson.loads(text)
        except ValueError:
            return None
    return raw if isinstance(raw, Mapping) else None
