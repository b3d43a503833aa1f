"""Starting a job: every check of `provider-api.md` section 10, then the operator's answer as it is."""

import time
from collections.abc import Callable, Mapping, Sequence

import orjson

from provider.assets.container import check_container
from provider.compute.choices import Choices, Visit
from provider.compute.environments import Environments
from provider.compute.items import ALGORITHM, Algorithm, Chosen, StartWish
from provider.compute.operator import Operator
from provider.compute.orders import Authorization, OrderDesk, authorize
from provider.compute.parameters import check_job_parameters
from provider.compute.workflow import published_algorithm, raw_algorithm, workflow
from provider.errors import ComputeRefused, ContainerInvalid, RequestError
from provider.outgoing.client import ServiceReply


class Starting:
    """`metadata_url`: the metadata store of the pods, empty without one; `clock` gives unix seconds."""

    def __init__(
        self,
        *,
        choices: Choices,
        desk: OrderDesk,
        environments: Environments,
        operator: Operator,
        metadata_url: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._choices = choices
        self._desk = desk
        self._environments = environments
        self._operator = operator
        self._metadata_url = metadata_url
        self._clock = clock

    async def start(self, wish: StartWish) -> ServiceReply:
        """Raises ComputeError, ValidationFailed, and what chains and services raise when they do not answer."""
        visit = Visit(wish.consumer, starts=True, policy_data=wish.policy_data)
        algorithm = await self._algorithm(wish.algorithm, visit)
        datasets = await self._choices.datasets(wish.datasets, algorithm, visit)
        check_code(algorithm, wish.algorithm)
        check_job_parameters(datasets, algorithm, wish.algorithm)
        environment = await self._environments.find(wish.environment, chain_id=datasets[0].network.chain_id)
        items = (*datasets, algorithm) if algorithm is not None else datasets
        ordered = await self._desk.ordered(items, environment, wait=True)
        allowed = authorize(ordered, sender=wish.consumer, environment=environment.id, now=self._clock())
        check_output(wish.output)
        return await self._operator.start(
            self._job(datasets, algorithm, allowed, wish.algorithm),
            owner=wish.owner,
            agreement_id=allowed.orders[allowed.grant.payer].tx_id,
            environment=environment.id,
            end=allowed.grant.end,
            chain_id=items[allowed.grant.payer].network.chain_id,
        )

    def _job(
        self, datasets: Sequence[Chosen], algorithm: Chosen | None, allowed: Authorization, wanted: Algorithm
    ) -> Mapping[str, object]:
        tx_ids = [order.tx_id for order in allowed.orders]
        code = raw_algorithm(wanted.meta or {})
        if algorithm is not None:
            code = published_algorithm(algorithm, tx_ids[-1], wanted)
        job = workflow(list(zip(datasets, tx_ids, strict=False)), code, metadata_url=self._metadata_url)
        try:
            orjson.dumps(job)
        except TypeError:
            raise RequestError(
                detail="user data cannot be written as JSON: numbers too large, or nested too deeply"
            ) from None
        return job

    async def _algorithm(self, wanted: Algorithm, visit: Visit) -> Chosen | None:
        """The published algorithm, None for a raw one."""
        if wanted.item is not None:
            return await self._choices.algorithm_to_run(wanted.item, visit)
        if not wanted.meta:
            raise ComputeRefused(ALGORITHM, "missing_meta_documentId")
        return None


def check_code(algorithm: Chosen | None, wanted: Algorithm) -> None:
    """Raw code must be somewhere, and any code must run in some container. Raises ComputeRefused."""
    meta: Mapping[str, object] = wanted.meta or {}
    if algorithm is None and not any(meta.get(key) for key in ("url", "rawcode", "remote")):
        raise ComputeRefused(ALGORITHM, "meta_oneof_url_rawcode_remote")
    try:
        check_container(algorithm.asset.container if algorithm is not None else meta.get("container"))
    except ContainerInvalid as error:
        raise ComputeRefused(f"{ALGORITHM}.container", str(error)) from error


def check_output(output: object) -> None:
    """Text must be JSON; nothing of it is used. Raises ComputeRefused."""
    if not isinstance(output, str) or not output:
        return
    try:
        orjson.loads(output)
    except ValueError:
        raise ComputeRefused("output", "invalid") from None
