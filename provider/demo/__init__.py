"""`provider demo`: a local chain, an origin, a publisher and a consumer around one real server process.

Nothing in the server imports this package. Its client side signs with eth_account and speaks HTTP with the
standard library, so that what it proves about the server does not rest on the server's own code.
"""
