"""`provider demo`: a publisher and a consumer around one real server process, on a local chain.

It uses nothing of the server. Chain, origin, processes and both actors come from `provider.testing`.
"""
