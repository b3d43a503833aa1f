"""Who is asking: signatures, nonces and AuthTokens."""
