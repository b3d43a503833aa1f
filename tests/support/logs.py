"""What servers under test wrote to their logs."""


def tracebacks(log: str) -> list[str]:
    """The lines of a log that hold a traceback, so that a test which forbids them shows them."""
    return [line for line in log.splitlines() if "Traceback" in line]
