"""The publisher's rules for compute jobs on a dataset (pure): the `compute` section of a service.

The compute room applies these rules (`provider-api.md` section 10.3).
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrustedAlgorithm:
    """A published algorithm that may be used. `did`: None if missing. `checksum`: empty if none is required."""

    did: str | None
    files_checksum: str
    container_checksum: str
    service_id: str | None


@dataclass(frozen=True, slots=True)
class ComputeOptions:
    """Options of a service.

    Attributes:
        strict: decides what `trusted_publishers` are and what empty lists mean.
            False (DDO 4.x, Provider's rule): owners of data NFTs. Empty lists restrict nothing, and each list that is
            not empty must contain the algorithm.
            True (DDO 5, ocean-node's rule): addresses of data NFTs. Empty lists trust nobody, and one list that
            contains the algorithm is enough.
        malformed: such lists trust nobody.
        allow_raw_algorithm: only by a literal `true`.
        present: the service has this section. Without it nothing is allowed.
    """

    present: bool
    strict: bool = False
    allow_raw_algorithm: bool = False
    allow_network_access: bool = False
    trusted_algorithms: tuple[TrustedAlgorithm, ...] = ()
    trusted_publishers: tuple[str, ...] = ()
    malformed: bool = False


def parse_compute_options(raw: object, *, strict: bool) -> ComputeOptions:
    """Parse the `compute` value of a service. `strict`: the DDO has version 5. Never raises."""
    if not isinstance(raw, Mapping):
        return ComputeOptions(present=False, malformed=raw is not None)
    algorithms = _trusted_algorithms(raw.get("publisherTrustedAlgorithms"))
    publishers = _texts(raw.get("publisherTrustedAlgorithmPublishers"))
    return ComputeOptions(
        present=True,
        strict=strict,
        allow_raw_algorithm=raw.get("allowRawAlgorithm") is True,
        allow_network_access=raw.get("allowNetworkAccess") is True,
        trusted_algorithms=algorithms or (),
        trusted_publishers=publishers or (),
        malformed=algorithms is None or publishers is None,
    )


def _trusted_algorithms(raw: object) -> tuple[TrustedAlgorithm, ...] | None:
    if raw is None:
        return ()
    if not isinstance(raw, list) or not all(isinstance(item, Mapping) for item in raw):
        return None
    return tuple(_trusted_algorithm(item) for item in raw)


def _trusted_algorithm(raw: Mapping[str, object]) -> TrustedAlgorithm:
    return TrustedAlgorithm(
        did=_text(raw.get("did")),
        files_checksum=_checksum(raw.get("filesChecksum")),
        container_checksum=_checksum(raw.get("containerSectionChecksum")),
        service_id=_text(raw.get("serviceId")),
    )


def _texts(raw: object) -> tuple[str, ...] | None:
    if raw is None:
        return ()
    if not isinstance(raw, list) or not all(isinstance(item, str) for item in raw):
        return None
    return tuple(raw)


def _text(raw: object) -> str | None:
    return raw if isinstance(raw, str) and raw else None


def _checksum(raw: object) -> str:
    """Lower-case checksum. Anything but text becomes a value that no checksum equals."""
    if raw is None:
        return ""
    return raw.lower() if isinstance(raw, str) else "malformed"
