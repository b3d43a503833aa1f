"""`provider cache list | purge`: what the slice cache holds, by dataset. A running server follows within 30 seconds."""

import sys
from collections import defaultdict

from provider.app.slices import slice_directory
from provider.config import Settings
from provider.slices.directory import Found, SliceDirectory
from provider.slices.store import errno_name

EXIT_DONE = 0
EXIT_FAILED = 1


def cache(settings: Settings, *, action: str, did: str | None) -> int:
    """Run `list` or `purge`, for one dataset or for all, and return the exit status."""
    directory = slice_directory(settings)
    if directory is None:
        print("provider: PROVIDER_CACHE_DIR is not set: there is no cache", file=sys.stderr)
        return EXIT_FAILED
    try:
        found = _by_dataset(directory, did)
        if action == "purge":
            directory.remove(*(item.name for slices in found.values() for item in slices))
    except FileNotFoundError:
        found = {}
    except OSError as error:
        print(f"provider: the cache directory cannot be used: {errno_name(error)}", file=sys.stderr)
        return EXIT_FAILED
    if action == "purge":
        print(f"{_size(found)} removed")
        return EXIT_DONE
    for dataset, slices in sorted(found.items(), key=lambda item: -_bytes(item[1])):
        print(f"{_bytes(slices):>15,} bytes  {len(slices):>7} slices  {dataset or '(no dataset)'}")
    print(f"{_size(found)} in all")
    return EXIT_DONE


def _by_dataset(directory: SliceDirectory, did: str | None) -> dict[str, list[Found]]:
    found = defaultdict(list)
    for dataset, item in directory.datasets():
        # `did:op:` and `did:ope:` of one data NFT are one dataset.
        if did is None or did.rpartition(":")[2] == dataset.rpartition(":")[2]:
            found[dataset].append(item)
    return found


def _bytes(slices: list[Found]) -> int:
    return sum(item.file_bytes for item in slices)


def _size(found: dict[str, list[Found]]) -> str:
    count = sum(map(len, found.values()))
    return f"{sum(map(_bytes, found.values())):,} bytes in {count} slices"
