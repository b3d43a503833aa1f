"""Endpoints that describe this server."""
