"""Authentication of consumers: signed messages, nonces and auth tokens."""
