"""What hosts share through Redis: the way there, facts, and leases of streams. Nonces are `auth/redis_store.py`."""
