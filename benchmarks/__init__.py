"""Benchmarks of the server next to its rivals: one script per question, see README.md."""
