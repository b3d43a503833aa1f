"""One target under atheris (libFuzzer): `python -m tests.fuzz.guided TARGET <libFuzzer arguments>`.

libFuzzer ends the process, so every target has one of its own.
"""

import sys

import atheris


def main() -> None:
    """The command."""
    with atheris.instrument_imports(include=["provider"]):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - instrumented while it is imported

    target = TARGETS[sys.argv[1]]
    atheris.Setup([sys.argv[0], f"-max_len={target.max_bytes}", *sys.argv[2:]], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
