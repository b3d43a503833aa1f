"""Who may come in, and how many: connections, requests of a client, work under way, and a loop that is late.

Everything here is decided before a body is read and before any signature, chain or origin is looked at.
"""
