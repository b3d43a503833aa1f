"""The command `provider demo`: arguments in, exit status out. Imports the demo only when its extra is installed."""

import re
import sys
from importlib.util import find_spec

EXIT_USAGE = 2
NEEDED = ("eth", "artifacts", "rich")  # py-evm, ocean-contracts, rich
UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}
MAX_SIZE_BYTES = 1 << 40  # the generated file repeats itself after one TiB


def parse_size(text: str) -> int:
    """Return the bytes of `1GiB`, `500 MB` or `4096`. Raises ValueError for anything else, zero, or over 1 TiB."""
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*([A-Za-z]*)", text.strip())
    unit = UNITS.get(match[2].upper()) if match else None
    if match is None or unit is None:
        raise ValueError(f"{text!r} is not a size; write for example 1GiB, 500MB or 4096")
    size_bytes = int(float(match[1]) * unit)
    if not 0 < size_bytes <= MAX_SIZE_BYTES:
        raise ValueError(f"{text!r} is not between 1 byte and 1 TiB")
    return size_bytes


def run(*, size: str, keep: bool, compute: bool = False) -> int:
    """Run one of the demos on standard output. Returns 2 if the size is wrong or the extra is missing."""
    try:
        size_bytes = parse_size(size)
    except ValueError as error:
        print(f"provider demo: {error}", file=sys.stderr)
        return EXIT_USAGE
    if any(find_spec(name) is None for name in NEEDED):
        print("provider demo: install with: pip install 'ocean-stream-provider[demo]'", file=sys.stderr)
        return EXIT_USAGE
    if compute:
        from provider.demo.scenes.compute import run_compute_demo  # noqa: PLC0415  (needs the extra)

        return run_compute_demo(keep=keep, out=sys.stdout)
    from provider.demo.scenes.run import run_demo  # noqa: PLC0415  (needs the extra)

    return run_demo(size_bytes=size_bytes, keep=keep, out=sys.stdout)
