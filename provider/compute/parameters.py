"""User data of a job against what the publishers declare for their consumers (pure)."""

from collections.abc import Mapping, Sequence

import orjson

from provider.assets.consumer_parameters import check_parameters
from provider.compute.items import ALGORITHM, Algorithm, Chosen


def check_job_parameters(datasets: Sequence[Chosen], algorithm: Chosen | None, wanted: Algorithm) -> None:
    """A service's parameters come as `userdata` (an algorithm's also as `algouserdata`), those of an algorithm's
    metadata as `algocustomdata`. Raises ValidationFailed.
    """
    for chosen in datasets:
        field = f"{chosen.item.resource}.userdata"
        check_parameters(chosen.service.consumer_parameters, _values(chosen.item.userdata), field=field)
    if algorithm is not None:
        given = _values(algorithm.item.userdata or wanted.user_data)
        check_parameters(algorithm.service.consumer_parameters, given, field=f"{ALGORITHM}.userdata")
        custom = _values(wanted.custom_data)
        check_parameters(algorithm.asset.algorithm_parameters, custom, field=f"{ALGORITHM}.algocustomdata")


def _values(raw: object) -> Mapping[str, object] | None:
    """An object, or JSON text of one."""
    if isinstance(raw, str):
        try:
            raw = orjson.loads(raw)
        except orjson.JSONDecodeError:
            return None
    return raw if isinstance(raw, Mapping) else None
