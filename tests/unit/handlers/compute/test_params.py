"""Requests of compute-to-data: whatever is sent, the outcome is a value or a refusal."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.compute.items import Item
from provider.errors import ComputeRefused, JobIdMissing, ProviderError, ValidationFailed
from provider.handlers.compute.params import (
    ChangeComputeRequest,
    ComputeResultRequest,
    ComputeStatusRequest,
    InitializeComputeRequest,
    StartComputeRequest,
)

CONSUMER = "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"
DATASET = {"documentId": "did:op:1", "serviceId": "s", "transferTxId": "0x1"}
START: dict[str, Any] = {
    "dataset": DATASET,
    "algorithm": {"meta": {"rawcode": "x"}},
    "environment": "env",
    "consumerAddress": CONSUMER.lower(),
    "nonce": 5,
    "signature": "0x12",
}

NOW = 1_700_000_000

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.just(CONSUMER),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
names = (
    "datasets", "dataset", "algorithm", "compute", "consumerAddress", "nonce", "signature", "jobId", "documentId",
    "index", "environment", "additionalDatasets", "output", "maxJobDuration",
)  # fmt: skip
nested = st.dictionaries(
    st.sampled_from(("documentId", "serviceId", "transferTxId", "meta", "env", "validUntil", "userdata")), json_values
)


@given(data=st.dictionaries(st.sampled_from(names), json_values | nested | st.lists(nested, max_size=3)))
def test_anything_is_parsed_or_refused(data: dict[str, Any]) -> None:
    parsers: list[Callable[[dict[str, Any]], object]] = [
        partial(InitializeComputeRequest.parse, now=NOW),
        StartComputeRequest.parse,
        ChangeComputeRequest.parse,
        ComputeStatusRequest.parse,
        ComputeResultRequest.parse,
    ]
    for parse in parsers:
        try:
            parsed = parse(data)
            if isinstance(parsed, StartComputeRequest):
                parsed.job()
        except ProviderError as error:
            assert error.http_status == 400  # noqa: PT017


def test_owner_is_as_sent_and_the_consumer_checksummed() -> None:
    job = StartComputeRequest.parse(START).job()
    assert (job.owner, job.consumer) == (CONSUMER.lower(), CONSUMER)


def test_algorithm_with_a_document_is_never_raw() -> None:
    """[K21]"""
    algorithm = {**DATASET, "meta": {"rawcode": "x"}, "algouserdata": {"a": 1}}
    job = StartComputeRequest.parse({**START, "algorithm": algorithm}).job()
    assert job.algorithm.item == Item("algorithm", "did:op:1", "s", "0x1")
    assert job.algorithm.meta is None
    assert job.algorithm.user_data == {"a": 1}


def test_raw_algorithm_may_be_json_text() -> None:
    job = StartComputeRequest.parse({**START, "algorithm": {"meta": '{"rawcode":"y"}'}}).job()
    assert job.algorithm.meta == {"rawcode": "y"}


@pytest.mark.parametrize("additional", [None, "", [], {}, 0, False])
def test_no_additional_datasets_come_in_many_forms(additional: object) -> None:
    assert len(StartComputeRequest.parse({**START, "additionalDatasets": additional}).datasets()) == 1


@pytest.mark.parametrize("additional", ["x", {"a": 1}, 1, True, [DATASET] * 50], ids=lambda value: str(value)[:9])
def test_other_additional_datasets_are_refused(additional: object) -> None:
    with pytest.raises(ComputeRefused):
        StartComputeRequest.parse({**START, "additionalDatasets": additional}).datasets()


SECOND = {**DATASET, "documentId": "did:op:2"}


@pytest.mark.parametrize(
    ("datasets", "expected"),
    [
        ([DATASET, SECOND], ["did:op:1", "did:op:2"]),
        ([DATASET], ["did:op:1"]),
        ([SECOND], ["did:op:1", "did:op:2"]),
        (None, ["did:op:1"]),
    ],
)
def test_all_datasets_of_ocean_js_8_are_part_of_the_job(datasets: object, expected: list[str]) -> None:
    assert [item.did for item in StartComputeRequest.parse({**START, "datasets": datasets}).datasets()] == expected


def test_additional_datasets_come_before_those_of_ocean_js_8() -> None:
    job = StartComputeRequest.parse({**START, "datasets": [DATASET, SECOND], "additionalDatasets": []})
    assert len(job.datasets()) == 1


QUOTE = {"datasets": [DATASET], "algorithm": DATASET, "consumerAddress": CONSUMER}


def test_a_duration_of_ocean_js_8_begins_now() -> None:
    quote = InitializeComputeRequest.parse({**QUOTE, "environment": "e", "maxJobDuration": 600}, now=NOW).quote
    assert (quote.environment, quote.end) == ("e", NOW + 600)


def test_the_section_of_provider_2_1_comes_before_the_fields_of_ocean_js_8() -> None:
    compute = {"env": "e", "validUntil": 5}
    body = {**QUOTE, "compute": compute, "environment": "other", "maxJobDuration": 600}
    quote = InitializeComputeRequest.parse(body, now=NOW).quote
    assert (quote.environment, quote.end) == ("e", 5)


@pytest.mark.parametrize("duration", [None, "", "x", [], 1.5, pytest.param(10**4300 - 1, id="long")])
def test_a_duration_that_is_no_number_is_refused(duration: object) -> None:
    with pytest.raises(ValidationFailed) as refusal:
        InitializeComputeRequest.parse({**QUOTE, "environment": "e", "maxJobDuration": duration}, now=NOW)
    assert list(refusal.value.errors) == ["compute.validUntil"]


def test_service_zero_is_a_service() -> None:
    job = StartComputeRequest.parse({**START, "dataset": {**DATASET, "serviceId": 0}}).job()
    assert job.datasets[0].service_id == "0"


def test_stop_must_name_a_job_or_a_document() -> None:
    """[K44]"""
    signed = {"consumerAddress": CONSUMER, "nonce": "1", "signature": "0x12"}
    with pytest.raises(JobIdMissing):
        ChangeComputeRequest.parse({**signed, "jobId": "", "agreementId": "a"}).require_job()
    ChangeComputeRequest.parse({**signed, "jobId": "1"}).require_job()
    ChangeComputeRequest.parse({**signed, "documentId": "did:op:1"}).require_job()


def test_stop_needs_a_nonce() -> None:
    """ocean.js deletes without one, which could be replayed."""
    with pytest.raises(ValidationFailed) as refusal:
        ChangeComputeRequest.parse({"consumerAddress": CONSUMER, "jobId": "1", "signature": "0x12"})
    assert refusal.value.errors == {"nonce": ["The nonce field is required."]}
