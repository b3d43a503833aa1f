"""Endpoints of compute-to-data."""
