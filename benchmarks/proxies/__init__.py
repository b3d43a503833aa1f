"""Rival proxies in Python, each a process: `python -m benchmarks.proxies.<name> PORT ORIGIN`."""
