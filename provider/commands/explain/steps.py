"""Runs each check of a download and reports what it found. No nonce is spent, and no URL or byte of a file is shown."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from provider.assets.access import check_state
from provider.assets.consumer_parameters import check_parameters
from provider.assets.ddo import Asset, Service
from provider.chain.networks import Network
from provider.commands.check.table import Finding, failed, passed, skipped, warned
from provider.commands.explain.findings import STEPS, TRANSACTION, order_findings, quota_findings
from provider.errors import OrderError, ProviderError, UserdataInvalid, ValidationFailed
from provider.files.origins import FileOrigins
from provider.files.userdata import NO_USERDATA
from provider.handlers.downloads.purchase import Purchase, Purchases
from provider.handlers.downloads.quota_gate import taker_of
from provider.orders.check import OrderFacts, parse_tx_id
from provider.policy.gate import DOWNLOAD
from provider.quotas.quota import Count, Limits, quotas_of

Seen = TypeVar("Seen")


@dataclass(frozen=True, slots=True)
class Question:
    """The download to explain. `consumer`: checksummed. `service_id`: None for the only one."""

    did: str
    service_id: str | None
    order_tx_id: str
    consumer: str
    file_index: str


ReadCounts = Callable[[Sequence[str]], Awaitable[Sequence[Count]]]
"""Reads the counts of quotas by name. Raises StoreError."""


async def explained(
    question: Question, purchases: Purchases, origins: FileOrigins, *, limits: Limits | None, counts: ReadCounts
) -> list[Finding]:
    """The findings, in the order of a download's checks. Steps that do not depend on a failed step still run.

    `limits`: the operator's; None if nothing is counted.
    """
    return await _Explanation(question, purchases, origins, limits, counts).run()


class _Explanation:
    """The findings so far."""

    def __init__(
        self,
        question: Question,
        purchases: Purchases,
        origins: FileOrigins,
        limits: Limits | None,
        counts: ReadCounts,
    ) -> None:
        self._question = question
        self._purchases = purchases
        self._origins = origins
        self._limits = limits
        self._counts = counts
        self._findings: list[Finding] = []

    async def run(self) -> list[Finding]:
        found = await self._try("asset", self._purchases.catalog.find(self._question.did), _describe_asset)
        if found is not None:
            asset, network = found
            service = self._service(asset)
            if service is not None:
                await self._check(asset, network, service)
        return self._findings

    async def _check(self, asset: Asset, network: Network, service: Service) -> None:
        question, purchases = self._question, self._purchases
        if purchases.gate.asks_servers:
            asking = purchases.gate.ask_role("access", question.consumer, question.did, service.id)
            await self._try("role", asking, lambda _: "the RBAC server admits the consumer, if there is one")
        facts = await self._facts(asset, network, service)
        admission = purchases.gate.admit(network, asset, service, question.consumer, action=DOWNLOAD)
        await self._try("access", admission, lambda _: "credentials, access lists and policy admit the consumer")
        await self._try("service type", purchases.check_type(service, question.consumer), lambda _: service.type)
        if facts is None:
            self._findings += map(skipped, STEPS[STEPS.index(TRANSACTION) + 1 :])
        else:
            purchase = self._judge_order(network, asset, service, facts)
            if purchase is not None and self._limits is not None and service.type == "access":
                await self._quotas(self._limits, purchase)
        self._parameters(service)
        await self._file(asset, network, service)

    def _service(self, asset: Asset) -> Service | None:
        wanted = self._question.service_id
        if wanted is None and len(asset.services) != 1:
            ids = ", ".join(service.id for service in asset.services) or "none that can be used"
            self._findings.append(failed("service", f"the asset has these: {ids}", "name one with --service"))
            return None
        try:
            service = asset.services[0] if wanted is None else asset.service(wanted)
        except ProviderError as error:
            self._fail("service", error)
            return None
        self._findings.append(passed("service", f"{service.id}, {_duration(service.timeout_seconds)}"))
        return service

    async def _facts(self, asset: Asset, network: Network, service: Service) -> OrderFacts | None:
        """Fetch the facts about the order, and check the data NFT's state."""
        try:
            tx_id = parse_tx_id(self._question.order_tx_id)
        except OrderError as error:
            self._fail(TRANSACTION, error)
            return None
        try:
            state, facts = await self._purchases.lookup.facts(
                network, data_nft=asset.data_nft, datatoken=service.datatoken, tx_id=tx_id
            )
        except ProviderError as error:
            self._fail("chain", error)
            return None
        try:
            check_state(state)
            self._findings.append(passed("NFT state", f"{state} on chain"))
        except ProviderError as error:
            self._findings.append(failed("NFT state", f"{state} on chain: {error.public_text}", error.remedy))
        return facts

    def _judge_order(self, network: Network, asset: Asset, service: Service, facts: OrderFacts) -> Purchase | None:
        """Return what was bought; None if the order is refused."""
        tx_id = parse_tx_id(self._question.order_tx_id)
        try:
            order = self._purchases.order(network, service, facts, tx_id, self._question.consumer)
        except OrderError as error:
            self._findings += order_findings(facts, service, error)
            return None
        purchase = Purchase(network, asset, service, order, NO_USERDATA)
        self._findings += order_findings(facts, service, order, purchase.ends_at)
        return purchase

    async def _quotas(self, limits: Limits, purchase: Purchase) -> None:
        did, now = purchase.asset.did, time.time()
        quotas = quotas_of(limits, purchase.service.limits, taker_of(purchase, self._question.consumer), now)
        try:
            counts = await self._counts([quota.name for quota in quotas]) if quotas else ()
        except ProviderError as error:
            self._fail("quotas", error)
            return
        self._findings += quota_findings(quotas, counts, did, now)

    def _parameters(self, service: Service) -> None:
        """Check the required user data, which are not known here."""
        try:
            check_parameters(service.consumer_parameters, None, field="userdata")
        except ValidationFailed:
            what = "the service requires user data, which are not known here"
            self._findings.append(warned("user data", what, "ask the consumer what was sent"))

    async def _file(self, asset: Asset, network: Network, service: Service) -> None:
        try:
            file = self._purchases.files.file(network.account, asset, service, self._question.file_index)
        except ProviderError as error:
            self._fail("file list", error)
            return
        self._findings.append(passed("file list", f"file {self._question.file_index} is of type {file.type}"))
        try:
            info = await self._origins.inspect(file, NO_USERDATA, chain_id=network.chain_id)
        except UserdataInvalid:
            what = "the file needs user data, which are not known here"
            self._findings.append(warned("origin", what, "ask the consumer what was sent"))
            return
        except ProviderError as error:
            self._fail("origin", error)
            return
        if info.failure is not None:
            self._fail("origin", info.failure)
        elif info.valid:
            self._findings.append(passed("origin", f"answers, {info.content_length or 'an unknown number of'} bytes"))
        else:
            self._findings.append(warned("origin", "answers without length, type and name", "try a download"))

    async def _try(self, what: str, step: Awaitable[Seen], describe: Callable[[Seen], str]) -> Seen | None:
        """Run a step. Returns None if it fails."""
        try:
            seen = await step
        except ProviderError as error:
            self._fail(what, error)
            return None
        self._findings.append(passed(what, describe(seen)))
        return seen

    def _fail(self, what: str, error: ProviderError) -> None:
        detail = f" ({error.detail})" if error.detail else ""
        self._findings.append(failed(what, f"{error.code}: {error.public_text}{detail}", error.remedy))


def _describe_asset(found: tuple[Asset, Network]) -> str:
    asset, network = found
    return (
        f"found and bound to its DID: version {asset.version}, data NFT {asset.data_nft}, chain {network.chain_id} "
        f"({network.name})"
    )


def _duration(timeout_seconds: int) -> str:
    return "its orders never end" if timeout_seconds == 0 else f"its orders end after {timeout_seconds} s"
