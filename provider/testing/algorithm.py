"""The algorithm of the compute demo: mean, lowest and highest temperature of each station, from every input.

The demo publishes this file as it is; it runs alone in a pod (`python -I -S`, standard library), so it imports nothing
of ours. In: DIDS and /data/inputs/<did>/<index>. Out: /data/outputs/stations.csv.
"""

import csv
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping


def summarise(rows: Iterable[Mapping[str, str]]) -> Iterator[tuple[str, int, float, float, float]]:
    """Station, days, mean, lowest and highest temperature, in order of the stations."""
    stations: defaultdict[str, list[float]] = defaultdict(list)
    for row in rows:
        stations[row["station"]].append(float(row["temperature_c"]))
    for station, values in sorted(stations.items()):
        yield station, len(values), sum(values) / len(values), min(values), max(values)


def table(rows: Iterable[Mapping[str, str]]) -> str:
    """The summary as CSV."""
    lines = ["station,days,mean_c,lowest_c,highest_c"]
    lines += [f"{name},{days},{mean:.2f},{low:.1f},{high:.1f}" for name, days, mean, low, high in summarise(rows)]
    return "\n".join([*lines, ""])


def main() -> None:
    """Read all inputs, write one table."""
    rows: list[dict[str, str]] = []
    for did in json.loads(os.environ["DIDS"]):
        folder = f"/data/inputs/{did}"
        for name in sorted(os.listdir(folder)):
            with open(f"{folder}/{name}", newline="") as file:
                rows += csv.DictReader(file)
    with open("/data/outputs/stations.csv", "w") as out:
        out.write(table(rows))
    print(f"{len(rows)} rows read")


if __name__ == "__main__":
    main()
