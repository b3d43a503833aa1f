"""May this algorithm run on this dataset? (pure; `provider-api.md` section 10.3)

The publisher's options and what is known about the algorithm in, nothing or a refusal out. Checksums cost a download,
so the rules come in two steps: whether the algorithm is trusted at all, then its checksums where some are demanded.
"""

from dataclasses import dataclass

from provider.assets.compute_options import ComputeOptions, TrustedAlgorithm
from provider.errors import ComputeRefused

_ANY = "*"


@dataclass(frozen=True, slots=True)
class AlgorithmIdentity:
    """A published algorithm and its data NFT. `owner` of that: None where nobody told, see `demands_owner`."""

    did: str
    service_id: str
    data_nft: str
    owner: str | None


def check_raw(options: ComputeOptions, resource: str) -> None:
    """A raw algorithm needs a literal `allowRawAlgorithm: true`. Raises ComputeRefused."""
    if not options.allow_raw_algorithm:
        raise ComputeRefused(resource, "no_raw_algo_allowed")


def demands_owner(options: ComputeOptions) -> bool:
    """Must the owner of the algorithm's data NFT be known to decide? Not to refuse, nor where `*` stands for all."""
    publishers = options.trusted_publishers
    return not (options.strict or options.malformed) and bool(publishers) and _ANY not in publishers


def trusted_entries(
    options: ComputeOptions, algorithm: AlgorithmIdentity, resource: str
) -> tuple[TrustedAlgorithm, ...]:
    """The publisher's entries for this algorithm, whose checksums are still to be compared; none: nothing to compare.

    Both lists empty trust every published algorithm, else each list that is not empty must hold it; in a DDO 5 they
    trust none, and either list may hold it. `*` stands for all. Raises ComputeRefused.
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
    """Must the algorithm's files be read to compare them?"""
    return any(entry.files_checksum not in ("", _ANY) for entry in entries)


def check_checksums(
    entries: tuple[TrustedAlgorithm, ...], *, files: str | None, container: str | None, resource: str
) -> None:
    """One entry's checksums must be those of the algorithm (lower-case hex; None: not computed).

    Raises ComputeRefused for what is wrong with the first entry that comes closest.
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
    """ocean-node's rule for a DDO 5 (section 10.3): its publishers are data NFTs; one that is listed needs no entry."""
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
    """An entry that names a service means that service only."""
    return entry.did in (algorithm.did, _ANY) and entry.service_id in (None, _ANY, algorithm.service_id)
