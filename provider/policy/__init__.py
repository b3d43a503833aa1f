"""Access rules beyond signature and order: access lists on chain, an RBAC server, a policy server."""
