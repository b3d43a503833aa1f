"""Endpoints that quote, inspect and stream files."""
