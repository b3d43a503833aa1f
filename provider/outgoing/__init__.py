"""Calls to services that the operator configured: connections, proxies, name resolution."""
