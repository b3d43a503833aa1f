"""Redis, shared by several hosts: the client, facts, stream leases, client limits. Nonces are in `auth/`."""
