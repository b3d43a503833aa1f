"""The local chain of the demo, and its wallets and contracts."""
