"""Settings of what operators observe: logs, metrics, traces, and readiness."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from provider.setting import boolean, choice, integer


@dataclass(frozen=True, slots=True)
class LogConfig:
    """Log level name, and `json`, `text` or `auto` (text on a terminal)."""

    SECTION: ClassVar = "log"

    level: str = choice(
        "LOG_LEVEL",
        "INFO",
        ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
        help="Records below this level are not written. SIGUSR1 switches to DEBUG, a second SIGUSR1 back.",
    )
    format: str = choice(
        "PROVIDER_LOG_FORMAT",
        "auto",
        ("auto", "json", "text"),
        help="Form of a record. auto: text on a terminal, json otherwise.",
    )
    datasets: bool = boolean(
        "PROVIDER_LOG_DATASETS",
        True,
        help="Access lines name the dataset, its service and the transaction of its order, which are public. They "
        "never name the consumer.",
    )


@dataclass(frozen=True, slots=True)
class ObservingConfig:
    """Not ready while the index lags by more than `ready_max_index_lag_blocks`; 0 disables the check."""

    SECTION: ClassVar = "observing"

    metrics: bool = boolean(
        "PROVIDER_METRICS",
        True,
        help="Serve /metrics on the admin listener (docs/metrics.md). When off, nothing is counted.",
    )
    tracing: Literal["off", "otlp"] = choice(
        "PROVIDER_TRACING",
        "off",
        ("off", "otlp"),
        help="otlp sends a trace of each request to an OpenTelemetry collector, by OTLP over HTTP. OpenTelemetry's own "
        "variables (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_SAMPLER, …) say where to and how many. It needs the "
        "extra `otel`.",
    )
    ready_max_index_lag_blocks: int = integer(
        "PROVIDER_READY_MAX_INDEX_LAG_BLOCKS",
        500,
        minimum=0,
        maximum=1 << 48,
        help="/readyz is 503 while the metadata index lags behind a chain by more blocks than this. 0 disables this.",
    )
