"""`provider demo`: a local chain, an origin, a publisher and a consumer around one real server process.

Nothing in the server imports this package. Its client side signs with eth_account and uses the standard library for
HTTP, so its evidence about the server does not rest on the server's own code.
"""
