"""A real Prometheus that scrapes every second, and what is asked of it."""

import json
import math
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from provider.testing.http_client import request
from provider.testing.ports import free_ports

PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
CONF = Path(__file__).parents[2] / "conf"
RULES = CONF / "prometheus" / "rules"
START_SECONDS = 60.0
# What Grafana puts in for the dashboard's variables, here.
VARIABLES = {"$__rate_interval": "5s", "$job": "provider", "$instance": ".*", "$chain": ".*"}

CONFIG = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: [{rules}/*.yml]
scrape_configs:
  - job_name: provider
    static_configs: [{{targets: [{targets}]}}]
"""


@dataclass
class Prometheus:
    """The running server; `began` is where ranges begin."""

    url: str
    began: float = field(default_factory=time.time)

    def api(self, path: str, **parameters: object) -> Any:
        """`data` of an answer of its HTTP API."""
        reply = request("GET", f"{self.url}/api/v1/{path}?{urlencode(parameters, doseq=True)}")
        assert reply.status == 200, reply.body
        return json.loads(reply.body)["data"]

    def samples(self, expression: str) -> list[float]:
        """Every number that the expression had in any of the seconds so far."""
        for name, value in VARIABLES.items():
            expression = expression.replace(name, value)
        found = self.api("query_range", query=expression, start=self.began, end=time.time(), step="1s")["result"]
        numbers = [float(value) for series in found for _, value in series["values"]]
        return [number for number in numbers if not math.isnan(number)]

    def label_values(self, selector: str, label: str) -> list[str]:
        """As Grafana's `label_values`."""
        for name, value in VARIABLES.items():
            selector = selector.replace(name, value)
        found: list[str] = self.api(f"label/{label}/values", **{"match[]": selector})
        return found


@contextmanager
def running_prometheus(folder: Path, admin_urls: Sequence[str]) -> Iterator[Prometheus]:
    """A Prometheus with our rules on a free port, its data in `folder`, scraping these admin listeners."""
    assert PROMETHEUS is not None
    targets = ", ".join(f'"{urlsplit(url).netloc}"' for url in admin_urls)
    config = folder / "prometheus.yml"
    config.write_text(CONFIG.format(rules=RULES, targets=targets))
    (port,) = free_ports(1)
    command = [
        PROMETHEUS,
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("w+") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_ready(url, process, folder / "prometheus.log")
            yield Prometheus(url)
        finally:
            process.kill()


def _wait_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            if request("GET", f"{url}/-/ready").status == 200:
                return
        except OSError:
            pass
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
