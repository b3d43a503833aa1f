"""Endpoints of links: making, revoking and opening them."""
