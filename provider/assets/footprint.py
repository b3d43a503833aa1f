"""Estimates how much memory an asset takes in a cache (pure).

Publishers choose what a DDO contains: its credentials alone may list a hundred thousand addresses.
"""

import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass

from provider.assets.ddo import Asset

# An entry of a cache takes about this much itself: its key, its place, its times.
_ENTRY_BYTES = 400


def asset_bytes(asset: Asset) -> int:
    """Return the bytes that an asset takes with all that it holds. What is held twice counts twice."""
    total = _ENTRY_BYTES
    values: list[object] = [asset]
    while values:
        value = values.pop()
        total += sys.getsizeof(value)
        if isinstance(value, str | bytes | int | float) or value is None:
            continue
        if isinstance(value, Mapping):
            values += value
            values += value.values()
        elif isinstance(value, tuple | list | frozenset):
            values += value
        elif is_dataclass(value):
            values += [getattr(value, field.name) for field in fields(value)]
    return total
