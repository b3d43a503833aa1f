"""The job as the operator service takes it (pure; `provider-api.md` section 10.4)."""

from collections.abc import Mapping, Sequence

from provider.compute.items import Algorithm as Wanted
from provider.compute.items import Chosen

Json = dict[str, object]

# The operator's engine overwrites these from its own settings; it only wants the keys.
_COMPUTE: Mapping[str, object] = {"Instances": 1, "namespace": "ocean-compute", "maxtime": 3600}


def workflow(datasets: Sequence[tuple[Chosen, str]], algorithm: Mapping[str, object], *, metadata_url: str) -> Json:
    """The one-stage workflow; each dataset comes with the transaction that its files are downloaded with."""
    stage: Json = {
        "index": 0,
        "input": [_input(index, chosen, tx_id) for index, (chosen, tx_id) in enumerate(datasets)],
        "compute": dict(_COMPUTE),
        "algorithm": dict(algorithm),
        "output": {"metadataUri": metadata_url},
    }
    return {"stages": [stage]}


def _input(index: int, chosen: Chosen, tx_id: str) -> Json:
    remote: Json = {"txId": tx_id, "serviceId": chosen.service.id}
    if chosen.item.userdata:
        remote["userdata"] = chosen.item.userdata
    return {"index": index, "id": chosen.asset.did, "remote": remote}


def published_algorithm(chosen: Chosen, tx_id: str, wanted: Wanted) -> Json:
    """Algorithm by DID. There is no `url` key: a pod that finds one downloads it instead of the files."""
    remote: Json = {
        "serviceEndpoint": chosen.service.endpoint,
        "txId": tx_id,
        "serviceId": chosen.service.id,
        "userData": wanted.user_data or None,
    }
    # Pods read `userdata`, which the old Provider never wrote [K35].
    user_data = chosen.item.userdata or wanted.user_data
    if user_data:
        remote["userdata"] = user_data
    return {
        "id": chosen.asset.did,
        "rawcode": "",
        "container": dict(chosen.asset.container or {}),
        "algouserdata": None,
        "remote": remote,
        "algocustomdata": wanted.custom_data or None,
    }


def raw_algorithm(meta: Mapping[str, object]) -> Json:
    """Raw algorithm. Its `remote` stays out: a pod would fetch with it whatever somebody else has ordered."""
    return {
        "id": "",
        "url": meta.get("url") or None,
        "rawcode": meta.get("rawcode") or None,
        "container": meta.get("container"),
    }
