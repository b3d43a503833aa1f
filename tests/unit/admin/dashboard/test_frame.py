"""The dashboard's picture, made from counters."""

import pytest

from provider.admin.dashboard.frame import picture
from provider.admin.dashboard.sample import Moment, Reading, Window

LIMIT = {"provider_slice_max_bytes": [({}, 1000.0)]}


@pytest.mark.parametrize(
    ("reading", "expected"),
    [
        ({}, None),
        (LIMIT, 1.0),
        (
            LIMIT
            | {
                "provider_slice_read_bytes_total": [({"result": "hit"}, 60.0), ({"result": "fill"}, 20.0)],
                "provider_slice_origin_bytes_total": [({}, 20.0)],
            },
            0.4,
        ),
    ],
    ids=["no cache", "nothing cached", "cached"],
)
def test_origin_bytes_for_each_byte_of_a_consumer(reading: Reading, expected: float | None) -> None:
    worker = {
        "pid": 1,
        "at": 1.0,
        "sent_bytes": 100,
        "cpu_seconds": 1,
        "rss_bytes": 1,
        "stream_count": 0,
        "streams": [],
        "files": [],
        "errors": [],
    }
    window = Window()
    window.add(Moment(1.0, reading, [worker]))
    assert picture(window, [], {}, 1.0)["totals"]["origin_ratio"] == expected
