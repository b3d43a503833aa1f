"""Requests of compute-to-data → frozen values (`provider-api.md` sections 2 and 5.7 to 5.10). Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from provider.auth.identify import Signed
from provider.auth.token import PresentedToken
from provider.compute.items import ALGORITHM, Algorithm, Item, JobRequest, QuoteRequest, dataset_resource
from provider.crypto.keccak import is_address, to_checksum_address
from provider.errors import ComputeRefused, JobIdMissing, ValidationFailed
from provider.handlers import rules
from provider.handlers.json_body import parse_json
from provider.handlers.params import parse_signed, signed_fields
from provider.handlers.rules import Data, Demand, Field, Rule, is_empty, is_present, validate, value_of, wire_text

# The code of a raw algorithm comes with the request; a job with 50 datasets and no code is 20 KB.
RAW_ALGORITHM_BODY_BYTES = 1 << 20
# More datasets than any job has. Each one costs lookups.
MAX_DATASETS = 50
# Job ids have 32 characters, DIDs 71.
MAX_NAME_CHARS = 1024
# No duration is longer. Python reads and writes integers of 4300 digits, and a sum might have one more.
_MAX_DURATION_BITS = 64


def _required_with_all(*others: str) -> Rule:
    """Make the rule that a field is required if all of `others` are present."""

    def applies(data: Data) -> bool:
        return all(is_present(data, other) for other in others)

    message = f"The <f> field is required when {', '.join(others)} are present."
    demand = Demand("with_all", others)
    return Rule(lambda data, value: not applies(data) or not is_empty(value), message, applies, demand=demand)


_ALGORITHM_FIELDS = (
    Field(
        "algorithm.documentId",
        (
            rules.required_without("algorithm.meta"),
            _required_with_all("algorithm.serviceId", "algorithm.transferTxId"),
        ),
    ),
    Field("algorithm.meta", (rules.required_without("algorithm.documentId"),)),
)

_CONSUMER = Field("consumerAddress", (rules.required(),), bail=True)
_NONCE = Field("nonce", (rules.required(), rules.numeric()), bail=True)


def _item(resource: str, raw: object) -> Item:
    """Parse one item. Missing fields and those that are no text become empty; later checks refuse them."""
    values: Mapping[str, object] = raw if isinstance(raw, Mapping) else {}
    return Item(
        resource=resource,
        did=wire_text(values.get("documentId")),
        service_id=wire_text(values.get("serviceId")),
        tx_id=wire_text(values.get("transferTxId")),
        userdata=values.get("userdata"),
    )


def _algorithm(raw: object) -> Algorithm:
    values: Mapping[str, object] = raw if isinstance(raw, Mapping) else {}
    if not is_empty(values.get("documentId")):
        return Algorithm(
            _item(ALGORITHM, values),
            user_data=values.get("algouserdata"),
            custom_data=values.get("algocustomdata"),
        )
    meta = values.get("meta")
    if isinstance(meta, str):
        meta = parse_json(meta)
    return Algorithm(None, meta=meta if isinstance(meta, Mapping) else None)


def _additional(data: Data) -> object:
    """The datasets beside the main one. ocean.js 8 sends all of them as `datasets`, and the first also as `dataset`."""
    datasets = data.get("datasets")
    if is_present(data, "additionalDatasets") or not isinstance(datasets, list):
        return data.get("additionalDatasets")
    return datasets[1:] if datasets[:1] == [data.get("dataset")] else datasets


def _short(data: Data, name: str) -> str:
    """Return text that will be part of a URL of the operator service. Raises ValidationFailed if it is too long."""
    text = wire_text(data.get(name))
    if len(text) > MAX_NAME_CHARS:
        raise ValidationFailed({name: [f"The {name} is too long."]})
    return text


def _consumer(data: Data) -> str:
    text = wire_text(data.get("consumerAddress"))
    if not is_address(text):
        raise ValidationFailed({"consumerAddress": ["The consumerAddress format is invalid."]})
    return text


def _with_compute(data: Data, now: int) -> Data:
    """Give a body of ocean.js 8 the fields of Provider 2.1: `environment` and `maxJobDuration` stand for `compute`."""
    if is_present(data, "compute") or not is_present(data, "environment"):
        return data
    duration = data.get("maxJobDuration")
    end = now + duration if type(duration) is int and duration.bit_length() <= _MAX_DURATION_BITS else duration
    return {**data, "compute": {"env": data["environment"], "validUntil": end}}


@dataclass(frozen=True, slots=True)
class InitializeComputeRequest:
    """`POST initializeCompute`, unsigned."""

    quote: QuoteRequest

    FIELDS = (
        Field("datasets", (rules.required(),)),
        *_ALGORITHM_FIELDS,
        Field("compute.env", (rules.required(),)),
        Field("compute.validUntil", (rules.required(), rules.integer())),
        Field("consumerAddress", (rules.required(),)),
    )

    @classmethod
    def parse(cls, data: Data, *, now: int) -> Self:
        """Raises ValidationFailed. `now`: unix seconds."""
        data = _with_compute(data, now)
        validate(cls.FIELDS, data)
        raw = data["datasets"]
        if not isinstance(raw, list) or len(raw) > MAX_DATASETS:
            raise ValidationFailed({"datasets": [f"The datasets must be a list of at most {MAX_DATASETS} items."]})
        return cls(
            QuoteRequest(
                datasets=tuple(_item(dataset_resource(index), item) for index, item in enumerate(raw)),
                algorithm=_algorithm(data.get("algorithm")),
                environment=wire_text(value_of(data, "compute.env")),
                end=int(wire_text(value_of(data, "compute.validUntil"))),
                consumer=to_checksum_address(_consumer(data)),
            )
        )


@dataclass(frozen=True, slots=True)
class StartComputeRequest:
    """`POST compute`. `job_id` has no meaning, but it is part of the signed message if present."""

    signed: Signed
    job_id: str
    dataset: Item
    additional: object = field(repr=False)
    algorithm: Algorithm
    environment: str
    output: object = field(repr=False)
    policy_data: object = field(repr=False)

    FIELDS = (
        Field("dataset.documentId", (rules.required(),), bail=True),
        Field("dataset.serviceId", (rules.required(),), bail=True),
        Field("dataset.transferTxId", (rules.required(),)),
        *_ALGORITHM_FIELDS,
        _CONSUMER,
        _NONCE,
        Field("signature", (rules.signature(),), bail=True),
    )

    @classmethod
    def parse(cls, data: Data, token: PresentedToken | None = None) -> Self:
        """Raises ValidationFailed."""
        validate(signed_fields(cls.FIELDS, data, token), data)
        return cls(
            signed=parse_signed(data, "consumerAddress", token),
            job_id=_short(data, "jobId"),
            dataset=_item(dataset_resource(0), data.get("dataset")),
            additional=_additional(data),
            algorithm=_algorithm(data.get("algorithm")),
            environment=wire_text(data.get("environment")),
            output=data.get("output"),
            policy_data=data.get("policyServer"),
        )

    def datasets(self) -> tuple[Item, ...]:
        """Return all datasets, the main one first. Raises ComputeRefused if the additional ones are not a list."""
        additional = self.additional or []
        if not isinstance(additional, list) or len(additional) >= MAX_DATASETS:
            raise ComputeRefused("additional_input", "invalid")
        return (self.dataset, *(_item(dataset_resource(index), raw) for index, raw in enumerate(additional, 1)))

    def job(self) -> JobRequest:
        """Return the job to start. Raises ComputeRefused."""
        return JobRequest(
            datasets=self.datasets(),
            algorithm=self.algorithm,
            environment=self.environment,
            consumer=self.signed.address,
            owner=self.signed.claimed,
            output=self.output,
            policy_data=self.policy_data,
        )


@dataclass(frozen=True, slots=True)
class ChangeComputeRequest:
    """`PUT` and `DELETE compute`."""

    signed: Signed
    job_id: str
    document_id: str

    FIELDS = (
        _CONSUMER,
        _NONCE,
        Field("signature", (rules.signature(),)),
    )

    @classmethod
    def parse(cls, data: Data, token: PresentedToken | None = None) -> Self:
        """Raises ValidationFailed."""
        validate(signed_fields(cls.FIELDS, data, token), data)
        return cls(
            signed=parse_signed(data, "consumerAddress", token),
            job_id=_short(data, "jobId"),
            document_id=_short(data, "documentId"),
        )

    def require_job(self) -> None:
        """Require a job: without one, the operator would change every job of the owner [K44]. Raises JobIdMissing."""
        if not self.job_id and not self.document_id:
            raise JobIdMissing


@dataclass(frozen=True, slots=True)
class ComputeStatusRequest:
    """`GET compute`, unsigned. `agreementId` is ignored, because clients send something else in it."""

    owner: str
    job_id: str
    document_id: str

    FIELDS = (_CONSUMER,)

    @classmethod
    def parse(cls, data: Data) -> Self:
        """Raises ValidationFailed."""
        validate(cls.FIELDS, data)
        return cls(
            owner=_consumer(data),
            job_id=_short(data, "jobId"),
            document_id=_short(data, "documentId"),
        )


@dataclass(frozen=True, slots=True)
class ComputeResultRequest:
    """`GET computeResult`."""

    signed: Signed
    job_id: str
    index: str

    FIELDS = (
        Field("jobId", (rules.required(),), bail=True),
        Field("index", (rules.required(),), bail=True),
        _CONSUMER,
        _NONCE,
        Field("signature", (rules.signature(),), bail=True),
    )

    @classmethod
    def parse(cls, data: Data, token: PresentedToken | None = None) -> Self:
        """Raises ValidationFailed."""
        validate(signed_fields(cls.FIELDS, data, token), data)
        return cls(
            signed=parse_signed(data, "consumerAddress", token),
            job_id=_short(data, "jobId"),
            index=_short(data, "index"),
        )
