"""Readings of the server before and after: Prometheus counters and CPU seconds."""

import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from provider.testing.http_client import request

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Readings:
    """Samples of one scrape, keyed by sample name and sorted labels."""

    samples: Mapping[tuple[str, Labels], float]

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of the samples of this name that carry these labels."""
        wanted = set(labels.items())
        return sum(value for (key, have), value in self.samples.items() if key == name and wanted <= set(have))

    def by(self, name: str, *label_names: str) -> dict[tuple[str, ...], float]:
        """Return the non-zero sums of a name, grouped by labels."""
        groups: defaultdict[tuple[str, ...], float] = defaultdict(float)
        for (key, have), value in self.samples.items():
            if key == name:
                labels = dict(have)
                groups[tuple(labels.get(label, "") for label in label_names)] += value
        return {group: value for group, value in sorted(groups.items()) if value}

    def since(self, before: "Readings") -> "Readings":
        """Return what was added since an earlier scrape (for counters and histograms)."""
        return Readings({key: value - before.samples.get(key, 0.0) for key, value in self.samples.items()})


def scrape(admin_url: str) -> Readings:
    """Read `<admin_url>/metrics`."""
    text = request("GET", f"{admin_url}/metrics").body.decode()
    families = text_string_to_metric_families(text)
    return Readings(
        {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in families
            for sample in family.samples
        }
    )


def session_cpu_seconds(session: int) -> float | None:
    """Return user and system CPU seconds of all living processes of a session; None without /proc."""
    ticks = 0
    try:
        entries = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    except OSError:
        return None
    for entry in entries:
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        # proc(5), counted from the field after the command name: session is the 4th, utime and stime 12th and 13th
        if int(fields[3]) == session:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK") if ticks else None
