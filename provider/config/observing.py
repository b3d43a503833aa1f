"""What operators see of the server: metrics, traces, and when it calls itself ready."""

from provider.config.model import ObservingSettings
from provider.config.source import Source


def read_observing(source: Source) -> ObservingSettings:
    """The settings of the section `observing`."""
    return ObservingSettings(
        metrics=source.boolean("PROVIDER_METRICS", "observing.metrics", True),
        tracing=source.choice("PROVIDER_TRACING", "observing.tracing", "off", ("off", "otlp")) == "otlp",
        ready_max_index_lag_blocks=source.integer(
            "PROVIDER_READY_MAX_INDEX_LAG_BLOCKS",
            "observing.ready_max_index_lag_blocks",
            500,
            minimum=0,
            maximum=1 << 48,
        ),
    )
