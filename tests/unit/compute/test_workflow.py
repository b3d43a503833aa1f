"""The job as the operator service takes it (`provider-api.md` section 10.4)."""

import pytest

from provider.compute.items import Algorithm, dataset_resource
from provider.compute.starting import check_output, published_algorithm, raw_algorithm, workflow
from provider.errors import ComputeRefused
from tests.unit.compute.facts import resolved, tx_id

CONTAINER = {"entrypoint": "node $ALGO", "image": "node", "tag": "1", "checksum": "sha256:1"}


def test_workflow_has_one_stage_with_all_inputs_in_order() -> None:
    first, second = resolved(userdata={"a": 1}), resolved("datasets[1]", number=2)
    job = workflow([(first, tx_id(1)), (second, tx_id(2))], {"id": ""}, metadata_url="http://store")
    assert job == {
        "stages": [
            {
                "index": 0,
                "input": [
                    {
                        "index": 0,
                        "id": first.asset.did,
                        "remote": {"txId": tx_id(1), "serviceId": "c0", "userdata": {"a": 1}},
                    },
                    {"index": 1, "id": second.asset.did, "remote": {"txId": tx_id(2), "serviceId": "c0"}},
                ],
                "compute": {"Instances": 1, "namespace": "ocean-compute", "maxtime": 3600},
                "algorithm": {"id": ""},
                "output": {"metadataUri": "http://store"},
            }
        ]
    }


@pytest.mark.parametrize(
    ("userdata", "algouserdata", "sent"),
    [
        (None, None, {"userData": None}),
        (None, {"b": 2}, {"userData": {"b": 2}, "userdata": {"b": 2}}),
        ({"a": 1}, None, {"userData": None, "userdata": {"a": 1}}),
        ({"a": 1}, {"b": 2}, {"userData": {"b": 2}, "userdata": {"a": 1}}),
    ],
)
def test_user_data_of_the_algorithm_stand_where_pods_read_them(
    userdata: object, algouserdata: object, sent: dict[str, object]
) -> None:
    """[K35]"""
    algorithm = resolved("algorithm", userdata=userdata, metadata_type="algorithm", algorithm={"container": CONTAINER})
    named = Algorithm(algorithm.item, user_data=algouserdata, custom_data={"c": 3})
    assert published_algorithm(algorithm, tx_id(1), named) == {
        "id": algorithm.asset.did,
        "rawcode": "",
        "container": CONTAINER,
        "algouserdata": None,
        "remote": {"serviceEndpoint": "http://other.example", "txId": tx_id(1), "serviceId": "c0", **sent},
        "algocustomdata": {"c": 3},
    }


def test_published_algorithm_has_no_url() -> None:
    """A pod that finds the key downloads it instead of the files."""
    algorithm = resolved("algorithm")
    assert "url" not in published_algorithm(algorithm, tx_id(1), Algorithm(algorithm.item))


def test_raw_algorithm_cannot_name_an_order() -> None:
    """A pod would fetch with it what somebody else has ordered for the same environment."""
    meta = {"rawcode": "code", "remote": {"txId": tx_id(9), "serviceId": "c0"}, "container": CONTAINER, "more": 1}
    assert raw_algorithm(meta) == {"id": "", "url": None, "rawcode": "code", "container": CONTAINER}


@pytest.mark.parametrize("output", [None, "", "{}", "[1]", {}, {"a": 1}])
def test_output_may_be_empty_json_or_an_object(output: object) -> None:
    check_output(output)


@pytest.mark.parametrize("output", ["x", "{", " "])
def test_output_that_is_text_must_be_json(output: str) -> None:
    with pytest.raises(ComputeRefused):
        check_output(output)


def test_datasets_are_called_as_the_clients_know_them() -> None:
    assert [dataset_resource(index) for index in range(3)] == ["dataset", "datasets[1]", "datasets[2]"]
