"""Decides whether an algorithm may run on a dataset (pure; `provider-api.md` section 10.3).

Takes the publisher's options and the known facts about the algorithm, and returns nothing or raises a refusal.
Checksums cost a download, so there are two steps: is the algorithm trusted at all, then its checksums if demanded.
"""

from dataclasses import dataclass

from provider.assets.compute_options import ComputeOptions, TrustedAlgorithm
from provider.errors import ComputeRefused

_ANY = "*"


@dataclass(frozen=True, slots=True)
class AlgorithmIdentity:
    """A published algorithm and its data NFT. `owner`: the NFT's owner; None if unknown, see `demands_owner`."""

    did: str
    service_id: str
    data_nft: str
    owner: str | None


def check_raw(options: ComputeOptions, resource: str) -> None:
    """Refuse a raw algorithm unless there is a literal `allowRawAlgorithm: true`. Raises ComputeRefused."""
    if not options.allow_raw_algorithm:
        raise ComputeRefused(resource, "no_raw_algo_allowed")


def demands_owner(options: ComputeOptions) -> bool:
    """Return whether the decision needs the owner of the algorithm's NFT. A refusal does not, nor does a `*`."""
    publishers = options.trusted_publishers
    return not (options.strict or options.malformed) and bool(publishers) and _ANY not in publishers


def trusted_entries(
    options: ComputeOptions, algorithm: AlgorithmIdentity, resource: str
) -> tuple[TrustedAlgorithm, ...]:
    """Return the publisher's entries for this algorithm, whose checksums must still match; empty if there are none.

    If both lists are empty, every published algorithm is trusted; otherwise each list that is not empty must name it.
    In a DDO 5, two empty lists trust none, and one list naming it is enough. `*` stands for all. Raises ComputeRefused.
    """
    if not options.present:
        raise ComputeRefused(resource, "not_trusted_algo", detail="the service has no compute section")
    if options.malformed:
        raise ComputeRefused(resource, "no_publisherTrustedAlgorithms", detail="a list of trust is malformed")
    if options.strict:
        return _strictly_trusted(options, algorithm, resource)
    if options.trusted_publishers and not _holds(options.trusted_publishers, algorithm.owner):
        raise ComputeRefused(resource, "not_trusted_algo_publisher")
    return _entries(options.trusted_algorithms, algorithm, resource) if options.trusted_algorithms else ()


def demands_files_checksum(entries: tuple[TrustedAlgorithm, ...]) -> bool:
    """Tell whether the algorithm's files must be read to compare them."""
    return any(entry.files_checksum not in ("", _ANY) for entry in entries)


def check_checksums(
    entries: tuple[TrustedAlgorithm, ...], *, files: str | None, container: str | None, resource: str
) -> None:
    """Check that one entry's checksums are those of the algorithm (lower-case hex; None: not computed).

    Raises ComputeRefused for the fault of the first entry that comes closest.
    """
    if not entries:
        return
    right_files = [entry for entry in entries if entry.files_checksum in ("", _ANY, files)]
    if not right_files:
        raise ComputeRefused(resource, "algorithm_file_checksum_mismatch")
    if not any(entry.container_checksum in ("", _ANY, container) for entry in right_files):
        raise ComputeRefused(resource, "algorithm_container_checksum_mismatch")


def _strictly_trusted(
    options: ComputeOptions, algorithm: AlgorithmIdentity, resource: str
) -> tuple[TrustedAlgorithm, ...]:
    """Apply ocean-node's rule for DDO 5 (section 10.3): publishers are data NFTs, and one listed needs no entry."""
    if _holds(options.trusted_publishers, algorithm.data_nft):
        return ()
    if options.trusted_publishers and not options.trusted_algorithms:
        raise ComputeRefused(resource, "not_trusted_algo_publisher")
    return _entries(options.trusted_algorithms, algorithm, resource)


def _entries(
    listed: tuple[TrustedAlgorithm, ...], algorithm: AlgorithmIdentity, resource: str
) -> tuple[TrustedAlgorithm, ...]:
    if any(entry.did is None for entry in listed):
        raise ComputeRefused(resource, "no_publisherTrustedAlgorithms")
    entries = tuple(entry for entry in listed if _names(entry, algorithm))
    if not entries:
        raise ComputeRefused(resource, "not_trusted_algo")
    return entries


def _holds(publishers: tuple[str, ...], address: str | None) -> bool:
    trusted = {publisher.lower() for publisher in publishers}
    return _ANY in trusted or (address is not None and address.lower() in trusted)


def _names(entry: TrustedAlgorithm, algorithm: AlgorithmIdentity) -> bool:
    """Tell whether an entry means this algorithm. If it names a service, it means only that service."""
    return entry.did in (algorithm.did, _ANY) and entry.service_id in (None, _ANY, algorithm.service_id)
