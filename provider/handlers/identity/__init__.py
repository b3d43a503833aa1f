"""Endpoints for nonces and auth tokens."""
