"""The job as the operator service takes it (pure; `provider-api.md` section 10.4)."""

from collections.abc import Mapping, Sequence

from provider.compute.items import Algorithm as NamedAlgorithm
from provider.compute.items import ResolvedItem

Json = dict[str, object]

# The operator's engine overwrites these from its own settings; it only wants the keys.
_COMPUTE: Mapping[str, object] = {"Instances": 1, "namespace": "ocean-compute", "maxtime": 3600}


def workflow(
    datasets: Sequence[tuple[ResolvedItem, str]], algorithm: Mapping[str, object], *, metadata_url: str
) -> Json:
    """The one-stage workflow; each dataset comes with the transaction that its files are downloaded with."""
    stage: Json = {
        "index": 0,
        "input": [_input(index, resolved, tx_id) for index, (resolved, tx_id) in enumerate(datasets)],
        "compute": dict(_COMPUTE),
        "algorithm": dict(algorithm),
        "output": {"metadataUri": metadata_url},
    }
    return {"stages": [stage]}


def _input(index: int, resolved: ResolvedItem, tx_id: str) -> Json:
    remote: Json = {"txId": tx_id, "serviceId": resolved.service.id}
    if resolved.item.userdata:
        remote["userdata"] = resolved.item.userdata
    return {"index": index, "id": resolved.asset.did, "remote": remote}


def published_algorithm(resolved: ResolvedItem, tx_id: str, named: NamedAlgorithm) -> Json:
    """Algorithm by DID. There is no `url` key: a pod that finds one downloads it instead of the files."""
    remote: Json = {
        "serviceEndpoint": resolved.service.endpoint,
        "txId": tx_id,
        "serviceId": resolved.service.id,
        "userData": named.user_data or None,
    }
    # Pods read `userdata`, which the old Provider never wrote [K35].
    user_data = resolved.item.userdata or named.user_data
    if user_data:
        remote["userdata"] = user_data
    return {
        "id": resolved.asset.did,
        "rawcode": "",
        "container": dict(resolved.asset.container or {}),
        "algouserdata": None,
        "remote": remote,
        "algocustomdata": named.custom_data or None,
    }


def raw_algorithm(meta: Mapping[str, object]) -> Json:
    """Raw algorithm. Its `remote` stays out: a pod would fetch with it whatever somebody else has ordered."""
    return {
        "id": "",
        "url": meta.get("url") or None,
        "rawcode": meta.get("rawcode") or None,
        "container": meta.get("container"),
    }
