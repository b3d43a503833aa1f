"""Calls to services that the operator named: connections, proxies, names."""
