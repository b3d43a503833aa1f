"""Endpoints for publishers and indexers: encrypt and decrypt."""
