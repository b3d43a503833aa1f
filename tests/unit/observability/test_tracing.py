"""Tracing that is asked for and cannot be had ends the start."""

import sys

import pytest

from provider.errors.start import StartError
from provider.observability.tracing import Tracing


def test_without_the_extra_the_start_fails_and_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(StartError, match=r"PROVIDER_TRACING.*ocean-stream-provider\[otel\]"):
        Tracing()
