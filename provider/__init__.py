"""Provider checks that a consumer has bought a dataset, then streams its bytes without revealing its URL."""

__version__ = "3.0.0"
USER_AGENT = f"OceanProvider/{__version__}"
"""Of every request that Provider sends."""
