"""Whose fault an error code is: the one table behind the books, the metrics, the dashboard and the alerts (pure)."""

from collections.abc import Iterator, Mapping

from provider.errors import ProviderError
from provider.errors.base import Fault
from provider.errors.compute import COMPUTE_REASONS, ORIGIN_REASONS

CONSUMER_ENDS = ("consumer_gone", "consumer_stalled")
"""Ends of a stream that no class has as its code. Those of origins are codes of UpstreamError."""


def is_raised(error: type[ProviderError]) -> bool:
    """Return False for bases that only group others: they have no text of their own."""
    return "text" in vars(error) or not error.__subclasses__()


def known_codes() -> Mapping[str, Fault]:
    """Every error code that occurs, and every early end of a stream, with its fault."""
    raised = {error.code for error in _classes(ProviderError) if is_raised(error)}
    reasons = {f"compute_{reason}" for reason in COMPUTE_REASONS}
    codes = {*raised, *reasons, *CONSUMER_ENDS} - {"compute_<reason>"}
    return {code: fault_of(code) for code in sorted(codes)}


def fault_of(code: str) -> Fault:
    """Whose fault an error code or the early end of a stream is. A code that is not known is ours."""
    return _FAULTS.get(code, "ours")


def remedy_of(code: str) -> str:
    """What helps against an error code, and who can do it; "" where the code says it all."""
    return _REMEDIES.get(code, "")


def _classes(base: type[ProviderError]) -> Iterator[type[ProviderError]]:
    yield base
    for child in base.__subclasses__():
        yield from _classes(child)


def _faults() -> Mapping[str, Fault]:
    faults: dict[str, Fault] = {error.code: error.fault for error in _classes(ProviderError)}
    faults |= {f"compute_{reason}": "origin" if reason in ORIGIN_REASONS else "consumer" for reason in COMPUTE_REASONS}
    # `refused`: the operator service does not give a result. Its answer is passed on and has no code.
    others = ("compute_access_denied", "refused", *CONSUMER_ENDS)
    return faults | dict.fromkeys(others, "consumer")


_FAULTS = _faults()
_REMEDIES: Mapping[str, str] = {
    **{f"compute_{reason}": remedy for reason, (_, remedy) in COMPUTE_REASONS.items()},
    **{error.code: getattr(error, "remedy", "") for error in _classes(ProviderError)},
}
