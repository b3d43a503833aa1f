"""Compute-to-data: which algorithm may run on which dataset, its price, its orders, and the operator service."""
