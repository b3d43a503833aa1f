"""The algorithm of the compute demo."""

from provider.testing.algorithm import table


def test_each_station_has_its_mean_and_extremes() -> None:
    rows = [
        {"station": "S2", "temperature_c": "1.0"},
        {"station": "S1", "temperature_c": "-2.5"},
        {"station": "S1", "temperature_c": "3.5"},
    ]
    assert table(rows) == "station,days,mean_c,lowest_c,highest_c\nS1,2,0.50,-2.5,3.5\nS2,1,1.00,1.0,1.0\n"


def test_no_rows_make_an_empty_table() -> None:
    assert table([]) == "station,days,mean_c,lowest_c,highest_c\n"
