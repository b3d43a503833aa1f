"""Starts a job: every check of `provider-api.md` section 10, the job's description, the operator's reply."""

import time
from collections.abc import Callable, Mapping, Sequence

import orjson

from provider.assets.container import check_container
from provider.compute.environments import Environments
from provider.compute.items import ALGORITHM, Algorithm, JobRequest, ResolvedItem
from provider.compute.items import Algorithm as NamedAlgorithm
from provider.compute.operator import Operator
from provider.compute.orders import Authorization, OrderLoader, authorize
from provider.compute.parameters import check_job_parameters
from provider.compute.resolver import ItemResolver, Requester
from provider.errors import ComputeRefused, ContainerInvalid, RequestError
from provider.outgoing.client import ServiceReply


class Starting:
    """Starts jobs.

    `metadata_url`: the metadata store for the pods; empty if there is none.
    `clock`: unix seconds.
    """

    def __init__(
        self,
        *,
        resolver: ItemResolver,
        order_loader: OrderLoader,
        environments: Environments,
        operator: Operator,
        metadata_url: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._resolver = resolver
        self._order_loader = order_loader
        self._environments = environments
        self._operator = operator
        self._metadata_url = metadata_url
        self._clock = clock

    async def start(self, request: JobRequest) -> ServiceReply:
        """Start a job and return the operator's reply.

        Raises ComputeError, ValidationFailed, and the errors of chains and services that do not answer.
        """
        requester = Requester(request.consumer, starts=True, policy_data=request.policy_data)
        algorithm = await self._algorithm(request.algorithm, requester)
        datasets = await self._resolver.datasets(request.datasets, algorithm, requester)
        check_code(algorithm, request.algorithm)
        check_job_parameters(datasets, algorithm, request.algorithm)
        environment = await self._environments.find(request.environment, chain_id=datasets[0].network.chain_id)
        items = (*datasets, algorithm) if algorithm is not None else datasets
        ordered = await self._order_loader.ordered(items, environment, wait=True)
        allowed = authorize(ordered, sender=request.consumer, environment=environment.id, now=self._clock())
        check_output(request.output)
        return await self._operator.start(
            self._job(datasets, algorithm, allowed, request.algorithm),
            owner=request.owner,
            agreement_id=allowed.orders[allowed.grant.payer].tx_id,
            environment=environment.id,
            end=allowed.grant.end,
            chain_id=items[allowed.grant.payer].network.chain_id,
        )

    def _job(
        self, datasets: Sequence[ResolvedItem], algorithm: ResolvedItem | None, allowed: Authorization, named: Algorithm
    ) -> Mapping[str, object]:
        tx_ids = [order.tx_id for order in allowed.orders]
        code = raw_algorithm(named.meta or {})
        if algorithm is not None:
            code = published_algorithm(algorithm, tx_ids[-1], named)
        job = workflow(list(zip(datasets, tx_ids, strict=False)), code, metadata_url=self._metadata_url)
        try:
            orjson.dumps(job)
        except TypeError:
            raise RequestError(
                detail="user data cannot be written as JSON: numbers too large, or nested too deeply"
            ) from None
        return job

    async def _algorithm(self, named: Algorithm, requester: Requester) -> ResolvedItem | None:
        """Resolve the published algorithm; None for a raw one."""
        if named.item is not None:
            return await self._resolver.algorithm_to_run(named.item, requester)
        if not named.meta:
            raise ComputeRefused(ALGORITHM, "missing_meta_documentId")
        return None


def check_code(algorithm: ResolvedItem | None, named: Algorithm) -> None:
    """Check that a raw algorithm has code, and that any algorithm has a valid container. Raises ComputeRefused."""
    meta: Mapping[str, object] = named.meta or {}
    if algorithm is None and not any(meta.get(key) for key in ("url", "rawcode", "remote")):
        raise ComputeRefused(ALGORITHM, "meta_oneof_url_rawcode_remote")
    try:
        check_container(algorithm.asset.container if algorithm is not None else meta.get("container"))
    except ContainerInvalid as error:
        raise ComputeRefused(f"{ALGORITHM}.container", str(error)) from error


def check_output(output: object) -> None:
    """Check that text is JSON; its content is not used. Raises ComputeRefused."""
    if not isinstance(output, str) or not output:
        return
    try:
        orjson.loads(output)
    except ValueError:
        raise ComputeRefused("output", "invalid") from None


Json = dict[str, object]

# The operator's engine replaces these values by its own settings, but requires the keys.
_COMPUTE: Mapping[str, object] = {"Instances": 1, "namespace": "ocean-compute", "maxtime": 3600}


def workflow(
    datasets: Sequence[tuple[ResolvedItem, str]], algorithm: Mapping[str, object], *, metadata_url: str
) -> Json:
    """Make the one-stage workflow. Each dataset comes with the transaction that its files are downloaded with. Pure."""
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
    """Describe an algorithm by DID, without `url`: a pod would download that instead of the files. Pure."""
    remote: Json = {
        "serviceEndpoint": resolved.service.endpoint,
        "txId": tx_id,
        "serviceId": resolved.service.id,
        "userData": named.user_data or None,
    }
    # Pods read `userdata`, which Provider 2.1 never wrote [K35].
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
    """Describe a raw algorithm. Its `remote` is left out: a pod would fetch somebody else's order with it. Pure."""
    return {
        "id": "",
        "url": meta.get("url") or None,
        "rawcode": meta.get("rawcode") or None,
        "container": meta.get("container"),
    }
