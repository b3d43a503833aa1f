"""Benchmarks of the server next to its rivals. Each script answers one question; see README.md."""
