"""Paid rights to consume: facts from the chain, the decision on them, and the fee that a provider asks."""
