"""The kit of the demo, tests and benchmarks: a local chain, an origin, server processes, a publisher and a consumer.

Nothing in the server imports this package. Its client side signs with eth_account and uses the standard library for
HTTP, so its evidence about the server does not rest on the server's own code.
"""
