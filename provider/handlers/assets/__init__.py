"""Endpoints of assets: their DDOs, and the check of a DDO before it is published."""
