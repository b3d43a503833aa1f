"""Compute-to-data: what a job may use, what it costs, and the operator service that runs it."""
