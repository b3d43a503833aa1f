"""User data of a job against what the publishers declare for their consumers (pure)."""

from collections.abc import Iterator, Mapping, Sequence

from provider.assets.consumer_parameters import Declared, check_parameters
from provider.compute.items import ALGORITHM, Algorithm, ResolvedItem
from provider.wire.json import read_json

Values = Mapping[str, object] | None


def check_job_parameters(datasets: Sequence[ResolvedItem], algorithm: ResolvedItem | None, named: Algorithm) -> None:
    """A service's parameters come as `userdata` (an algorithm's also as `algouserdata`), those of an algorithm's
    metadata as `algocustomdata`. Raises ValidationFailed.
    """
    for declared, values, field in _parameters(datasets, algorithm, named):
        check_parameters(declared, values, field=field)


def check_quoted_parameters(datasets: Sequence[ResolvedItem], algorithm: ResolvedItem | None, named: Algorithm) -> None:
    """The same for a quote, which clients also ask for without user data. Raises ValidationFailed."""
    for declared, values, field in _parameters(datasets, algorithm, named):
        if values:
            check_parameters(declared, values, field=field)


def _parameters(
    datasets: Sequence[ResolvedItem], algorithm: ResolvedItem | None, named: Algorithm
) -> Iterator[tuple[Declared, Values, str]]:
    """What is declared, what is given, and how refusals call it."""
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
    """An object, or JSON text of one."""
    if isinstance(raw, str):
        try:
            raw = read_json(raw)
        except ValueError:
            return None
    return raw if isinstance(raw, Mapping) else None
