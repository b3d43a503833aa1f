"""Proofs of download: what is attested, the durable queue, and the two ways to send it."""
